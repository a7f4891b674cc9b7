package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sync/errgroup"

	"islet/appliance/lab/hierarchy"
)

// Kill cuts the power of all hosts at once, as Host.Kill does for one: each is told to end before any is waited for, so
// that none of them sees another go. Hosts that are off stay off.
func (l *Lab) Kill(ctx context.Context) error {
	return l.locked(ctx, func(*os.File) error { return killHosts(ctx, l.Hosts()...) })
}

// Start boots all hosts that are off, side by side.
func (l *Lab) Start(ctx context.Context) error {
	return l.locked(ctx, func(lock *os.File) error {
		group, groupCtx := errgroup.WithContext(ctx)
		for _, h := range l.Hosts() {
			if !h.Running() {
				group.Go(func() error { return h.boot(groupCtx, lock) })
			}
		}
		return group.Wait()
	})
}

// locked runs fn while nobody else changes the lab.
func (l *Lab) locked(ctx context.Context, fn func(lock *os.File) error) error {
	lock, err := l.layout.acquire(ctx, l.Name())
	if err != nil {
		return err
	}
	defer lock.Close()
	if _, err := os.Stat(l.layout.switchNetns(l.Name())); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = ErrBroken
		}
		return fmt.Errorf("lab %s: %w", l.Name(), err)
	}
	return fn(lock)
}

// killHosts reads what goes with the hosts first, so that the signals follow one another at once.
func killHosts(ctx context.Context, hosts ...*Host) error {
	states := make([]hostState, len(hosts))
	for i, h := range hosts {
		states[i] = h.state()
		if n, err := noRoutes(states[i].Init.PID); err == nil && states[i].Init.alive() {
			states[i].NoRoute += n // the counters go with the network namespace
		}
	}
	for i, h := range hosts {
		if err := states[i].Init.sendKill(); err != nil {
			return fmt.Errorf("kill %s: %w", h.label(), err)
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for i, h := range hosts {
		group.Go(func() error { return h.bury(groupCtx, states[i]) })
	}
	return group.Wait()
}

// bury waits for the end of a host that was killed, and clears away what is left of it.
func (h *Host) bury(ctx context.Context, state hostState) error {
	if err := state.Init.awaitEnd(ctx); err != nil {
		return fmt.Errorf("kill %s: %w", h.label(), err)
	}
	if err := writeJSON(h.lab.layout.process(h.lab.Name(), h.Name()), hostState{NoRoute: state.NoRoute}); err != nil {
		return err
	}
	tree, err := hierarchy.Detect()
	if err != nil {
		return err
	}
	if err := tree.Group(h.lab.layout.hostCgroup(h.lab.Name(), h.Name())).Kill(ctx, reap); err != nil {
		return err
	}
	handle, err := switchHandle(h.lab.layout.switchNetns(h.lab.Name()))
	if err != nil {
		return err
	}
	defer handle.Close()
	return unplug(handle, h.Name())
}
