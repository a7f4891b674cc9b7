package catalogue

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"islet/appliance/paas/v1alpha1"
)

// Bindings makes the Secrets that applications log in with.
type Bindings struct {
	client.Client
	// Live reads from the API what no cache has.
	Live client.Reader
}

// AddTo registers the reconciler. It is called for a binding when it changes, or its instance.
func (r *Bindings) AddTo(m manager.Manager) error {
	ofInstance := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) (out []reconcile.Request) {
		var list v1alpha1.ServiceBindingList
		if r.List(ctx, &list, client.InNamespace(o.GetNamespace())) != nil {
			return nil // the cache is not there yet: each is looked at then anyway
		}
		for _, b := range list.Items {
			if b.Spec.Instance == o.GetName() {
				out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&b)})
			}
		}
		return out
	})
	return builder.ControllerManagedBy(m).Named("service-binding").For(&v1alpha1.ServiceBinding{}).Watches(&v1alpha1.ServiceInstance{}, ofInstance).Complete(r)
}

// Reconcile implements reconcile.Reconciler.
func (r *Bindings) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var b v1alpha1.ServiceBinding
	if err := r.Get(ctx, request.NamespacedName, &b); err != nil || !b.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	before := b.DeepCopy()
	said, err := r.bind(ctx, &b)
	if err != nil {
		said = failed(err)
	}
	s := &b.Status
	s.ObservedGeneration, s.State, s.Reason, s.Message = b.Generation, said.State, said.Reason, said.Message
	setReady(&s.Conditions, said, b.Generation)
	if !equality.Semantic.DeepEqual(before.Status, b.Status) {
		if err := r.Status().Patch(ctx, &b, client.MergeFrom(before), client.FieldOwner(fieldManager)); err != nil {
			return reconcile.Result{}, client.IgnoreNotFound(err)
		}
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	return again(s.State), nil
}

// bind makes a binding's Secret, or takes it away when there is no instance to log in to.
func (r *Bindings) bind(ctx context.Context, b *v1alpha1.ServiceBinding) (word, error) {
	var i v1alpha1.ServiceInstance
	err := r.Get(ctx, client.ObjectKey{Namespace: b.Namespace, Name: b.Spec.Instance}, &i)
	if apierrors.IsNotFound(err) || err == nil && !i.DeletionTimestamp.IsZero() {
		said := degraded("NoInstance", fmt.Sprintf("there is no service %s in %s: appliance service create makes one", b.Spec.Instance, b.Namespace))
		b.Status.Secret = ""
		return said, r.unbind(ctx, b)
	}
	if err != nil {
		return word{}, err
	}
	var class v1alpha1.ServiceClass
	err = r.Get(ctx, client.ObjectKey{Name: i.Spec.Class}, &class)
	if apierrors.IsNotFound(err) {
		return degraded("NoClass", "the catalogue has no service "+i.Spec.Class+": see appliance service classes"), nil
	}
	if err != nil {
		return word{}, err
	}
	password, err := storedPassword(ctx, r.Live, &i)
	if err != nil {
		return word{}, err
	}
	if password == "" {
		return word{v1alpha1.StateProgressing, "NotMade", i.Name + " has no password yet: " + i.Status.Message}, nil
	}
	o := owned{Client: r.Client, live: r.Live}
	if err := o.put(ctx, b, bound(b, &i, recipes[class.Spec.Engine], password)); err != nil {
		return word{}, err
	}
	b.Status.Secret = b.Name
	return word{State: v1alpha1.StateReady}, nil
}

func (r *Bindings) unbind(ctx context.Context, b *v1alpha1.ServiceBinding) error {
	var s corev1.Secret
	err := r.Live.Get(ctx, client.ObjectKeyFromObject(b), &s)
	if err != nil || !ours(&s) || s.Labels[v1alpha1.LabelBinding] != b.Name {
		return client.IgnoreNotFound(err)
	}
	return client.IgnoreNotFound(r.Delete(ctx, &s, client.Preconditions{UID: &s.UID}))
}
