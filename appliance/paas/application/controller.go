package application

import (
	"context"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"islet/appliance/paas/v1alpha1"
)

// fieldManager owns the fields that the platform sets; what others set beside them stays.
const fieldManager = "islet-application"

// lookAgain is when an application that is not as it should be is looked at again: some causes come with time alone.
const lookAgain = 3 * time.Second

// Reconciler brings applications about.
type Reconciler struct {
	client.Client
	// Live reads from the API itself.
	Live client.Reader
	// Domain is that of the site's applications.
	Domain string

	// gateway says whether the site has one.
	gateway bool
	applier applier
}

// AddTo registers the reconciler. It is called for an application when anything of it changes, and what it has made or its
// environment included.
func (r *Reconciler) AddTo(m manager.Manager) error {
	byLabel := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		name := o.GetLabels()[v1alpha1.LabelApplication]
		if name == "" {
			return nil
		}
		return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: o.GetNamespace(), Name: name}}}
	})
	inEnvironment := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) (out []reconcile.Request) {
		var list v1alpha1.ApplicationList
		if r.List(ctx, &list, client.InNamespace(o.GetName())) != nil {
			return nil // the cache is not there yet: each is looked at then anyway
		}
		for _, a := range list.Items {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&a)})
		}
		return out
	})
	_, err := m.GetRESTMapper().RESTMapping(RouteKind.GroupKind(), RouteKind.Version)
	if err != nil && !apimeta.IsNoMatchError(err) {
		return fmt.Errorf("look for the gateway's kinds: %w", err)
	}
	r.gateway = err == nil
	b := builder.ControllerManagedBy(m).Named("application").For(&v1alpha1.Application{}).
		Watches(&v1alpha1.Environment{}, inEnvironment).Watches(&corev1.Pod{}, byLabel)
	for _, k := range kinds(r.gateway) {
		b = b.Watches(k, byLabel)
	}
	return b.Complete(r)
}

// Reconcile implements reconcile.Reconciler.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var a v1alpha1.Application
	if err := r.Get(ctx, request.NamespacedName, &a); err != nil || !a.DeletionTimestamp.IsZero() {
		r.applier.forget(request.NamespacedName)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	before := a.DeepCopy()
	err := r.bring(ctx, &a)
	a.Status.ObservedGeneration = a.Generation
	setReady(&a)
	if !equality.Semantic.DeepEqual(before.Status, a.Status) {
		if err := r.Status().Patch(ctx, &a, client.MergeFrom(before), client.FieldOwner(fieldManager)); err != nil {
			return reconcile.Result{}, client.IgnoreNotFound(err)
		}
	}
	if err == nil && (!settled(a.Status.State) || a.Status.Beside != nil && !settled(a.Status.Beside.State)) {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return reconcile.Result{}, err
}

// bring makes what an application consists of and fills its status. Its error is worth another try; it is in the status, too.
func (r *Reconciler) bring(ctx context.Context, a *v1alpha1.Application) error {
	var e v1alpha1.Environment
	err := r.Get(ctx, client.ObjectKey{Name: a.Namespace}, &e)
	if apierrors.IsNotFound(err) {
		degraded(a, ReasonNoEnvironment, "the namespace "+a.Namespace+" is no environment: appliance env create makes one")
		return nil
	}
	if err != nil {
		return err
	}
	if err := Check(a, r.gateway); err != nil {
		degraded(a, ReasonInvalid, err.Error())
		return nil
	}
	place := PlaceOf(&e, r.Domain)
	objects := Render(a, place)
	called := names(objects) // what the API answers does not say its kind
	if err := r.apply(ctx, a, objects); err != nil {
		reason := ReasonFailed
		if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) {
			reason = ReasonRefused
		}
		degraded(a, reason, err.Error())
		return err
	}
	a.Status.URLs, a.Status.Objects = URLs(a, place), called
	seen, err := r.observe(ctx, a)
	if err != nil {
		return err
	}
	if judgeAll(a, place, seen) {
		return nil
	}
	if err := r.ask(ctx, a, &seen); err != nil { // what is asked for only when something is wrong
		return err
	}
	judgeAll(a, place, seen)
	for _, pod := range Stuck(a, place, seen) {
		if err := r.Delete(ctx, pod, client.Preconditions{UID: &pod.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("replace pod %s: %w", pod.Name, err)
		}
	}
	return nil
}

func degraded(a *v1alpha1.Application, reason, message string) {
	a.Status.State, a.Status.Reason, a.Status.Message = v1alpha1.StateDegraded, reason, message
}

func setReady(a *v1alpha1.Application) {
	c := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: a.Status.Reason, Message: a.Status.Message, ObservedGeneration: a.Generation}
	if a.Status.State == v1alpha1.StateReady {
		c.Status, c.Reason = metav1.ConditionTrue, "Ready"
	}
	if c.Reason == "" {
		c.Reason = ReasonFailed
	}
	apimeta.SetStatusCondition(&a.Status.Conditions, c)
}

func names(objects []client.Object) []string {
	var out []string
	for _, o := range objects {
		out = append(out, o.GetObjectKind().GroupVersionKind().Kind+"/"+o.GetName())
	}
	return out
}

// observe reads what there is from the cache.
func (r *Reconciler) observe(ctx context.Context, a *v1alpha1.Application) (Observed, error) {
	seen := Observed{Deployments: map[string]*appsv1.Deployment{}, StatefulSets: map[string]*appsv1.StatefulSet{}, Now: time.Now()}
	own := []client.ListOption{client.InNamespace(a.Namespace), client.MatchingLabels{v1alpha1.LabelApplication: a.Name}}
	var deployments appsv1.DeploymentList
	var sets appsv1.StatefulSetList
	var pods corev1.PodList
	for _, list := range []client.ObjectList{&deployments, &sets, &pods} {
		if err := r.List(ctx, list, own...); err != nil {
			return seen, fmt.Errorf("list what there is: %w", err)
		}
	}
	for i := range deployments.Items {
		seen.Deployments[deployments.Items[i].Name] = &deployments.Items[i]
	}
	for i := range sets.Items {
		seen.StatefulSets[sets.Items[i].Name] = &sets.Items[i]
	}
	seen.Pods = pods.Items
	return seen, nil
}

// ask reads from the API what is kept in no cache: events, and who answers for the services that the application needs.
func (r *Reconciler) ask(ctx context.Context, a *v1alpha1.Application, seen *Observed) error {
	var events corev1.EventList
	if err := r.List(ctx, &events, client.InNamespace(a.Namespace)); err != nil {
		return fmt.Errorf("list events: %w", err)
	}
	for _, e := range events.Items {
		if strings.Contains(e.InvolvedObject.Name, a.Name) {
			seen.Events = append(seen.Events, e)
		}
	}
	for _, n := range a.Spec.Needs {
		var slices discoveryv1.EndpointSliceList
		if err := r.List(ctx, &slices, client.InNamespace(a.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: n.Service}); err != nil {
			return fmt.Errorf("list endpoints of %s: %w", n.Service, err)
		}
		if !answers(slices.Items) {
			seen.Missing = append(seen.Missing, n.Service)
		}
	}
	return nil
}

func answers(list []discoveryv1.EndpointSlice) bool {
	for _, s := range list {
		for _, e := range s.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				return true
			}
		}
	}
	return false
}
