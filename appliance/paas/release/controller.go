package release

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"islet/appliance/paas/v1alpha1"
)

// fieldManager owns the fields that orders set.
const fieldManager = "islet-release"

// PromotedFrom is the annotation of a release that was brought here from an earlier environment.
const PromotedFrom = "islet.dev/promoted-from"

// When an order that has not ended is looked at again, because time alone may take it on: one that goes on soon, and one that waits.
const (
	lookAgain  = 2 * time.Second
	lookSeldom = 15 * time.Second
)

// ofApplication is the field by which orders are found, here and by the API.
const ofApplication = "spec.application"

func applicationOf(o client.Object) []string {
	if order, ok := o.(*v1alpha1.ReleaseOrder); ok {
		return []string{order.Spec.Application}
	}
	return nil
}

// again is when an order is looked at again.
func again(o *v1alpha1.ReleaseOrder, now time.Time) time.Duration {
	if o.Status.Phase != v1alpha1.PhasePending && o.Status.Phase != v1alpha1.PhaseWaiting {
		return lookAgain
	}
	if s := o.Spec.Start; s != nil && s.After(now) {
		return min(s.Sub(now), lookSeldom)
	}
	return lookSeldom
}

// Reconciler carries release orders out.
type Reconciler struct {
	client.Client
	// Live reads from the API itself.
	Live client.Reader
	// Now is the time.
	Now func() time.Time
	// Ask gets what an address has; Get does.
	Ask func(ctx context.Context, url string) (io.ReadCloser, error)
}

// AddTo registers the reconciler. It is called for an order when anything of it, its application or another order beside it changes.
func (r *Reconciler) AddTo(m manager.Manager) error {
	err := m.GetFieldIndexer().IndexField(context.Background(), &v1alpha1.ReleaseOrder{}, ofApplication, applicationOf) // it only registers
	if err != nil {
		return fmt.Errorf("index the orders: %w", err)
	}
	beside := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) (out []reconcile.Request) {
		name := o.GetName()
		if order, ok := o.(*v1alpha1.ReleaseOrder); ok {
			name = order.Spec.Application
		}
		list, err := orders(ctx, r, o.GetNamespace(), name)
		if err != nil {
			return nil // the cache is not there yet: each is looked at then anyway
		}
		for _, order := range list {
			if !order.Status.Phase.Ended() {
				out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&order)})
			}
		}
		return out
	})
	return builder.ControllerManagedBy(m).Named("release").For(&v1alpha1.ReleaseOrder{}).
		Watches(&v1alpha1.Application{}, beside).Watches(&v1alpha1.ReleaseOrder{}, beside).Complete(r)
}

// Reconcile implements reconcile.Reconciler. Each call takes one step and stores it before it acts: what was begun is begun again, by
// whoever comes next, if this process ends in between.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var o v1alpha1.ReleaseOrder
	if err := r.Get(ctx, request.NamespacedName, &o); err != nil || !o.DeletionTimestamp.IsZero() || o.Status.Phase.Ended() {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	f, err := r.facts(ctx, &o)
	if err != nil {
		return reconcile.Result{}, err
	}
	if f.Environment == nil {
		return reconcile.Result{RequeueAfter: lookAgain}, nil
	}
	before := o.DeepCopy()
	spec := Step(&o, f)
	if o.Status.Phase == v1alpha1.PhaseRunning && !before.Status.Phase.Active() {
		// only one is carried out at a time, also where the cache does not know of the other yet
		if f.Orders, err = others(ctx, r.Live, &o); err != nil {
			return reconcile.Result{}, err
		}
		o = *before.DeepCopy()
		spec = Step(&o, f)
	}
	if !equality.Semantic.DeepEqual(before.Status, o.Status) {
		if err := r.promote(ctx, &o, f); err != nil {
			return reconcile.Result{}, err
		}
		// one that was changed meanwhile is looked at anew
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		if err := r.Status().Patch(ctx, &o, patch, client.FieldOwner(fieldManager)); err != nil {
			return anew(err)
		}
	}
	if err := r.runHook(ctx, &o, f); apierrors.IsInvalid(err) || apierrors.IsForbidden(err) {
		return anew(r.giveUp(ctx, &o, f, err))
	} else if err != nil {
		return anew(err)
	}
	if spec != nil {
		if err := r.change(ctx, &o, f.Application, spec); err != nil {
			return anew(err)
		}
	}
	if o.Status.Phase.Ended() {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{RequeueAfter: again(&o, f.Now)}, nil
}

// giveUp ends an order whose hook the API does not let run.
func (r *Reconciler) giveUp(ctx context.Context, o *v1alpha1.ReleaseOrder, f Facts, why error) error {
	before := o.DeepCopy()
	fail(o, f, why.Error())
	return r.Status().Patch(ctx, o, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), client.FieldOwner(fieldManager))
}

// anew looks anew at what somebody else has changed meanwhile.
func anew(err error) (reconcile.Result, error) {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return reconcile.Result{RequeueAfter: lookAgain / 4}, nil
	}
	if err == nil {
		return reconcile.Result{RequeueAfter: lookAgain}, nil
	}
	return reconcile.Result{}, err
}

// change makes the application what it is to be.
func (r *Reconciler) change(ctx context.Context, o *v1alpha1.ReleaseOrder, a *v1alpha1.Application, spec *v1alpha1.ApplicationSpec) error {
	if a == nil {
		made := &v1alpha1.Application{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Spec.Application}, Spec: *spec}
		return r.Create(ctx, made, client.FieldOwner(fieldManager))
	}
	changed := a.DeepCopy()
	changed.Spec = *spec
	return r.Update(ctx, changed, client.FieldOwner(fieldManager))
}

// promote brings the release into the environment of an order that has passed its checks.
func (r *Reconciler) promote(ctx context.Context, o *v1alpha1.ReleaseOrder, f Facts) error {
	if o.Status.Phase != v1alpha1.PhaseChecked || f.Release.Namespace == o.Namespace {
		return nil
	}
	made := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: f.Release.Name, Annotations: map[string]string{PromotedFrom: f.Release.Namespace}}, Spec: f.Release.Spec}
	err := r.Create(ctx, made, client.FieldOwner(fieldManager))
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("bring release %s here: %w", made.Name, err)
	}
	return nil
}

// facts gathers what an order is judged by. Its Environment is nil if the namespace is none.
func (r *Reconciler) facts(ctx context.Context, o *v1alpha1.ReleaseOrder) (Facts, error) {
	f := Facts{Now: r.Now()}
	var e v1alpha1.Environment
	if err := r.Get(ctx, client.ObjectKey{Name: o.Namespace}, &e); err != nil {
		return f, client.IgnoreNotFound(err)
	}
	f.Environment = &e
	var a v1alpha1.Application
	switch err := r.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: o.Spec.Application}, &a); {
	case err == nil:
		f.Application = &a
	case !apierrors.IsNotFound(err):
		return f, err
	}
	var err error
	if f.Orders, err = others(ctx, r, o); err != nil {
		return f, err
	}
	if f.Outcomes, err = r.outcome(ctx, o); err != nil {
		return f, err
	}
	if err := r.origin(ctx, o, &f); err != nil {
		return f, err
	}
	f.Traffic, err = r.traffic(ctx, o, f)
	return f, err
}

// origin finds the release, and what the environments just before have seen of it.
func (r *Reconciler) origin(ctx context.Context, o *v1alpha1.ReleaseOrder, f *Facts) error {
	before, err := r.before(ctx, f.Environment)
	if err != nil {
		return err
	}
	for _, namespace := range append([]string{o.Namespace}, before...) {
		var release v1alpha1.Release
		err := r.Get(ctx, client.ObjectKey{Namespace: namespace, Name: o.Spec.Release}, &release)
		if err == nil && f.Release == nil {
			f.Release = &release
		}
		if client.IgnoreNotFound(err) != nil {
			return err
		}
		if namespace == o.Namespace {
			continue
		}
		orders, err := orders(ctx, r, namespace, o.Spec.Application)
		if err != nil {
			return err
		}
		f.Before = append(f.Before, StageOf(namespace, o.Spec.Release, orders, f.Now))
	}
	return nil
}

// others are the orders of the same application beside one.
func others(ctx context.Context, c client.Reader, o *v1alpha1.ReleaseOrder) ([]v1alpha1.ReleaseOrder, error) {
	list, err := orders(ctx, c, o.Namespace, o.Spec.Application)
	return slices.DeleteFunc(list, func(other v1alpha1.ReleaseOrder) bool { return other.Name == o.Name }), err
}

func orders(ctx context.Context, c client.Reader, namespace, application string) ([]v1alpha1.ReleaseOrder, error) {
	var list v1alpha1.ReleaseOrderList
	err := c.List(ctx, &list, client.InNamespace(namespace), client.MatchingFields{ofApplication: application})
	return list.Items, err
}

// before are the tenant's environments just before one in its line.
func (r *Reconciler) before(ctx context.Context, e *v1alpha1.Environment) ([]string, error) {
	var list v1alpha1.EnvironmentList
	if err := r.List(ctx, &list); err != nil {
		return nil, err
	}
	return Before(e, list.Items), nil
}

// Before are the environments of the same tenant that come just before one: those with the highest place below its own.
func Before(e *v1alpha1.Environment, all []v1alpha1.Environment) []string {
	var names []string
	highest := int32(-1)
	for i := range all {
		place := all[i].Rules().Order
		if all[i].Spec.Tenant != e.Spec.Tenant || place >= e.Rules().Order || place < highest {
			continue
		}
		if place > highest {
			names, highest = nil, place
		}
		names = append(names, all[i].Name)
	}
	return names
}
