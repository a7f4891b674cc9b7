package setup

import (
	"context"
	"errors"
	"slices"
	"time"

	"islet/appliance/install"
	"islet/appliance/plan"
)

// Recorder is a Driver that passes everything on to another one and keeps a journal of it. It is made for one plan, and Close
// ends it. A journal that cannot be written stops nothing: the machine is what counts.
type Recorder struct {
	Driver
	store plan.Store
	begin plan.Journal // what is known before the steps are
	// now is the journal; nil until the machine may be changed, and where there is nothing to do.
	now   *plan.Journal
	ended int // steps of the plan
	err   error
}

// Record returns a driver that keeps a journal of a plan of that kind in the store. The resume is the command that goes on
// after an interruption.
func Record(d Driver, store plan.Store, kind plan.Kind, version string, resume ...string) *Recorder {
	return &Recorder{Driver: d, store: store, begin: plan.Journal{Kind: kind, Version: version, Resume: resume}}
}

// Tell implements Driver.
func (r *Recorder) Tell(e Event) {
	switch e := e.(type) {
	case Ended:
		r.step(e)
	case Stage:
		if e == Starting {
			r.starting()
		}
	case Started:
		r.end(e.Err)
	}
	r.Driver.Tell(e)
}

// Ask implements Driver. What a person agrees to is what is recorded; of the recovery key only that it was shown.
func (r *Recorder) Ask(ctx context.Context, q Question) error {
	key, isKey := q.(Key)
	if isKey {
		r.add(plan.Step{Kind: plan.KindKey, Object: key.Recipient, Detail: "show the recovery key once, until somebody has written it down"})
	}
	err := r.Driver.Ask(ctx, q)
	if p, ok := q.(Plan); ok && err == nil {
		r.agreed(p.Steps)
	}
	if isKey {
		r.end(err)
	}
	return err
}

// agreed begins the journal, unless everything is as it should be and nothing was left unfinished.
func (r *Recorder) agreed(steps []install.Step) {
	if !slices.ContainsFunc(steps, func(s install.Step) bool { return !s.Done }) && !r.store.Unfinished() {
		return
	}
	j := r.begin
	r.now = r.store.Begin(&j, steps)
	r.run()
}

// step notes the end of the plan's next step. The first of all makes the place where the journal is kept.
func (r *Recorder) step(e Ended) {
	if r.now == nil || r.ended >= len(r.now.Steps) {
		return
	}
	s := &r.now.Steps[r.ended]
	if r.ended++; s.Kind == install.KindClock && e.Err == nil { // what was before is of another time
		s.Begun = r.store.Time()
		r.now.Begun = s.Begun
	}
	if s.State != plan.Unchanged || e.Err != nil {
		r.close(s, e.Err)
	}
	if e.Err == nil {
		r.run()
	}
	r.write()
}

// run marks the next step as the one at work.
func (r *Recorder) run() {
	if r.ended < len(r.now.Steps) && r.now.Steps[r.ended].State == plan.Pending {
		r.now.Steps[r.ended].State, r.now.Steps[r.ended].Begun = plan.Running, r.store.Time()
	}
}

// add is a step that was not known to come.
func (r *Recorder) add(s plan.Step) {
	if r.now == nil {
		return
	}
	s.State, s.Begun = plan.Running, r.store.Time()
	r.now.Steps = append(r.now.Steps, s)
	r.write()
}

// starting is the step after those of the plan. The machine is a node then, whose daemon goes on by itself: only an installation
// has something left to do.
func (r *Recorder) starting() {
	if r.now != nil && r.now.Kind != plan.Install {
		r.now.Resume = []string{"status", "--wait", waitAgain.String()}
	}
	r.add(plan.Step{Kind: plan.KindStart, Object: "node", Detail: "start, and wait until everything is ready"})
}

// end is that of the last step, which was added.
func (r *Recorder) end(err error) {
	if r.now == nil || len(r.now.Steps) <= r.ended {
		return
	}
	r.close(&r.now.Steps[len(r.now.Steps)-1], err)
	r.write()
}

func (r *Recorder) close(s *plan.Step, err error) {
	s.State, s.Ended = outcome(err), r.store.Time()
	if err != nil {
		s.Error = err.Error()
	}
}

func outcome(err error) plan.State {
	switch {
	case err == nil:
		return plan.Done
	case errors.Is(err, context.Canceled):
		return plan.Interrupted
	}
	return plan.Failed
}

// Close ends the journal with what the plan came to. It returns why the journal could not be kept.
func (r *Recorder) Close(err error, advice ...string) error {
	if r.now == nil {
		return nil
	}
	r.now.State, r.now.Ended = outcome(err), r.store.Time()
	if err != nil {
		r.now.Error, r.now.Advice = err.Error(), advice
	}
	for i := range r.now.Steps {
		if s := &r.now.Steps[i]; s.State == plan.Running {
			r.close(s, err)
		}
	}
	r.write()
	return r.err
}

// waitAgain is how long whoever resumes waits for a node that was not ready in time.
const waitAgain = 15 * time.Minute

// write keeps the journal. The first error is remembered, and nothing else is done about it.
func (r *Recorder) write() {
	if err := r.store.Write(*r.now); err != nil && r.err == nil {
		r.err = err
	}
}
