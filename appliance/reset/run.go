package reset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// rounds is how often a phase looks again for something that is left: ending one thing may uncover
// another.
const rounds = 3

// Reset is the removal of one node from this machine.
type Reset struct {
	target  Target
	past    past
	options Options
	lock    *os.File
}

// New finds out what there is to remove. found is the target that the configuration describes, or the
// default one where there is none. It returns ErrNotNode where neither a journal nor a state directory
// of ours nor our unit is. Options that a reset before this one was given and did not finish count as
// well.
func New(found Target, o Options) (*Reset, error) {
	r := &Reset{target: found, options: o}
	j, err := ReadJournal(found.Layout)
	switch {
	case err == nil:
		r.past = past{known: true, State: j.Before}
		if !found.PodCIDR.IsValid() {
			r.target = j.Target
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case !r.leftovers():
		return nil, ErrNotNode
	}
	if before, ok := readFence(found.Layout); ok && o == (Options{}) {
		r.options = before
	}
	return r, nil
}

// leftovers says whether a node without a journal is here.
func (r *Reset) leftovers() bool {
	state, err := observePath(r.target.Layout.StateDir, true)
	if err == nil && slices.ContainsFunc(state.Entries, func(name string) bool { return slices.Contains(children(r.target.Layout), name) }) {
		return true
	}
	groups, err := observeGroups()
	return err == nil && slices.Contains(groups, ownGroup)
}

// Plan looks at the machine as it is now. It changes nothing.
func (r *Reset) Plan(ctx context.Context) (Plan, error) {
	now, err := Observe(r.target)
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{Node: r.target.NodeName, Journal: r.past.known, Steps: []Step{}, Kept: []Kept{}}
	b := builder{target: r.target, past: r.past, now: now, options: r.options, plan: &plan}
	if err := r.planDaemon(ctx, b); err != nil {
		return Plan{}, err
	}
	b.build()
	plan.sort()
	return plan, nil
}

// Run does it, and tells report of every step that was done, with its error. Where something fails, it
// goes on to the end of the phase and stops there; running it again goes on from what is left.
func (r *Reset) Run(ctx context.Context, report func(Step, error)) error {
	defer r.unlock()
	for phase := range phases {
		if phase == phaseUndo {
			if err := r.takeLock(); err != nil {
				return err
			}
		}
		if err := r.runPhase(ctx, phase, report); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reset) takeLock() (err error) {
	r.lock, err = takeLock(r.target.Layout)
	return err
}

func (r *Reset) unlock() {
	if r.lock != nil {
		_ = r.lock.Close()
	}
}

// runPhase repeats a phase until nothing is left to do. What happens once, and the files, are not
// looked for again.
func (r *Reset) runPhase(ctx context.Context, phase int, report func(Step, error)) error {
	for round := range rounds {
		plan, err := r.Plan(ctx)
		if err != nil {
			return err
		}
		steps := slices.DeleteFunc(plan.Steps, func(s Step) bool { return s.phase != phase })
		var errs []error
		for _, s := range steps {
			if err := ctx.Err(); err != nil {
				return err
			}
			err := s.do(ctx)
			if report != nil {
				report(s, err)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s %s: %w", s.Kind, s.Object, err))
			}
		}
		last := phase != phaseUndo || round == rounds-1
		if len(steps) == 0 || last {
			return errors.Join(errs...)
		}
	}
	return nil
}
