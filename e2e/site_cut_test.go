package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"islet/appliance/cli"
	"islet/appliance/config"
	"islet/appliance/datastore"
	"islet/appliance/lab"
)

const (
	defaultSiteCuts  = 8
	siteCutsPerRound = 10
	siteCutsPerLook  = 5              // after so many the site must become whole
	siteLimit        = 3 * readyLimit // for all hosts of a site that start at once
)

// TestSitePowerCuts cuts the power of all hosts of a site at once: while two servers and an agent join the first, and while
// snapshots and backups are taken under load. At every cut each server's etcd and snapshots must be sound on the disk; the
// site must become ready by itself, with all votes and every acknowledged write. E2E_SITE_CUTS says how often, E2E_SEED
// repeats the moments of another run.
func TestSitePowerCuts(t *testing.T) {
	t.Parallel()
	executable(t)
	cuts, seed := number(t, "E2E_SITE_CUTS", defaultSiteCuts), uint64(number(t, "E2E_SEED", int(time.Now().Unix())))
	t.Logf("%d cuts; repeat with E2E_SEED=%d", cuts, seed)
	for round := range (cuts + siteCutsPerRound - 1) / siteCutsPerRound {
		t.Run(fmt.Sprintf("round %d", round+1), func(t *testing.T) {
			all := bootSite(t, fmt.Sprintf("sc%d", round+1), 4, func(c *config.Config) { c.Datastore.Store = config.StoreEtcd })
			c := &siteCutter{
				fleet:  &fleet{servers: all[:3], agents: all[3:]},
				random: rand.New(rand.NewPCG(seed, uint64(round))), left: min(siteCutsPerRound, cuts-round*siteCutsPerRound),
				made: map[string]bool{}, counted: map[string]int{},
			}
			defer func() {
				for _, p := range all {
					p.diagnose(t)
				}
			}()
			c.prepare(t)
			defer func() { c.halt() }()
			c.cutJoin(t, (c.left+1)*2/5)
			c.cutLoad(t)
		})
	}
}

// siteCutter is a site whose hosts lose their power all at once.
type siteCutter struct {
	*fleet
	random *rand.Rand
	left   int // cuts of this round to come
	admin  *rest.Config
	tokens map[string]string // by host, for one use each
	halt   func()            // ends what goes on at the hosts

	mu      sync.Mutex
	made    map[string]bool // ConfigMaps whose creation was acknowledged
	counted map[string]int  // the last acknowledged value of counters
	acks    int             // since the power came
}

// prepare waits for the first server, and makes what needs it.
func (c *siteCutter) prepare(t *testing.T) {
	first := c.servers[0]
	await(t, siteLimit, "the first server is ready", first.ready)
	if err := first.connect(); err != nil {
		t.Fatal(err)
	}
	c.admin, c.tokens, c.halt = first.rest, map[string]string{}, func() {}
	for _, p := range c.all()[1:] {
		role := config.RoleServer
		if slices.Contains(c.agents, p) {
			role = config.RoleAgent
		}
		c.tokens[p.host.Name()] = runJSON[struct{ Token string }](t, first, "token", "create", "--role", string(role)).Token
	}
	first.run(t, "appliance", "backup", "key", "create")
}

// cutJoin cuts the power while the others join, early and late in turn.
func (c *siteCutter) cutJoin(t *testing.T, cuts int) {
	begun := time.Now()
	c.goOn(t, c.write, c.join)
	for i := range cuts {
		switch i % 4 {
		case 0: // the program is copied, the machines ask to be let in
			c.await(t, "the first server takes writes", c.acknowledged)
			c.cut(t, 3*time.Second, "while machines ask to join")
		case 1: // a server that was let in starts and becomes a member
			c.await(t, "a server was let in", func() bool { return c.letIn() > 0 })
			c.cut(t, 5*time.Second, "once a machine was let in")
		case 2: // members get their copies and votes, the agent its images
			c.await(t, "all were let in", func() bool { return c.letIn() == len(c.tokens) })
			c.cut(t, 15*time.Second, "once all were let in")
		default:
			c.cut(t, 15*time.Second, "after power-on")
		}
		c.goOn(t, c.write, c.join)
	}
	c.verify(t)
	t.Logf("joined in spite of %d cuts within %s", cuts, time.Since(begun).Round(time.Second))
}

// cutLoad cuts the power while every server is written to and takes snapshots; each third time whatever goes on then.
func (c *siteCutter) cutLoad(t *testing.T) {
	for i := 0; c.left > 0; i++ {
		c.goOn(t, c.write, c.snapshot)
		if i%3 == 1 {
			c.cut(t, 12*time.Second, "after power-on")
		} else {
			c.await(t, "writes are taken", c.acknowledged)
			c.cut(t, 4*time.Second, "under load")
		}
		if i%siteCutsPerLook == siteCutsPerLook-1 || c.left == 0 {
			c.goOn(t, c.write, c.snapshot)
			c.verify(t)
		}
	}
}

// goOn has things go on at the hosts until the next cut.
func (c *siteCutter) goOn(t *testing.T, things ...func(ctx context.Context, t *testing.T, p *platform)) {
	c.halt()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, p := range c.all() {
		for _, do := range things {
			running.Go(func() { do(ctx, t, p) })
		}
	}
	c.halt = func() { stop(); running.Wait() }
}

// await is for what is to come about before a cut.
func (c *siteCutter) await(t *testing.T, what string, is func() bool) {
	t.Helper()
	await(t, siteLimit, what, func(context.Context) error {
		if !is() {
			return errors.New("not yet")
		}
		return nil
	})
}

func (c *siteCutter) acknowledged() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acks > 0
}

// letIn counts the machines that are nodes since they joined.
func (c *siteCutter) letIn() (n int) {
	for _, p := range c.all()[1:] {
		if _, err := os.Stat(p.host.Path(paths.Config())); err == nil {
			n++
		}
	}
	return n
}

// cut lets some time pass, cuts the power of all hosts at once, looks at their disks and starts them again.
func (c *siteCutter) cut(t *testing.T, within time.Duration, when string) {
	t.Helper()
	after := time.Duration(c.random.Int64N(int64(within)))
	select {
	case <-time.After(after):
	case <-t.Context().Done():
		return
	}
	site := c.servers[0].lab
	if err := site.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.halt()
	t.Logf("cut %s, after %s and %d writes since power-on: %s", when, after.Round(time.Millisecond), c.acks, c.checkDisks(t))
	c.acks = 0
	c.left--
	if err := site.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// checkDisks has each server's own store engine check its etcd and its snapshots, while it is off.
func (c *siteCutter) checkDisks(t *testing.T) string {
	t.Helper()
	var reports []string
	for _, p := range c.servers {
		report := p.checkEtcd(t, "check", datastore.EtcdDir(paths))
		snapshots, err := filepath.Glob(p.host.Path(filepath.Join(paths.Backups(), "*", "etcd-*.db")))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range snapshots {
			p.checkEtcd(t, "check-file", strings.TrimPrefix(path, p.host.Path("/")))
		}
		reports = append(reports, fmt.Sprintf("%s %s and %d snapshots", p.host.Name(), report, len(snapshots)))
	}
	return strings.Join(reports, "; ")
}

// checkEtcd has the staged store engine of a host that is off check something on its disk.
func (p *platform) checkEtcd(t *testing.T, verb, path string) string {
	t.Helper()
	program := p.host.Path(filepath.Join(paths.Bin(), datastore.EtcdToolName))
	if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) {
		return "has no engines"
	}
	on := p.host.Path(path)
	if _, err := os.Stat(on); errors.Is(err, fs.ErrNotExist) {
		return "has no etcd"
	}
	out, err := exec.CommandContext(t.Context(), program, verb, on).CombinedOutput()
	if err != nil {
		t.Errorf("%s: %s is not sound: %v: %s", p.host.Name(), path, err, out)
		return "is damaged"
	}
	return "is sound"
}

// join lets a machine join as often as it takes.
func (c *siteCutter) join(ctx context.Context, t *testing.T, p *platform) {
	for token := c.tokens[p.host.Name()]; token != "" && ctx.Err() == nil; awaitTick(ctx) {
		_, err := p.host.Output(ctx, "appliance", "join", "--token", token)
		code, ran := lab.ExitCode(err)
		switch {
		case ctx.Err() != nil || !ran || code > 128: // its power was cut
		case code == 0 || code == int(cli.CodeExists):
			return
		case code != int(cli.CodeUnexpected) && code != int(cli.CodeNoServer): // the site's servers are about to start
			t.Errorf("%s cannot join: exit code %d: %v", p.host.Name(), code, err)
			return
		}
	}
}

// snapshot takes snapshots on servers; on the first one they are sealed in backups.
func (c *siteCutter) snapshot(ctx context.Context, _ *testing.T, p *platform) {
	for !slices.Contains(c.agents, p) && ctx.Err() == nil {
		if p == c.servers[0] {
			_, _ = p.host.Output(ctx, "appliance", "backup", "create") // until the power is cut
		} else {
			_, _ = p.daemon().Snapshot(ctx)
		}
		awaitTick(ctx)
	}
}

// write creates ConfigMaps and counts in another, through the node's own way to the API, and remembers what was acknowledged.
func (c *siteCutter) write(ctx context.Context, t *testing.T, p *platform) {
	local := rest.CopyConfig(c.admin)
	local.Host, local.Dial = "https://127.0.0.1:6443", p.host.Dial
	client, err := kubernetes.NewForConfig(local)
	if err != nil {
		t.Error(err)
		return
	}
	var writing sync.WaitGroup
	for _, one := range []func(context.Context, kubernetes.Interface, string) error{c.create, c.count} {
		writing.Go(func() {
			for ctx.Err() == nil {
				attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
				_ = one(attempt, client, p.host.Name()) // what is not acknowledged may be there or not
				cancel()
				awaitTick(ctx) // power-on is a busy time on a small machine
			}
		})
	}
	writing.Wait()
}

func (c *siteCutter) create(ctx context.Context, client kubernetes.Interface, by string) error {
	made, err := client.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "made-by-" + by + "-"}, Data: map[string]string{"by": by},
	}, metav1.CreateOptions{})
	if err == nil {
		c.mu.Lock()
		c.made[made.Name], c.acks = true, c.acks+1
		c.mu.Unlock()
	}
	return err
}

// count adds one to a counter that nobody else changes.
func (c *siteCutter) count(ctx context.Context, client kubernetes.Interface, by string) error {
	counters := client.CoreV1().ConfigMaps("default")
	name := "counter-of-" + by
	now, err := counters.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = counters.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"count": "0"}}, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(now.Data["count"])
	if err != nil {
		return err
	}
	now.Data["count"] = strconv.Itoa(n + 1)
	if _, err = counters.Update(ctx, now, metav1.UpdateOptions{}); err == nil {
		c.mu.Lock()
		c.counted[name], c.acks = n+1, c.acks+1
		c.mu.Unlock()
	}
	return err
}

// verify waits until the site is ready by itself, and compares it with what was acknowledged.
func (c *siteCutter) verify(t *testing.T) {
	t.Helper()
	begun := time.Now()
	for _, p := range c.all() {
		await(t, siteLimit, p.host.Name()+" is ready", p.ready)
	}
	c.awaitWhole(t)
	ready := time.Since(begun)
	for _, p := range c.servers {
		if s, err := p.daemon().Status(t.Context()); err != nil || s.Datastore.Restored != "" {
			t.Errorf("%s: its datastore was restored %q (%v)", p.host.Name(), s.Datastore.Restored, err)
		}
	}
	c.halt()
	c.halt = func() {}
	if err := c.servers[0].connect(); err != nil {
		t.Fatal(err)
	}
	list, err := c.servers[0].kube.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]int{}
	for _, m := range list.Items {
		n, _ := strconv.Atoi(m.Data["count"]) // of counters
		there[m.Name] = n
	}
	for name := range c.made {
		if _, ok := there[name]; !ok {
			t.Errorf("%s was acknowledged and is gone", name)
		}
	}
	for name, n := range c.counted {
		if there[name] < n {
			t.Errorf("%s had come to %d, and is at %d", name, n, there[name])
		}
	}
	t.Logf("whole after %s; %d objects and %d counters are as they were acknowledged", ready.Round(time.Millisecond), len(c.made), len(c.counted))
}
