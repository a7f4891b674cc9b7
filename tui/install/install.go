// Package install are the screens that make a node of a machine: the wizard's questions, the checks, what will be done, how it
// goes, and the recovery key. They drive what the command line drives, and know nothing that it does not.
package install

import (
	"context"
	"errors"
	"sync"

	tea "charm.land/bubbletea/v2"

	"islet/appliance/host"
	"islet/appliance/setup"
	"islet/appliance/wizard"
	"islet/tui/screen"
)

// Engine is what the screens drive.
type Engine struct {
	Trust  Trust
	Wizard *wizard.Wizard
	// Look finds out once more what this machine is like.
	Look func() host.Facts
	// Order is what an interrupted installation was to do: nothing is asked then. Else it is nil.
	Order *wizard.Order
	// Do carries an order out. It ends soon after ctx does.
	Do      func(context.Context, wizard.Order, setup.Driver) error
	Explain func(error) Failure
	// After shows a node that is ready, by screen.Replace; nil where there is nothing to show.
	After tea.Cmd
}

// Trust is who vouches for the file that is installed. Without a name it carries nothing.
type Trust struct {
	Name, Version string
	Components    int
	Signed        wizard.Text
}

// Text says it in a line.
func (t Trust) Text() wizard.Text {
	if t.Name == "" {
		return wizard.Text{Format: "This file carries no components: it can join a site, whose servers have them."}
	}
	return wizard.Text{Format: "%s %s, %d components, %s.", Args: []any{t.Name, t.Version, t.Components, t.Signed}}
}

// Failure is why it did not work, for people.
type Failure struct {
	Message string
	Advice  []string
	Code    int
	Log     string // where more is written; may be empty
}

// Flow is the way from the first question to the node. Its pages replace each other; it keeps what they have in common.
type Flow struct {
	ctx    *screen.Context
	engine Engine

	mu      sync.Mutex // Close may be called by another goroutine than the pages'
	session *session
}

// New returns a flow that has not begun.
func New(ctx *screen.Context, e Engine) *Flow { return &Flow{ctx: ctx, engine: e} }

// First is the page to begin with: the choice of a language where the terminal can show more than one.
func (f *Flow) First() screen.Page {
	switch {
	case f.engine.Order != nil:
		return newRun(f, *f.engine.Order)
	case f.ctx.Profile.Wide:
		return newLanguage(f)
	}
	return newQuestions(f)
}

// Outcome is what came of it.
type Outcome struct {
	Began bool // to do something: more than questions and checks
	Err   error
}

// Close ends what still runs, waits for that and says what came of the last try. It is called when the screens are gone.
func (f *Flow) Close() Outcome {
	f.mu.Lock()
	s := f.session
	f.mu.Unlock()
	if s == nil {
		return Outcome{}
	}
	s.cancel()
	<-s.done
	out := Outcome{Began: s.snapshot().began, Err: s.err()}
	if !out.Began && errors.Is(out.Err, context.Canceled) { // by going back, or leaving
		return Outcome{}
	}
	return out
}

// order begins to carry out what was answered.
func (f *Flow) order() tea.Cmd {
	o, err := f.engine.Wizard.Order()
	if err != nil {
		return nil // the questions have been answered without a problem
	}
	return screen.Replace(newRun(f, o))
}
