// Package release carries release orders out: it checks them, waits until they may begin, changes the application, watches it, and goes
// back when it is not well.
package release

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"islet/appliance/paas/v1alpha1"
)

// Facts are what an order is judged by.
type Facts struct {
	Now         time.Time
	Environment *v1alpha1.Environment
	// Release that the order names, here or where it is promoted from; nil if there is none.
	Release *v1alpha1.Release
	// Before are the environments just before this one in the tenant's line; none for the first.
	Before []Stage
	// Orders are the others of the same application in this environment.
	Orders []v1alpha1.ReleaseOrder
	// Application as it is; nil if there is none.
	Application *v1alpha1.Application
	// Traffic that the gateways have sent to the new release; nil if that is not known or does not count.
	Traffic *v1alpha1.Traffic
	// Outcomes of hooks by name: of the one that the order waits for.
	Outcomes map[string]Outcome
}

// Stage is what an earlier environment has seen of a release.
type Stage struct {
	Environment string
	// Content of the release as it was rolled out there; empty if it never was.
	Content string
	// Ran is how long it has run there, at last.
	Ran time.Duration
}

// StageOf finds how long a release has run in an environment, by the orders there.
func StageOf(environment, release string, orders []v1alpha1.ReleaseOrder, now time.Time) Stage {
	s := Stage{Environment: environment}
	var done []v1alpha1.ReleaseOrder
	for _, o := range orders {
		if o.Status.Phase == v1alpha1.PhaseDone && o.Status.Since != nil {
			done = append(done, o)
		}
	}
	slices.SortFunc(done, func(a, b v1alpha1.ReleaseOrder) int { return a.Status.Since.Compare(b.Status.Since.Time) })
	for i, o := range done {
		if o.Spec.Release != release {
			continue
		}
		until := now
		if i+1 < len(done) {
			until = done[i+1].Status.Since.Time
		}
		s.Content, s.Ran = o.Status.Content, max(s.Ran, until.Sub(o.Status.Since.Time))
	}
	return s
}

// Content is a hash of all that a release consists of.
func Content(r *v1alpha1.Release) string {
	raw, err := json.Marshal(r.Spec)
	if err != nil {
		panic(err) // it came from JSON
	}
	sum := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// refuse says why an order can never be carried out as it is; empty if it can.
func refuse(o *v1alpha1.ReleaseOrder, f Facts) string {
	r, strategy := f.Release, ""
	if r != nil {
		strategy = refuseStrategy(o, f)
	}
	switch {
	case r == nil && len(f.Before) == 0:
		return fmt.Sprintf("there is no release %s in %s: appliance release create makes it", o.Spec.Release, f.Environment.Name)
	case r == nil:
		return fmt.Sprintf("there is no release %s, neither here nor in %s, which comes before", o.Spec.Release, stages(f.Before))
	case r.Spec.Application != o.Spec.Application:
		return fmt.Sprintf("release %s is of application %s, not of %s", r.Name, r.Spec.Application, o.Spec.Application)
	case strategy != "":
		return strategy
	case o.Spec.RollbackOf != "":
		return refuseRollback(o, f)
	case len(f.Before) == 0:
		return ""
	}
	return refusePromotion(r, f)
}

// refuseRollback lets an order without approval and soak go back only to what was carried out here before, as it was.
func refuseRollback(o *v1alpha1.ReleaseOrder, f Facts) string {
	content := Content(f.Release)
	if !slices.ContainsFunc(f.Orders, func(other v1alpha1.ReleaseOrder) bool {
		return other.Spec.Release == o.Spec.Release && other.Status.Phase == v1alpha1.PhaseDone && other.Status.Content == content
	}) {
		return fmt.Sprintf("release %s was never rolled out in %s, so there is no going back to it", o.Spec.Release, f.Environment.Name)
	}
	return ""
}

// refusePromotion wants the very same release to have run, long enough, just before.
func refusePromotion(r *v1alpha1.Release, f Facts) string {
	content, soak := Content(r), f.Environment.Spec.Policy.Soak.Duration
	var ran *Stage
	for i, s := range f.Before {
		switch {
		case s.Content == "":
		case s.Content != content:
			return fmt.Sprintf("release %s here is not the one that was rolled out in %s: they have the name in common and not the content", r.Name, s.Environment)
		case ran == nil || s.Ran > ran.Ran:
			ran = &f.Before[i]
		}
	}
	if ran == nil {
		return fmt.Sprintf("release %s was not rolled out in %s, which comes before %s", r.Name, stages(f.Before), f.Environment.Name)
	}
	if ran.Ran < soak {
		return fmt.Sprintf("release %s must have run for %s in %s before it comes to %s; it has for %s", r.Name, soak, ran.Environment, f.Environment.Name, ran.Ran.Round(time.Second))
	}
	return ""
}

func stages(list []Stage) string {
	var names []string
	for _, s := range list {
		names = append(names, s.Environment)
	}
	return strings.Join(names, " or ")
}

// wait says what an order that may be carried out still waits for; empty if for nothing.
func wait(o *v1alpha1.ReleaseOrder, f Facts) string {
	if o.Spec.Paused {
		return pausedMessage
	}
	if s := o.Spec.Start; s != nil && f.Now.Before(s.Time) {
		return "waits for " + s.UTC().Format(time.RFC3339)
	}
	if z := frozen(f); z != nil && o.Spec.RollbackOf == "" {
		return fmt.Sprintf("waits for the end of a freeze at %s: %s", z.To.UTC().Format(time.RFC3339), z.Reason)
	}
	for i := range f.Orders {
		other := &f.Orders[i]
		if other.Status.Phase.Active() {
			return "waits for order " + other.Name + ", which is being carried out"
		}
		queued := other.Status.Phase == v1alpha1.PhaseApproved || other.Status.Phase == v1alpha1.PhaseWaiting && !other.Spec.Paused
		if queued && older(other, o) && (other.Spec.Start == nil || !f.Now.Before(other.Spec.Start.Time)) {
			return "waits for order " + other.Name + ", which is older"
		}
	}
	return ""
}

func older(a, b *v1alpha1.ReleaseOrder) bool {
	if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
		return c < 0
	}
	return a.Name < b.Name
}

// frozen is the freeze that holds now.
func frozen(f Facts) *v1alpha1.Freeze {
	for i, z := range f.Environment.Spec.Policy.Freezes {
		if !f.Now.Before(z.From.Time) && f.Now.Before(z.To.Time) {
			return &f.Environment.Spec.Policy.Freezes[i]
		}
	}
	return nil
}
