package component

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// errAskedToRestart ends a run on an operator's word; it is not a failure.
var errAskedToRestart = errors.New("restart requested")

// loop is the life of one unit: wait, run, back off, until ctx is cancelled.
func (s *Supervisor) loop(ctx context.Context, u *unit) {
	defer u.finish()
	defer s.setState(u, Stopped, "")
	failures := 0
	for s.awaitNeeds(ctx, u) == nil {
		begun := time.Now()
		err := s.runOnce(ctx, u)
		if ctx.Err() != nil {
			return
		}
		if time.Since(begun) >= stableAfter || errors.Is(err, errAskedToRestart) {
			failures = 0
		}
		if errors.Is(err, errAskedToRestart) {
			s.countEnd(u, failures)
			continue
		}
		failures++
		s.countEnd(u, failures)
		if err == nil {
			err = errors.New("ended without being asked to")
		}
		delay := u.Backoff(failures)
		s.setState(u, Backoff, fmt.Sprintf("%v; next try in %s", err, delay))
		select {
		case <-ctx.Done():
			return
		case <-u.kick:
		case <-time.After(delay):
		}
	}
}

// awaitNeeds blocks until every need is ready and says which one it waits for.
func (s *Supervisor) awaitNeeds(ctx context.Context, u *unit) error {
	for {
		changed := s.Changed()
		missing := s.missing(u)
		if len(missing) == 0 {
			return ctx.Err()
		}
		// The first time round this closes changed itself: one more turn, then it blocks.
		s.setState(u, Waiting, "waiting for "+strings.Join(missing, ", "))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

func (s *Supervisor) missing(u *unit) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, need := range u.needs {
		if !s.byName[need].status.IsReady() {
			out = append(out, need)
		}
	}
	return out
}

// runOnce makes a component and runs it to its end, or until a restart is asked for. Nothing that it
// started is left when it returns.
func (s *Supervisor) runOnce(ctx context.Context, u *unit) error {
	select {
	case <-u.kick: // asked for while there was nothing to restart: this start is the answer
	default:
	}
	ctx, cancel := context.WithCancel(ctx)
	asked := false
	var kicked sync.WaitGroup
	kicked.Go(func() {
		select {
		case <-u.kick:
			asked = true
			cancel()
			s.setState(u, Stopping, errAskedToRestart.Error())
		case <-ctx.Done():
		}
	})
	err := s.live(ctx, u)
	cancel()
	kicked.Wait()
	if asked {
		return errAskedToRestart
	}
	return err
}

// live is the life of one component, from its making to its end.
func (s *Supervisor) live(ctx context.Context, u *unit) error {
	ctx, cancel := context.WithCancel(ctx)
	var (
		mu            sync.Mutex // guards isReady and over
		isReady, over bool
		watching      sync.WaitGroup
	)
	defer func() {
		mu.Lock()
		over = true
		mu.Unlock()
		cancel()
		watching.Wait()
		s.setRunning(u, nil)
	}()
	return s.guard(u, func() error {
		c := u.New()
		s.setRunning(u, c)
		if p, ok := c.(Preparer); ok {
			s.setState(u, Preparing, "")
			if err := p.Prepare(ctx); err != nil {
				return fmt.Errorf("prepare: %w", err)
			}
		}
		s.setState(u, Starting, "")
		return c.Run(ctx, func() {
			mu.Lock()
			defer mu.Unlock()
			if isReady || over || ctx.Err() != nil {
				return
			}
			isReady = true
			s.setState(u, Ready, "")
			if checker, ok := c.(Checker); ok {
				watching.Go(func() { s.watch(ctx, u, checker) })
			}
		})
	})
}

// watch asks a Checker for its health until ctx is cancelled.
func (s *Supervisor) watch(ctx context.Context, u *unit, c Checker) {
	tick := time.NewTicker(checkInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		checkCtx, cancel := context.WithTimeout(ctx, checkInterval)
		err := s.guard(u, func() error { return c.Check(checkCtx) })
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.setState(u, Degraded, err.Error())
		default:
			s.setState(u, Ready, "")
		}
	}
}

// guard makes a panic an error like another: one component never takes the daemon with it.
func (s *Supervisor) guard(u *unit, do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("component panicked", "component", u.name, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return do()
}
