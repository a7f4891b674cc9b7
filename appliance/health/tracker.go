package health

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Active is a problem that is there now.
type Active struct {
	Problem
	Subject  string    `json:"subject"`          // what it is about: a component, a path, an image
	Detail   string    `json:"detail,omitempty"` // this time's reason, measured value, or time
	Since    time.Time `json:"since"`
	HiddenBy Code      `json:"hiddenBy,omitempty"` // its cause, which is raised too; screens leave it out
}

// Headline is the problem as a sentence: "kubelet is not ready".
func (a Active) Headline() string {
	if a.Subject == "" {
		return a.Title
	}
	return a.Subject + " " + a.Title
}

// Tracker holds what is wrong now. Its methods may be called from any goroutine.
type Tracker struct {
	mu      sync.Mutex
	rank    map[Code]int // place in the catalogue
	known   []Problem
	active  map[key]*state
	changed chan struct{}
	closed  bool
}

type key struct {
	code    Code
	subject string
}

type state struct {
	detail string
	since  time.Time
	timer  *time.Timer // tells readers when the problem has lasted long enough; nil when it is shown at once
}

// NewTracker starts with nothing wrong. Close it when nobody reports to it any more.
func NewTracker(catalogue []Problem) *Tracker {
	t := &Tracker{known: catalogue, rank: map[Code]int{}, active: map[key]*state{}, changed: make(chan struct{})}
	for i, p := range catalogue {
		t.rank[p.Code] = i
	}
	return t
}

// Set reports that the problem is there. Reporting it again is cheap, keeps its start, and replaces
// the detail. The code must be in the catalogue; one that is not is shown as it is, as critical.
func (t *Tracker) Set(code Code, subject, detail string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	k := key{code, subject}
	if s, found := t.active[k]; found {
		if s.detail != detail {
			s.detail = detail
			t.notify()
		}
		return
	}
	s := &state{detail: detail, since: time.Now()}
	t.active[k] = s
	if after := t.problem(code).After; after > 0 {
		s.timer = time.AfterFunc(after, func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.notify()
		})
		return
	}
	t.notify()
}

// Clear reports that the problem is gone. Clearing what was not set does nothing.
func (t *Tracker) Clear(code Code, subject string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := key{code, subject}
	s, found := t.active[k]
	if !found {
		return
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	delete(t.active, k)
	t.notify()
}

// Snapshot returns what has lasted long enough to be shown, in the order of the catalogue. What is
// only the consequence of something else in the list has HiddenBy set.
func (t *Tracker) Snapshot() []Active {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := []Active{}
	raised := map[Code]bool{}
	for k, s := range t.active {
		p := t.problem(k.code)
		if time.Since(s.since) < p.After {
			continue
		}
		raised[k.code] = true
		list = append(list, Active{Problem: p, Subject: k.subject, Detail: s.detail, Since: s.since})
	}
	for i := range list {
		for _, cause := range list[i].CausedBy {
			if raised[cause] {
				list[i].HiddenBy = cause
				break
			}
		}
	}
	slices.SortFunc(list, func(a, b Active) int {
		return cmp.Or(cmp.Compare(t.rank[a.Code], t.rank[b.Code]), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Code, b.Code))
	})
	return list
}

// Changed returns a channel that is closed when the next snapshot may differ from one taken after
// this call. Ask for the channel first, then take the snapshot, so that no change is missed.
func (t *Tracker) Changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// Close stops the tracker's timers. It keeps its last state; nothing changes any more.
func (t *Tracker) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, s := range t.active {
		if s.timer != nil {
			s.timer.Stop()
		}
	}
}

// notify must be called with mu held.
func (t *Tracker) notify() {
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *Tracker) problem(code Code) Problem {
	if i, found := t.rank[code]; found {
		return t.known[i]
	}
	return Problem{Code: code, Title: "has the unknown problem " + string(code), Advice: "report this", Severity: Critical}
}
