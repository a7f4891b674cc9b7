package component

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Unit is what the supervisor is given: how to make the component, and the policy for its end.
type Unit struct {
	New func() Component
	// Backoff is the wait after the n-th failure in a row; DefaultBackoff when nil.
	Backoff func(failures int) time.Duration
	// StopTimeout bounds a stop; after it the supervisor goes on without the component. 30 s when 0.
	StopTimeout time.Duration
}

const (
	historyLimit       = 1024
	defaultStopTimeout = 30 * time.Second
	checkInterval      = 5 * time.Second
	// stableAfter is how long a component must have run for its failures to be forgotten.
	stableAfter = 30 * time.Second
)

// DefaultBackoff is 250 ms doubled per failure in a row, at most 15 s: a component on this node has
// no one else to wait for, so quick retries are cheap and an outage ends quickly.
func DefaultBackoff(failures int) time.Duration {
	return min(250*time.Millisecond<<min(failures-1, 10), 15*time.Second)
}

// ErrUnknown is returned for a name that no component has.
var ErrUnknown = errors.New("no component is named that")

// Supervisor starts units in the order of their needs, restarts those that end, and stops them in
// reverse order. One component's end never ends the supervisor.
type Supervisor struct {
	log   *slog.Logger
	units []*unit

	mu      sync.Mutex
	byName  map[string]*unit
	history history
	changed chan struct{}
}

type unit struct {
	Unit
	name   string
	needs  []string
	cancel context.CancelFunc // stops the unit alone
	kick   chan struct{}      // asks for a restart
	done   chan struct{}      // closed when the unit will not run again
	finish func()             // closes done, once

	// Guarded by the supervisor's mutex.
	status  Status
	running Component // between its making and its end
	closing bool      // told to stop for good: only Stopped can follow
}

// NewSupervisor returns a supervisor of the units, or an error that names a need nobody provides,
// a name used twice, or a cycle.
func NewSupervisor(log *slog.Logger, units ...Unit) (*Supervisor, error) {
	s := &Supervisor{log: log, byName: map[string]*unit{}, history: history{limit: historyLimit}, changed: make(chan struct{})}
	for _, u := range units {
		c := u.New()
		n := &unit{Unit: u, name: c.Name(), needs: c.Needs(), done: make(chan struct{}), kick: make(chan struct{}, 1)}
		n.finish = sync.OnceFunc(func() { close(n.done) })
		if n.Backoff == nil {
			n.Backoff = DefaultBackoff
		}
		if n.StopTimeout == 0 {
			n.StopTimeout = defaultStopTimeout
		}
		if s.byName[n.name] != nil {
			return nil, fmt.Errorf("component %s is declared twice", n.name)
		}
		n.status = Status{Name: n.name, State: Pending, Since: time.Now(), Needs: n.needs}
		s.units, s.byName[n.name] = append(s.units, n), n
	}
	if err := s.checkOrder(); err != nil {
		return nil, err
	}
	return s, nil
}

// checkOrder refuses needs that can never be met.
func (s *Supervisor) checkOrder() error {
	const visiting, visited = 1, 2
	mark := map[string]int{}
	var visit func(u *unit, path []string) error
	visit = func(u *unit, path []string) error {
		path = append(path, u.name)
		switch mark[u.name] {
		case visited:
			return nil
		case visiting:
			return fmt.Errorf("components need each other in a circle: %v", path)
		}
		mark[u.name] = visiting
		for _, need := range u.needs {
			n := s.byName[need]
			if n == nil {
				return fmt.Errorf("component %s needs %s, which does not exist", u.name, need)
			}
			if err := visit(n, path); err != nil {
				return err
			}
		}
		mark[u.name] = visited
		return nil
	}
	for _, u := range s.units {
		if err := visit(u, nil); err != nil {
			return err
		}
	}
	return nil
}

// Run runs every unit until ctx is cancelled, then stops them in reverse order of need: a unit is
// told to stop only when nothing that needs it runs any more. It is called once. A unit that does not
// stop within its deadline is left behind, and is the only thing that may still run afterwards.
func (s *Supervisor) Run(ctx context.Context) error {
	base := context.WithoutCancel(ctx)
	for _, u := range s.units {
		var unitCtx context.Context
		unitCtx, u.cancel = context.WithCancel(base)
		go s.loop(unitCtx, u)
	}
	<-ctx.Done()
	var wg sync.WaitGroup
	for _, u := range s.units {
		wg.Go(func() { s.stop(u) })
	}
	wg.Wait()
	return nil
}

// stop waits for the dependants of u, then stops u within its deadline.
func (s *Supervisor) stop(u *unit) {
	for _, d := range s.units {
		if slices.Contains(d.needs, u.name) {
			<-d.done
		}
	}
	s.close(u)
	u.cancel()
	select {
	case <-u.done:
	case <-time.After(u.StopTimeout):
		s.log.Error("component does not stop", "component", u.name, "timeout", u.StopTimeout)
		s.setState(u, Stopped, fmt.Sprintf("gave up after %s", u.StopTimeout))
		u.finish()
	}
}

// Restart asks for a restart of one component, at once and without counting as a failure; its
// dependants stay up. One that waits or backs off is tried right away.
func (s *Supervisor) Restart(name string) error {
	u := s.byName[name]
	if u == nil {
		return fmt.Errorf("%w: %q", ErrUnknown, name)
	}
	select {
	case u.kick <- struct{}{}:
	default: // one is already asked for
	}
	return nil
}

// Snapshot lists every component in the order of declaration.
func (s *Supervisor) Snapshot() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Status, len(s.units))
	for i, u := range s.units {
		out[i] = u.status
		if p, ok := u.running.(interface{ PID() int }); ok {
			out[i].PID = p.PID()
		}
		if w, ok := u.running.(Waiter); ok && u.status.State == Starting {
			out[i].Reason = w.WaitingFor()
		}
	}
	return out
}

// Needs says whether one component needs another, at once or through what it needs, or is it.
func (s *Supervisor) Needs(name, other string) bool {
	if name == other {
		return true
	}
	u := s.byName[name]
	return u != nil && slices.ContainsFunc(u.needs, func(need string) bool { return s.Needs(need, other) })
}

// Events lists the newest events, oldest first.
func (s *Supervisor) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.history.events)
}

// Changed returns a channel that is closed at the next change of any component.
func (s *Supervisor) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// setState records a change, unless the unit is being stopped for good and only Stopped can follow.
func (s *Supervisor) setState(u *unit, state State, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !u.closing || state == Stopped {
		s.record(u, state, reason)
	}
}

// close marks u as being stopped for good, whatever its run still reports.
func (s *Supervisor) close(u *unit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record(u, Stopping, "")
	u.closing = true
}

// record must be called with mu held. Repeating the same state and reason is no change; nothing
// follows Stopped.
func (s *Supervisor) record(u *unit, state State, reason string) {
	last := u.status
	if last.State == state && last.Reason == reason || last.State == Stopped {
		return
	}
	now := time.Now()
	if last.State != state {
		u.status.Since = now
	}
	u.status.State, u.status.Reason = state, reason
	s.history.add(Event{At: now, Component: u.name, State: state, Reason: reason})
	close(s.changed)
	s.changed = make(chan struct{})
	s.log.Info("component changed", "component", u.name, "state", state, "reason", reason)
}

func (s *Supervisor) setRunning(u *unit, c Component) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u.running = c
}

// countEnd counts the end of a run; failures is how many of the last runs in a row failed.
func (s *Supervisor) countEnd(u *unit, failures int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u.status.Restarts++
	u.status.Failures = failures
}
