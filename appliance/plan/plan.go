// Package plan keeps what was done to this machine, step by step: the journal of each installation, each join and each restore,
// while it runs and after it has ended. Whoever looks later sees what was done, when, and what stopped it.
package plan

import (
	"time"

	"islet/appliance/install"
)

// State is how far a plan, or a step of one, is.
type State string

// The states. A step that was found done is Unchanged; one that a stop has left is Pending. A plan is Interrupted when whoever
// carried it out is gone without a word.
const (
	Pending     State = "pending"
	Running     State = "running"
	Unchanged   State = "unchanged"
	Done        State = "done"
	Failed      State = "failed"
	Interrupted State = "interrupted"
)

// Kind is what a plan makes of the machine.
type Kind string

// The kinds of plans that are kept.
const (
	Install Kind = "install"
	Join    Kind = "join"
	Restore Kind = "restore"
)

// The kinds of steps that come after those of the installation itself.
const (
	KindStart install.Kind = "start"
	KindKey   install.Kind = "key"
)

// Journal is a plan and how it went.
type Journal struct {
	ID      string `json:"id"` // when it began and what it is; later ones sort behind
	Kind    Kind   `json:"kind"`
	State   State  `json:"state"`
	Version string `json:"version"` // of the program that carried it out
	// Begun is when the machine was changed first. Ended is zero while it runs, and where it was interrupted.
	Begun time.Time `json:"begun"`
	Ended time.Time `json:"ended,omitzero"`
	Steps []Step    `json:"steps"`
	// Error is what ended it, and Advice what to do about it.
	Error  string   `json:"error,omitempty"`
	Advice []string `json:"advice,omitempty"`
	// Resume is the command that goes on, as arguments of this program; empty where there is nothing to go on with.
	Resume []string `json:"resume,omitempty"`
	// Process is who carries it out.
	Process Process `json:"process"`
}

// Step is one thing that a plan does.
type Step struct {
	Kind   install.Kind `json:"kind"`
	Object string       `json:"object"`
	Detail string       `json:"detail"`
	State  State        `json:"state"`
	// Begun is zero for a step that has not begun, Ended for one that has not ended.
	Begun time.Time `json:"begun,omitzero"`
	Ended time.Time `json:"ended,omitzero"`
	Error string    `json:"error,omitempty"`
}

// At is the step that is at work, or where it stopped; -1 where all have ended well.
func (j Journal) At() int {
	for i, s := range j.Steps {
		if s.State != Done && s.State != Unchanged {
			return i
		}
	}
	return -1
}

// Unfinished says whether it has ended without having come to its end.
func (j Journal) Unfinished() bool { return j.State == Failed || j.State == Interrupted }

// begin puts the steps of a plan into the state in which none has been looked at.
func begin(steps []install.Step) []Step {
	all := make([]Step, 0, len(steps)+2)
	for _, s := range steps {
		step := Step{Kind: s.Kind, Object: s.Object, Detail: s.Detail, State: Pending}
		if s.Done {
			step.State = Unchanged
		}
		all = append(all, step)
	}
	return all
}
