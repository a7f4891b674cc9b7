package survey

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/kube/client"
	"islet/appliance/paas/v1alpha1"
)

// Read asks the Kubernetes API for all of it.
func Read(ctx context.Context, c client.Client) (Survey, error) {
	var tenants v1alpha1.TenantList
	var environments v1alpha1.EnvironmentList
	var applications v1alpha1.ApplicationList
	var releases v1alpha1.ReleaseList
	var orders v1alpha1.ReleaseOrderList
	for _, list := range []client.ObjectList{&tenants, &environments, &applications, &releases, &orders} {
		if err := c.List(ctx, list); err != nil {
			return Survey{}, fmt.Errorf("ask Kubernetes for what the platform has: %w", err)
		}
	}
	s := Survey{
		Tenants: each(tenants.Items, tenantOf), Environments: each(environments.Items, environmentOf), Applications: each(applications.Items, applicationOf),
		Releases: each(releases.Items, releaseOf),
	}
	s.Orders, s.Older = newest(orders.Items)
	s.sort()
	return s, nil
}

func each[From, To any](list []From, of func(*From) To) []To {
	out := make([]To, 0, len(list))
	for i := range list {
		out = append(out, of(&list[i]))
	}
	return out
}

// newest are as many orders as a survey has, and how many more there are.
func newest(list []v1alpha1.ReleaseOrder) (orders []Order, older int) {
	slices.SortFunc(list, func(a, b v1alpha1.ReleaseOrder) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(b.Name, a.Name))
	})
	kept := list[:min(len(list), MostOrders)]
	return each(kept, orderOf), len(list) - len(kept)
}

func (s Survey) sort() {
	slices.SortFunc(s.Tenants, func(a, b Tenant) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Environments, func(a, b Environment) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Order, b.Order), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(s.Applications, func(a, b Application) int {
		return cmp.Or(cmp.Compare(a.Environment, b.Environment), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(s.Releases, func(a, b Release) int {
		return cmp.Or(b.Made.Compare(a.Made), cmp.Compare(b.Name, a.Name), cmp.Compare(a.Environment, b.Environment))
	})
}

// unseen is what is said of an object whose controller has said nothing yet.
const unseen = "the controller has not looked at it yet"

func readiness(conditions []metav1.Condition) (ready bool, why string) {
	c := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	switch {
	case c == nil:
		return false, unseen
	case c.Status == metav1.ConditionTrue:
		return true, ""
	}
	return false, c.Message
}

func tenantOf(t *v1alpha1.Tenant) Tenant {
	ready, why := readiness(t.Status.Conditions)
	return Tenant{Name: t.Name, DisplayName: t.Spec.DisplayName, Members: t.Spec.Members, Ready: ready, Why: why}
}

func environmentOf(e *v1alpha1.Environment) Environment {
	ready, why := readiness(e.Status.Conditions)
	r := e.Rules()
	return Environment{Name: e.Name, Tenant: e.Spec.Tenant, Short: e.Spec.Name, Class: e.Spec.Class, Order: r.Order, Approvals: r.Approvals,
		MinReplicas: r.MinReplicas, Domain: e.Status.Domain, Ready: ready, Why: why}
}

func applicationOf(a *v1alpha1.Application) Application {
	s := a.Status
	out := Application{Environment: a.Namespace, Name: a.Name, State: s.State, Message: s.Message, Ready: s.Ready, Release: a.Spec.Release,
		URLs: s.URLs, Components: s.Components, Stopped: a.Spec.Stopped}
	if s.ObservedGeneration < a.Generation {
		out.State, out.Message = v1alpha1.StateProgressing, unseen
	}
	if b := a.Spec.Beside; b != nil {
		out.Beside = &Beside{Release: b.Release, Weight: b.Weight}
		if s := s.Beside; s != nil {
			out.Beside.State, out.Beside.Message, out.Beside.Ready = s.State, s.Message, s.Ready
		}
	}
	for _, c := range a.Spec.Components {
		out.Images = append(out.Images, c.Image)
	}
	return out
}

func releaseOf(r *v1alpha1.Release) Release {
	return Release{Environment: r.Namespace, Name: r.Name, Application: r.Spec.Application, Notes: r.Spec.Notes, Made: r.CreationTimestamp.Time}
}

func orderOf(o *v1alpha1.ReleaseOrder) Order {
	s := o.Status
	out := Order{Environment: o.Namespace, Name: o.Name, Application: o.Spec.Application, Release: o.Spec.Release, Author: o.Spec.Author,
		Phase: cmp.Or(s.Phase, v1alpha1.PhaseDraft), Message: s.Message, Since: timeOf(s.Since), Made: o.CreationTimestamp.Time,
		RollbackOf: o.Spec.RollbackOf, Previous: s.PreviousRelease, Failure: s.Failure, Strategy: o.Spec.Strategy, Step: s.Step, Paused: o.Spec.Paused,
		Approvals: o.Spec.Approvals, Refusal: o.Spec.Refusal, History: s.History}
	if out.Since.IsZero() {
		out.Since = out.Made
	}
	return out
}

func timeOf(t *metav1.Time) (at time.Time) {
	if t != nil {
		at = t.Time
	}
	return at
}
