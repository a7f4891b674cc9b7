package component

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"
)

// errAskedToRestart ends a run on an operator's word; it is not a failure.
var errAskedToRestart = errors.New("restart requested")

// loop is the life of one unit: wait, run, back off, until ctx is cancelled.
func (s *Supervisor) loop(ctx context.Context, u *unit) {
	defer func() {
		s.setState(u, Stopped, "")
		s.mu.Lock()
		defer s.mu.Unlock()
		select {
		case <-u.done:
		default:
			close(u.done)
		}
	}()
	failures := 0
	for {
		if err := s.awaitNeeds(ctx, u); err != nil {
			return
		}
		begun := time.Now()
		err := s.runOnce(ctx, u)
		if ctx.Err() != nil {
			return
		}
		if time.Since(begun) > stableAfter || errors.Is(err, errAskedToRestart) {
			failures = 0
		}
		failures++
		if err == nil {
			err = errors.New("ended without being asked to")
		}
		s.countRestart(u)
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

// runOnce makes a component and runs it to its end. A panic is an error like another.
func (s *Supervisor) runOnce(ctx context.Context, u *unit) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("component panicked", "component", u.name, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	c := u.New()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if p, ok := c.(Preparer); ok {
		s.setState(u, Preparing, "")
		if err := p.Prepare(ctx); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	s.setState(u, Starting, "")
	go func() {
		select {
		case <-u.kick:
			cancel(errAskedToRestart)
		case <-ctx.Done():
		}
	}()
	checked := make(chan struct{})
	var becameReady atomic.Bool
	err = c.Run(ctx, func() {
		if ctx.Err() != nil || !becameReady.CompareAndSwap(false, true) {
			return
		}
		s.setPID(u, c)
		s.setState(u, Ready, "")
		go func() {
			defer close(checked)
			s.watch(ctx, u, c)
		}()
	})
	asked := context.Cause(ctx)
	cancel(nil)
	if becameReady.Load() {
		<-checked
	}
	if errors.Is(asked, errAskedToRestart) {
		return errAskedToRestart
	}
	return err
}

// watch asks a Checker for its health until ctx is cancelled.
func (s *Supervisor) watch(ctx context.Context, u *unit, c Component) {
	checker, ok := c.(Checker)
	if !ok {
		return
	}
	tick := time.NewTicker(checkInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		checkCtx, cancel := context.WithTimeout(ctx, checkInterval)
		err := checker.Check(checkCtx)
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

func (s *Supervisor) countRestart(u *unit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u.status.Restarts++
	u.status.PID = 0
}

// setPID shows the process id of components that are processes.
func (s *Supervisor) setPID(u *unit, c Component) {
	p, ok := c.(interface{ PID() int })
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u.status.PID = p.PID()
}
