package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"islet/appliance/component"
)

const (
	defaultCuts  = 10
	cutsPerRound = 10 // half of them while the platform first starts, half while it is written to
)

// TestPowerCuts cuts the host's power at random moments: during the first start, during the import of images, and while it
// is being written to. Whatever was acknowledged must be there afterwards, the database sound at every cut, and the platform
// must become ready by itself. E2E_CUTS says how often (default 10), E2E_SEED repeats the moments of another run.
func TestPowerCuts(t *testing.T) {
	t.Parallel()
	executable(t)
	cuts, seed := number(t, "E2E_CUTS", defaultCuts), uint64(number(t, "E2E_SEED", int(time.Now().Unix())))
	t.Logf("%d cuts; repeat with E2E_SEED=%d", cuts, seed)
	for round := range (cuts + cutsPerRound - 1) / cutsPerRound {
		t.Run(fmt.Sprintf("round %d", round+1), func(t *testing.T) {
			c := &cutter{
				platform: boot(t, fmt.Sprintf("cut%d", round+1)), random: rand.New(rand.NewPCG(seed, uint64(round))),
				left: min(cutsPerRound, cuts-round*cutsPerRound), acknowledged: map[string]string{},
			}
			defer c.diagnose(t)
			c.cutStart(t)
			c.verify(t)
			c.deploySample(t)
			c.cutLoad(t)
			c.verify(t)
		})
	}
}

func number(t *testing.T, variable string, otherwise int) int {
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// cutter is a platform whose power is cut.
type cutter struct {
	*platform
	random       *rand.Rand
	left         int // cuts of this round to come
	acknowledged map[string]string
}

// cutStart cuts the power while the platform first starts. The first two cuts hit the import of images, if there is time.
func (c *cutter) cutStart(t *testing.T) {
	for i := range c.left - c.left/2 {
		if i < 2 {
			c.awaitImport(t)
			c.cut(t, c.within(0, 2*time.Second), "during import")
		} else {
			c.cut(t, c.within(200*time.Millisecond, 10*time.Second), "during start-up")
		}
	}
	c.left /= 2
}

// awaitImport waits until the daemon imports images, or has nothing left to import.
func (c *cutter) awaitImport(t *testing.T) {
	await(t, readyLimit, "images are imported", func(ctx context.Context) error {
		now, err := c.component(ctx, "images")
		if err == nil && now.State != component.Starting && now.State != component.Ready {
			err = fmt.Errorf("images are %s (%s)", now.State, now.Reason)
		}
		return err
	})
}

// within is a random time.
func (c *cutter) within(from, to time.Duration) time.Duration {
	return from + time.Duration(c.random.Int64N(int64(to-from)))
}

// cut lets time pass, cuts the power, looks at the disk and starts the host again.
func (c *cutter) cut(t *testing.T, after time.Duration, when string) {
	t.Helper()
	select {
	case <-time.After(after):
	case <-t.Context().Done():
		return
	}
	if err := c.host.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	report := c.checkDisk(t)
	t.Logf("cut %s, after %s: %s", when, after.Round(time.Millisecond), report)
	if err := c.host.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// verify waits for the platform and compares it with what was acknowledged.
func (c *cutter) verify(t *testing.T) {
	t.Helper()
	begun := time.Now()
	await(t, readyLimit, "every component is ready", c.ready)
	if err := c.connect(); err != nil {
		t.Fatal(err)
	}
	await(t, readyLimit, "node is ready", c.nodeReady)
	await(t, readyLimit, "pods are ready", func(ctx context.Context) error { return c.podsReady(ctx) })
	c.imagesPresent(t)
	s, err := c.daemon().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Datastore.Restored != "" {
		t.Errorf("the database was damaged by a power cut: restored %s", s.Datastore.Restored)
	}
	c.compare(t)
	t.Logf("ready after %s, %d acknowledged writes are there", time.Since(begun).Round(time.Millisecond), len(c.acknowledged))
}
