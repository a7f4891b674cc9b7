//go:build !cgo

// With cgo kine selects another SQLite driver than the engine has.

package datastore_test

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	"islet/appliance/component"
	"islet/appliance/datastore"
)

// The whole way: a damaged database is replaced, and kine serves from the snapshot.
func TestKineServesAfterARestoration(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	write(t, s.database, "live")
	damage(t, s.database)
	if err := os.WriteFile(s.Layout.KineSocket(), nil, 0o600); err != nil { // of a killed one
		t.Fatal(err)
	}
	s.snapshot(t, 1, "old")
	// The rows of the test lack kine's columns, so the snapshot has to be a real one.
	real := newSite(t)
	run(t, real)
	taken, err := real.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(taken.Path)
	if err != nil {
		t.Fatal(err)
	}
	newest, err := s.Ring.Newest()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(newest.Path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	states := run(t, s)
	if want := []component.State{component.Preparing, component.Starting, component.Ready, component.Stopping, component.Stopped}; !slices.Equal(states, want) {
		t.Errorf("states %v, want %v", states, want)
	}
	if len(s.restored) != 1 {
		t.Errorf("restored %v", s.restored)
	}
}

// run runs kine until it is ready, stops it, and returns the states it went through.
func run(t *testing.T, s *site) []component.State {
	t.Helper()
	supervisor, err := component.NewSupervisor(slog.New(slog.DiscardHandler), datastore.Kine(s.Params))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- supervisor.Run(ctx) }()
	for changed := supervisor.Changed(); supervisor.Snapshot()[0].State != component.Ready; changed = supervisor.Changed() {
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("not ready: %+v", supervisor.Events())
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	var states []component.State
	for _, e := range supervisor.Events() {
		states = append(states, e.State)
	}
	return states
}
