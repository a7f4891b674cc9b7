package release

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"islet/appliance/paas/v1alpha1"
)

const pausedMessage = "it is paused"

// The times of an order that says none.
const (
	defaultVerify  = 10 * time.Second
	defaultTimeout = 10 * time.Minute
)

// Step takes an order one step on, if there is one to take, by what is in its status and in the facts alone: whoever takes the next one
// needs to know nothing else. It returns what is to become of the application; nil leaves it as it is. The status must be
// stored before the application is touched.
func Step(o *v1alpha1.ReleaseOrder, f Facts) *v1alpha1.ApplicationSpec {
	switch o.Status.Phase {
	case "", v1alpha1.PhaseDraft, v1alpha1.PhaseChecked, v1alpha1.PhasePending, v1alpha1.PhaseApproved, v1alpha1.PhaseWaiting:
		prepare(o, f)
		return nil
	case v1alpha1.PhaseRunning, v1alpha1.PhaseVerifying:
		return run(o, f)
	case v1alpha1.PhaseFailed:
		enter(o, f.Now, v1alpha1.PhaseRollingBack, o.Status.Failure)
		return nil
	case v1alpha1.PhaseRollingBack:
		return rollBack(o, f)
	}
	return nil // the ends
}

// enter comes to a phase, or changes what is said of it.
func enter(o *v1alpha1.ReleaseOrder, now time.Time, phase v1alpha1.Phase, message string) {
	s := &o.Status
	if s.Phase != phase {
		s.Phase, s.Since = phase, stamp(now)
		record(o, now, message)
	}
	s.Message = message
}

// record adds to what an order remembers.
func record(o *v1alpha1.ReleaseOrder, now time.Time, message string) {
	s := &o.Status
	s.History = append(s.History, v1alpha1.OrderEvent{At: *stamp(now), Phase: s.Phase, Message: message})
	if extra := len(s.History) - maxHistory; extra > 0 {
		s.History = slices.Delete(s.History, 1, 1+extra)
	}
}

// maxHistory is how many events an order remembers; the first is always kept.
const maxHistory = 50

// prepare takes an order up to the point where it begins.
func prepare(o *v1alpha1.ReleaseOrder, f Facts) {
	if r := o.Spec.Refusal; r != nil {
		message := "refused by " + r.By
		if r.Comment != "" {
			message += ": " + r.Comment
		}
		enter(o, f.Now, v1alpha1.PhaseRefused, message)
		return
	}
	if o.Spec.Abandoned {
		enter(o, f.Now, v1alpha1.PhaseAbandoned, "it was abandoned before it began")
		return
	}
	switch o.Status.Phase {
	case "", v1alpha1.PhaseDraft:
		if why := refuse(o, f); why != "" {
			enter(o, f.Now, v1alpha1.PhaseRefused, why)
			return
		}
		o.Status.Content = Content(f.Release)
		enter(o, f.Now, v1alpha1.PhaseChecked, "")
	case v1alpha1.PhaseChecked, v1alpha1.PhasePending:
		if missing := approvalsMissing(o, f); missing > 0 {
			enter(o, f.Now, v1alpha1.PhasePending, fmt.Sprintf("approvals are missing: %d of %d, by others than %s", missing, f.Environment.Rules().Approvals, o.Spec.Author))
			return
		}
		enter(o, f.Now, v1alpha1.PhaseApproved, "")
	default:
		begin(o, f)
	}
}

func approvalsMissing(o *v1alpha1.ReleaseOrder, f Facts) int {
	if o.Spec.RollbackOf != "" {
		return 0
	}
	missing := int(f.Environment.Rules().Approvals)
	for _, a := range o.Spec.Approvals {
		if a.By != o.Spec.Author {
			missing--
		}
	}
	return missing
}

// begin lets an order that may run do so, and notes what was there before.
func begin(o *v1alpha1.ReleaseOrder, f Facts) {
	if why := wait(o, f); why != "" {
		enter(o, f.Now, v1alpha1.PhaseWaiting, why)
		return
	}
	if f.Release == nil || Content(f.Release) != o.Status.Content {
		enter(o, f.Now, v1alpha1.PhaseRefused, "release "+o.Spec.Release+" is not what it was when the order was checked")
		return
	}
	if a := f.Application; a != nil {
		o.Status.Before, o.Status.PreviousRelease, o.Status.Colour = a.Spec.ApplicationTemplate.DeepCopy(), a.Spec.Release, a.Spec.Colour
	}
	enter(o, f.Now, v1alpha1.PhaseRunning, "")
}

// run brings the application to the release and watches it.
func run(o *v1alpha1.ReleaseOrder, f Facts) *v1alpha1.ApplicationSpec {
	if over(o) {
		return runBeside(o, f)
	}
	if o.Spec.Abandoned {
		fail(o, f, "it was abandoned")
		return nil
	}
	if f.Release == nil || Content(f.Release) != o.Status.Content {
		fail(o, f, "release "+o.Spec.Release+" is not what it was when the order was checked")
		return nil
	}
	if !hooks(o, f, v1alpha1.HookBefore, "") {
		return nil
	}
	if beside(o) {
		return runBeside(o, f)
	}
	spec := wanted(o, f)
	if f.Application == nil || !equality.Semantic.DeepEqual(&f.Application.Spec, spec) {
		if o.Spec.Paused {
			enter(o, f.Now, o.Status.Phase, pausedMessage)
		}
		return spec
	}
	if o.Spec.Paused {
		enter(o, f.Now, o.Status.Phase, pausedMessage)
		return nil
	}
	if o.Status.Message == pausedMessage { // the time that it was paused does not count
		o.Status.Since = stamp(f.Now)
	}
	watch(o, f)
	return nil
}

// watch judges an application that is what the order wants.
func watch(o *v1alpha1.ReleaseOrder, f Facts) {
	a, in := f.Application, f.Now.Sub(o.Status.Since.Time)
	if a.Status.ObservedGeneration < a.Generation {
		enter(o, f.Now, o.Status.Phase, "the application's controller has not seen it yet")
		return
	}
	well := a.Status.State == v1alpha1.StateReady || a.Status.State == v1alpha1.StateStopped
	verify := cmp.Or(time.Duration(o.Spec.VerifySeconds)*time.Second, defaultVerify)
	timeout := cmp.Or(time.Duration(o.Spec.TimeoutSeconds)*time.Second, defaultTimeout)
	errors := ""
	if o.Status.Phase == v1alpha1.PhaseVerifying { // before that both releases answer
		errors = tooManyErrors(o, f)
	}
	switch {
	case a.Status.State == v1alpha1.StateDegraded:
		fail(o, f, a.Status.Message)
	case errors != "":
		fail(o, f, errors)
	case well && o.Status.Phase == v1alpha1.PhaseVerifying && !hooks(o, f, v1alpha1.HookVerify, ""):
	case well && o.Status.Phase == v1alpha1.PhaseVerifying && in >= verify:
		enter(o, f.Now, v1alpha1.PhaseDone, "")
	case well:
		enter(o, f.Now, v1alpha1.PhaseVerifying, fmt.Sprintf("it is well, and must be for %s", verify))
	case o.Status.Phase == v1alpha1.PhaseVerifying:
		enter(o, f.Now, v1alpha1.PhaseRunning, a.Status.Message)
	case in >= timeout:
		fail(o, f, fmt.Sprintf("it was not ready after %s: %s", timeout, a.Status.Message))
	default:
		enter(o, f.Now, v1alpha1.PhaseRunning, a.Status.Message)
	}
}

func fail(o *v1alpha1.ReleaseOrder, f Facts, why string) {
	o.Status.Failure = why
	enter(o, f.Now, v1alpha1.PhaseFailed, why)
}

// rollBack brings the application to what was there before. What had nothing before it is stopped.
func rollBack(o *v1alpha1.ReleaseOrder, f Facts) *v1alpha1.ApplicationSpec {
	if f.Application == nil {
		enter(o, f.Now, v1alpha1.PhaseRolledBack, o.Status.Failure)
		return nil
	}
	if beside(o) {
		if spec := rollBackBeside(o, f); spec != nil {
			return spec
		}
	}
	spec := former(o, f.Application)
	if !equality.Semantic.DeepEqual(&f.Application.Spec, spec) {
		return spec
	}
	a, timeout := f.Application, cmp.Or(time.Duration(o.Spec.TimeoutSeconds)*time.Second, defaultTimeout)
	seen := a.Status.ObservedGeneration >= a.Generation
	message := o.Status.Failure
	if o.Status.Before == nil {
		message += "; there was nothing before, so it is stopped"
	}
	switch {
	case seen && (a.Status.State == v1alpha1.StateReady || a.Status.State == v1alpha1.StateStopped):
		enter(o, f.Now, v1alpha1.PhaseRolledBack, message)
	case f.Now.Sub(o.Status.Since.Time) >= timeout:
		enter(o, f.Now, v1alpha1.PhaseRolledBack, message+"; what was there before is not well either: "+a.Status.Message)
	}
	return nil
}

// wanted is the application as the order wants it: the release's template, with the replicas that the environment has already.
func wanted(o *v1alpha1.ReleaseOrder, f Facts) *v1alpha1.ApplicationSpec {
	spec := v1alpha1.ApplicationSpec{}
	if f.Application != nil {
		spec = *f.Application.Spec.DeepCopy()
	}
	spec.ApplicationTemplate = sized(f.Release.Spec.Template, spec.Components, f.Environment.Rules().MinReplicas)
	spec.Beside = nil
	spec.Release, spec.Paused = o.Spec.Release, o.Spec.Paused
	return &spec
}

// former is the application as it was before the order.
func former(o *v1alpha1.ReleaseOrder, a *v1alpha1.Application) *v1alpha1.ApplicationSpec {
	spec := a.Spec.DeepCopy()
	spec.Paused, spec.Beside = false, nil
	if o.Status.Before == nil {
		spec.Stopped = true
		return spec
	}
	spec.ApplicationTemplate, spec.Release = *o.Status.Before.DeepCopy(), o.Status.PreviousRelease
	return spec
}
