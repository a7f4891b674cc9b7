package reset

import (
	"context"
	"slices"
)

// Kind is what a step is about.
type Kind string

// The kinds of steps, in the order in which they come.
const (
	KindFence     Kind = "fence"
	KindUnit      Kind = "unit"
	KindDaemon    Kind = "daemon"
	KindProcess   Kind = "process"
	KindMount     Kind = "mount"
	KindNamespace Kind = "namespace"
	KindLink      Kind = "link"
	KindAddress   Kind = "address"
	KindRoute     Kind = "route"
	KindTable     Kind = "nftables"
	KindSet       Kind = "ipset"
	KindSetting   Kind = "setting"
	KindGroup     Kind = "cgroup"
	KindFile      Kind = "file"
	KindDirectory Kind = "directory"
)

// The phases. One begins when all steps of the one before have succeeded: no file goes while something
// may be using it, and the journal not while something is left that only it tells of.
const (
	phaseStop = iota
	phaseUndo
	phaseFiles
	phaseEnd
	phases
)

// Step is one thing that a reset does. Doing it again, or when its object is gone, does nothing.
type Step struct {
	Kind   Kind   `json:"kind"`
	Object string `json:"object"` // exactly
	Detail string `json:"detail"` // in words
	phase  int
	do     func(context.Context) error
}

// Kept is something that stays though it looks like the node's, and why.
type Kept struct {
	Object string `json:"object"`
	Reason string `json:"reason"`
}

// Plan is everything that a reset will do, in order.
type Plan struct {
	Node    string `json:"node"`
	Journal bool   `json:"journal"` // whether it is known what was here before
	Steps   []Step `json:"steps"`
	Kept    []Kept `json:"kept"`
	// Daemon is the process id of a node daemon that no service manager runs; 0 if there is none.
	Daemon int `json:"daemon,omitempty"`
}

// sort brings the phases into order; within one, the order of planning stays.
func (p *Plan) sort() {
	slices.SortStableFunc(p.Steps, func(a, b Step) int { return a.phase - b.phase })
}

// Options say what is to stay.
type Options struct {
	KeepConfig    bool `json:"keepConfig"`
	KeepVolumes   bool `json:"keepVolumes"`
	DeleteVolumes bool `json:"deleteVolumes"` // also those outside of the state directory
}

// builder makes a plan from what was, what is, and what is wanted. It looks at nothing else.
type builder struct {
	target  Target
	past    past
	now     State
	options Options
	plan    *Plan
}

func (b builder) step(phase int, kind Kind, object, detail string, do func(context.Context) error) {
	b.plan.Steps = append(b.plan.Steps, Step{Kind: kind, Object: object, Detail: detail, phase: phase, do: do})
}

func (b builder) keep(object, reason string) {
	b.plan.Kept = append(b.plan.Kept, Kept{object, reason})
}

// remove plans the deletion of a file, or of a directory with everything in it.
func (b builder) remove(phase int, path, detail string) {
	b.step(phase, KindFile, path, detail, func(ctx context.Context) error { return removeAll(ctx, path) })
}

// build plans everything but the stop of the daemon.
func (b builder) build() {
	b.planProcesses()
	b.planMounts()
	b.planLinks()
	b.planTables()
	b.planSets()
	b.planSettings()
	b.planGroups()
	b.planPlaces()
	b.planOwn()
}
