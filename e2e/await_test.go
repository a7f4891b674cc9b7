package e2e

import (
	"context"
	"testing"
	"time"
)

const (
	pollInterval   = 50 * time.Millisecond
	attemptTimeout = 10 * time.Second
)

// await asks cond until it has nothing to complain about, and returns how long that took. After limit the test fails with
// the last complaint.
func await(t *testing.T, limit time.Duration, what string, cond func(ctx context.Context) error) time.Duration {
	t.Helper()
	begun := time.Now()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), min(attemptTimeout, limit))
		err := cond(ctx)
		cancel()
		took := time.Since(begun)
		switch {
		case err == nil:
			return took
		case took > limit:
			t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("%s: the test ended first: %v", what, err)
		case <-tick.C:
		}
	}
}
