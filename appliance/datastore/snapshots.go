package datastore

import (
	"context"
	"sync"
	"time"

	"islet/appliance/component"
)

// SnapshotsName is the snapshot ring's name in the supervisor.
const SnapshotsName = "snapshots"

// Snapshots returns the unit that takes snapshots: one soon after the first start, then one per
// interval. While the last attempt has failed it is degraded, and tries again.
func Snapshots(p Params) component.Unit {
	return component.Unit{New: func() component.Component { return &snapshots{params: p} }}
}

type snapshots struct {
	params Params
	mu     sync.Mutex
	failed error // of the last attempt
}

// Name implements component.Component.
func (s *snapshots) Name() string { return SnapshotsName }

// Needs implements component.Component.
func (s *snapshots) Needs() []string { return []string{s.params.Name()} }

// Check implements component.Checker.
func (s *snapshots) Check(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// Run implements component.Component.
func (s *snapshots) Run(ctx context.Context, ready func()) error {
	ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(s.params.Ring.due(time.Now())):
		}
		_, err := s.params.Take(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // stopped while taking one: a clean end
		}
		s.mu.Lock()
		s.failed = err
		s.mu.Unlock()
	}
}
