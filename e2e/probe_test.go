package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// probeInterval is how often a prober asks.
const probeInterval = 50 * time.Millisecond

// prober asks the sample application from outside, over a new connection each time, and notes what went wrong.
type prober struct {
	asked, failed int
	reasons       []string
	slowest       time.Duration
}

// probe starts a prober; the returned function ends it and returns what it saw.
func (p *platform) probe(t *testing.T) (end func() prober) {
	t.Helper()
	url := p.sampleURLs()[0]
	client := p.outside(t, 80)
	ctx, cancel := context.WithCancel(t.Context())
	var seen prober
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(probeInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			begun := time.Now()
			err := get(ctx, client, url, `"version":"v1"`)
			if ctx.Err() != nil {
				return
			}
			seen.asked++
			seen.slowest = max(seen.slowest, time.Since(begun))
			if err != nil {
				seen.failed++
				seen.reasons = append(seen.reasons, fmt.Sprintf("%s: %v", begun.Format("15:04:05.000"), err))
			}
		}
	})
	return sync.OnceValue(func() prober {
		cancel()
		running.Wait()
		return seen
	})
}

// none complains if anything failed.
func (s prober) none(t *testing.T) {
	t.Helper()
	t.Logf("asked the application %d times meanwhile, %d failures, slowest %s", s.asked, s.failed, s.slowest.Round(time.Millisecond))
	if s.failed > 0 {
		t.Errorf("%d of %d requests failed:\n%v", s.failed, s.asked, slices.Compact(s.reasons[:min(5, len(s.reasons))]))
	}
	if s.asked == 0 {
		t.Error("the application was never asked")
	}
}
