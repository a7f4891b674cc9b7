// Package component is the contract of everything that a node runs, and the supervisor that keeps
// it running.
//
// The life of one unit, as the supervisor sees it:
//
//	Pending -> Waiting (for its needs) -> Preparing -> Starting -> Ready <-> Degraded
//	   ^                                      |            |          |         |
//	   |                                      v            v          v         v
//	   +------- Backoff <-------------------- ended without being asked to (a new Component is made)
//
//	any state -> Stopping -> Preparing ... when a restart is asked for
//	any state -> Stopping -> Stopped       once the supervisor's context is cancelled
package component

import "context"

// Component is one thing the appliance runs. Run blocks until ctx is cancelled or it fails; it
// returns nil after a clean stop. It calls ready once it serves its purpose, at most once.
// A Component is used once: a restart makes a new one.
type Component interface {
	// Name is unique in a supervisor and is a valid file and cgroup name.
	Name() string
	// Needs lists the names of components that must be ready first.
	Needs() []string
	Run(ctx context.Context, ready func()) error
}

// Preparer is implemented by a Component that has files, certificates or directories to put in
// place. Prepare is called before every Run, is idempotent, and its failure counts as a failed run.
type Preparer interface {
	Prepare(ctx context.Context) error
}

// Checker is implemented by a Component whose health can be asked for while it runs. The supervisor
// calls Check every few seconds once the component is ready; an error makes it Degraded, never
// restarts it: a slow disk must not turn into a restart loop. Check returns soon after ctx ends.
type Checker interface {
	Check(ctx context.Context) error
}

// Waiter is implemented by a Component that knows what it waits for before it is ready. It is asked
// for each Snapshot, so it must not block.
type Waiter interface {
	WaitingFor() string
}

// Task adapts a function to a Component.
type Task struct {
	TaskName  string
	TaskNeeds []string
	Do        func(ctx context.Context, ready func()) error
}

// Name implements Component.
func (t Task) Name() string { return t.TaskName }

// Needs implements Component.
func (t Task) Needs() []string { return t.TaskNeeds }

// Run implements Component.
func (t Task) Run(ctx context.Context, ready func()) error { return t.Do(ctx, ready) }
