package release

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/paas/application"
	"islet/appliance/paas/v1alpha1"
)

// The times of a strategy that says none.
const (
	defaultHold = 30 * time.Second
	defaultKeep = time.Minute
)

// leaveTime is how long a release that goes still runs when no request is sent to it any more: as long as all gateways take to learn of it,
// and what was sent before takes to be answered.
const leaveTime = 5 * time.Second

// Steps of the way back. Those of the way there count from 1.
const (
	stepBack = -1 // the former release gets all requests
	stepGone = -2 // and is alone
)

// beside says whether an order has both releases run at the same time. There must be one before it.
func beside(o *v1alpha1.ReleaseOrder) bool {
	s := o.Spec.Strategy
	return s != nil && s.Kind != "" && s.Kind != v1alpha1.StrategyRolling && o.Status.Before != nil
}

// weights are the steps in which both releases get requests.
func weights(o *v1alpha1.ReleaseOrder) []v1alpha1.WeightStep {
	s := o.Spec.Strategy
	if s.Kind == v1alpha1.StrategyAB && len(s.Steps) == 0 {
		return []v1alpha1.WeightStep{{Weight: 50}}
	}
	return s.Steps
}

// over says that the old release is being removed: there is nothing left to go back to.
func over(o *v1alpha1.ReleaseOrder) bool {
	return beside(o) && o.Status.Step > int32(len(weights(o)))+1
}

// refuseStrategy finds what cannot run beside itself.
func refuseStrategy(o *v1alpha1.ReleaseOrder, f Facts) string {
	if s := o.Spec.Strategy; s == nil || s.Kind == "" || s.Kind == v1alpha1.StrategyRolling || f.Application == nil {
		return ""
	}
	stateful := func(list []v1alpha1.Component) (out []v1alpha1.Component) {
		for _, c := range list {
			if c.Stateful() {
				c.Replicas = nil
				out = append(out, c)
			}
		}
		return out
	}
	if !equality.Semantic.DeepEqual(stateful(f.Application.Spec.Components), stateful(f.Release.Spec.Template.Components)) {
		return "the release changes a stateful component, and its volumes cannot be had twice: use the strategy Rolling"
	}
	return ""
}

// runBeside takes an order on whose releases run beside each other: the new one is started, gets its part of the requests step by step,
// then all of them, and the old one is kept for a while.
func runBeside(o *v1alpha1.ReleaseOrder, f Facts) *v1alpha1.ApplicationSpec {
	spec := wantedBeside(o, f)
	if f.Application == nil || !equality.Semantic.DeepEqual(&f.Application.Spec, spec) {
		return spec
	}
	n := int32(len(weights(o)))
	if over(o) {
		enter(o, f.Now, v1alpha1.PhaseDone, "")
		return nil
	}
	if o.Spec.Paused {
		enter(o, f.Now, o.Status.Phase, pausedMessage)
		return nil
	}
	if o.Status.Message == pausedMessage { // the time that it was paused does not count
		o.Status.Since, o.Status.StepSince = stamp(f.Now), stamp(f.Now)
	}
	if f.Application.Status.ObservedGeneration < f.Application.Generation || f.Application.Status.Beside == nil {
		enter(o, f.Now, o.Status.Phase, "the application's controller has not seen it yet")
		return nil
	}
	watchBeside(o, f, n)
	return nil
}

// watchBeside judges the new release, wherever it is, and goes to the next step when it has been well for long enough.
func watchBeside(o *v1alpha1.ReleaseOrder, f Facts, n int32) {
	s := f.Application.Status
	now := v1alpha1.BesideStatus{State: s.State, Message: s.Message}
	if o.Status.Step <= n {
		now = *s.Beside
	}
	hold, what := holds(o, n)
	timeout := cmp.Or(time.Duration(o.Spec.TimeoutSeconds)*time.Second, defaultTimeout)
	well, errors := now.State == v1alpha1.StateReady || now.State == v1alpha1.StateStopped, tooManyErrors(o, f)
	switch {
	case now.State == v1alpha1.StateDegraded:
		fail(o, f, now.Message)
	case errors != "":
		fail(o, f, errors)
	case !well && f.Now.Sub(o.Status.Since.Time) >= timeout+hold:
		fail(o, f, fmt.Sprintf("it was not ready after %s: %s", timeout+hold, now.Message))
	case !well:
		o.Status.StepSince = nil
		enter(o, f.Now, o.Status.Phase, now.Message)
	case o.Status.StepSince == nil && hold > 0:
		o.Status.StepSince = stamp(f.Now)
		enter(o, f.Now, o.Status.Phase, what)
	case hold > 0 && f.Now.Sub(o.Status.StepSince.Time) < hold:
		enter(o, f.Now, o.Status.Phase, what)
	case o.Status.Step == 0 && !hooks(o, f, v1alpha1.HookVerify, application.BesideEnding):
	default:
		advance(o, f.Now, n)
	}
}

// holds says how long the new release must be well at this step, and why.
func holds(o *v1alpha1.ReleaseOrder, n int32) (time.Duration, string) {
	switch step := o.Status.Step; {
	case step == 0:
		return 0, ""
	case step <= n:
		w := weights(o)[step-1]
		hold := cmp.Or(time.Duration(w.HoldSeconds)*time.Second, defaultHold)
		return hold, fmt.Sprintf("step %d of %d: %s gets %d of 100 requests, for %s", step, n, o.Spec.Release, w.Weight, hold)
	}
	keep := cmp.Or(time.Duration(o.Spec.Strategy.KeepSeconds)*time.Second, defaultKeep)
	hold := max(keep, cmp.Or(time.Duration(o.Spec.VerifySeconds)*time.Second, defaultVerify))
	return hold, fmt.Sprintf("%s gets all requests; %s is kept for %s", o.Spec.Release, cmp.Or(o.Status.PreviousRelease, "what was there before"), hold)
}

// advance comes to the next step, and notes it in the history.
func advance(o *v1alpha1.ReleaseOrder, now time.Time, n int32) {
	o.Status.Step++
	o.Status.StepSince, o.Status.Traffic = nil, nil
	_, what := holds(o, n)
	switch {
	case o.Status.Step <= n:
		o.Status.Since = stamp(now)
		record(o, now, what)
	case o.Status.Step == n+1:
		enter(o, now, v1alpha1.PhaseVerifying, what)
	default:
		what = "the release before is removed"
	}
	o.Status.Message = what
}

// wantedBeside is the application as it is to be at an order's step.
func wantedBeside(o *v1alpha1.ReleaseOrder, f Facts) *v1alpha1.ApplicationSpec {
	n, next := int32(len(weights(o))), besideOf(o, f)
	spec := v1alpha1.ApplicationSpec{}
	if f.Application != nil {
		spec = *f.Application.Spec.DeepCopy()
	}
	was := v1alpha1.Beside{ApplicationTemplate: *o.Status.Before.DeepCopy(), Release: o.Status.PreviousRelease}
	blue := cmp.Or(o.Status.Colour, v1alpha1.Blue)
	if o.Status.Step <= n {
		spec.ApplicationTemplate, spec.Release, spec.Colour, spec.Beside = was.ApplicationTemplate, was.Release, blue, &next
		if s := o.Status.Step; s > 0 {
			next.Weight, next.Header, next.Cookie = weights(o)[s-1].Weight, o.Spec.Strategy.Header, o.Spec.Strategy.Cookie
		}
		return &spec
	}
	spec.ApplicationTemplate, spec.Release, spec.Colour, spec.Beside = next.ApplicationTemplate, next.Release, blue.Other(), nil
	if o.Status.Step == n+1 {
		spec.Beside = &was
	}
	return &spec
}

// besideOf is the new release, with as many replicas as there were before.
func besideOf(o *v1alpha1.ReleaseOrder, f Facts) v1alpha1.Beside {
	b := v1alpha1.Beside{Release: o.Spec.Release}
	if f.Release != nil {
		b.ApplicationTemplate = sized(f.Release.Spec.Template, o.Status.Before.Components, f.Environment.Rules().MinReplicas)
	}
	return b
}

// rollBackBeside gives the former release all requests before the new one ends. It returns nil when it is alone.
func rollBackBeside(o *v1alpha1.ReleaseOrder, f Facts) *v1alpha1.ApplicationSpec {
	a := f.Application
	spec := former(o, a)
	spec.Colour = cmp.Or(o.Status.Colour, v1alpha1.Blue)
	if o.Status.Step >= 0 {
		o.Status.Step, o.Status.StepSince = stepBack, nil
	}
	if a.Spec.Beside == nil && cmp.Or(a.Spec.Colour, v1alpha1.Blue) == spec.Colour {
		o.Status.Step = stepGone
	}
	if o.Status.Step == stepBack {
		spec.Beside = besideBack(o, a)
	} else {
		spec.Beside = nil
	}
	if !equality.Semantic.DeepEqual(&a.Spec, spec) {
		return spec
	}
	if o.Status.Step == stepGone {
		return nil
	}
	switch {
	case a.Status.ObservedGeneration < a.Generation:
	case o.Status.StepSince == nil:
		o.Status.StepSince = stamp(f.Now)
	case f.Now.Sub(o.Status.StepSince.Time) >= leaveTime:
		o.Status.Step = stepGone
	}
	return spec
}

// besideBack is the new release as it runs, without a request.
func besideBack(o *v1alpha1.ReleaseOrder, a *v1alpha1.Application) *v1alpha1.Beside {
	if cmp.Or(a.Spec.Colour, v1alpha1.Blue) != cmp.Or(o.Status.Colour, v1alpha1.Blue) {
		return &v1alpha1.Beside{ApplicationTemplate: *a.Spec.ApplicationTemplate.DeepCopy(), Release: a.Spec.Release}
	}
	return &v1alpha1.Beside{ApplicationTemplate: *a.Spec.Beside.ApplicationTemplate.DeepCopy(), Release: a.Spec.Beside.Release}
}

// sized is a template with the replicas that components have already, where the environment allows so few.
func sized(t v1alpha1.ApplicationTemplate, before []v1alpha1.Component, least int32) v1alpha1.ApplicationTemplate {
	out := *t.DeepCopy()
	for i := range out.Components {
		c := &out.Components[i]
		if j := slices.IndexFunc(before, func(b v1alpha1.Component) bool { return b.Name == c.Name }); j >= 0 {
			c.Replicas = before[j].Replicas
		}
		if c.Replicas != nil && *c.Replicas < least {
			c.Replicas = nil
		}
	}
	return out
}

func stamp(now time.Time) *metav1.Time {
	at := metav1.NewTime(now.Truncate(time.Second))
	return &at
}
