package install

import (
	"context"
	"slices"
	"sync"
	"time"

	"islet/appliance/setup"
	"islet/appliance/wizard"
)

// session is one try to carry out an order, in a goroutine of its own. It is the driver of that, and keeps what it was told
// for the page, which looks when something has changed.
type session struct {
	cancel  context.CancelFunc
	done    chan struct{}
	changed chan struct{} // holds one: something is new
	answers chan error
	now     func() time.Time

	mu     sync.Mutex
	state  state
	result error
}

// state is what is known. A page gets a copy.
type state struct {
	began    bool // with the first step
	stage    setup.Stage
	notes    []string
	plan     *setup.Plan
	ended    []setup.Ended
	progress setup.Progress
	since    time.Time // of the progress
	approval *setup.Approval
	start    *setup.Unmanaged
	node     setup.Status
	waiting  time.Time // since when the node is started
	question setup.Question
	asked    int // how many questions there were
	over     bool
}

// maxNotes bounds what is kept of warnings.
const maxNotes = 50

// begin begins a try, once the one before is over; before is nil for the first.
func begin(e Engine, o wizard.Order, before *session, now func() time.Time) *session {
	ctx, cancel := context.WithCancel(context.Background())
	s := &session{cancel: cancel, done: make(chan struct{}), changed: make(chan struct{}, 1), answers: make(chan error), now: now}
	go func() {
		defer close(s.done)
		if before != nil {
			<-before.done
		}
		err := e.Do(ctx, o, s)
		s.change(func(st *state) {
			st.over, st.question = true, nil
			s.result = err
		})
	}()
	return s
}

func (s *session) change(how func(*state)) {
	s.mu.Lock()
	how(&s.state)
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *session) snapshot() state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *session) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.result
}

// Tell implements setup.Driver.
func (s *session) Tell(e setup.Event) {
	if p, ok := e.(setup.Progress); ok { // comes often: the page looks each second anyway
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.state.progress.What != p.What {
			s.state.since = s.now()
		}
		s.state.progress = p
		return
	}
	s.change(func(st *state) { st.take(e, s.now()) })
}

func (st *state) take(e setup.Event, now time.Time) {
	switch e := e.(type) {
	case setup.Stage:
		st.stage = e
		switch e {
		case setup.Working:
			st.began = true
		case setup.Starting:
			st.waiting = now
		}
	case setup.Note:
		if len(st.notes) < maxNotes {
			st.notes = append(slices.Clip(st.notes), string(e))
		}
	case setup.Ended:
		st.ended = append(slices.Clip(st.ended), e)
		st.progress, st.approval = setup.Progress{}, nil
	case setup.Approval:
		st.approval = &e
	case setup.Status:
		st.node = e
	}
}

// Ask implements setup.Driver. A node that nothing starts is waited for: the page says how to start it.
func (s *session) Ask(ctx context.Context, q setup.Question) error {
	if w, ok := q.(setup.Wait); ok {
		s.change(func(st *state) { st.start = &w.Unmanaged })
		return nil
	}
	s.change(func(st *state) {
		st.question = q
		st.asked++
		if p, ok := q.(setup.Plan); ok {
			st.plan = &p
		}
	})
	defer s.change(func(st *state) { st.question = nil })
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-s.answers:
		return err
	}
}

// answer answers the question that is there. It does not wait long: whoever asked is waiting for it.
func (s *session) answer(err error) {
	select {
	case s.answers <- err:
	case <-s.done:
	}
}
