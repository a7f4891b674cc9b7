package datastore

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"islet/appliance/component"
)

func TestSnapshotsComponent(t *testing.T) {
	t.Parallel()
	r := Ring{Dir: filepath.Join(t.TempDir(), "in the way"), Interval: time.Hour, Keep: 3, MaxBytes: 1 << 20}
	if err := os.WriteFile(r.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := Snapshots(Params{Ring: r, Log: slog.New(slog.DiscardHandler)}).New()
		if c.Name() != SnapshotsName || len(c.Needs()) != 1 || c.Needs()[0] != KineName {
			t.Errorf("%s needs %v", c.Name(), c.Needs())
		}
		ready, done := make(chan struct{}), make(chan error, 1)
		go func() { done <- c.Run(ctx, func() { close(ready) }) }()
		<-ready
		health := func() error { return c.(component.Checker).Check(ctx) }
		if err := health(); err != nil {
			t.Errorf("before the first: %v", err)
		}
		time.Sleep(soonest + time.Second)
		synctest.Wait()
		if health() == nil {
			t.Error("a failure does not show")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
