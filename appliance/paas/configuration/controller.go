// Package configuration makes of configuration what applications run with: ConfigMaps and Secrets that never change, one set per
// revision.
package configuration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"islet/appliance/paas/configset"
	"islet/appliance/paas/v1alpha1"
)

// fieldManager owns the fields that this controller sets.
const fieldManager = "islet-configuration"

// pruneInterval is how often it is looked whether a revision that is kept for what runs is still referred to.
const pruneInterval = 10 * time.Minute

// Reconciler renders the configuration of tenants: all layers of one at a time, since a base is part of them all.
type Reconciler struct {
	client.Client
	// Live reads what is not kept in memory: everything that may refer to a revision.
	Live client.Reader
	Keys configset.Keys
	// Now is the time; nil is the machine's.
	Now func() time.Time
}

// AddTo registers the reconciler. It is called for a tenant when a layer of it changes, or what was made of one.
func (r *Reconciler) AddTo(m manager.Manager) error {
	ofNamespace := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		if o.GetNamespace() == v1alpha1.BaseNamespace {
			return request(o.GetName())
		}
		var e v1alpha1.Environment
		if r.Get(ctx, client.ObjectKey{Name: o.GetNamespace()}, &e) != nil {
			return nil
		}
		return request(e.Spec.Tenant)
	})
	ofTenant := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		return request(o.(*v1alpha1.Environment).Spec.Tenant)
	})
	return builder.ControllerManagedBy(m).Named("configuration").For(&v1alpha1.Tenant{}).
		Watches(&v1alpha1.Environment{}, ofTenant).Watches(&v1alpha1.ConfigSet{}, ofNamespace).
		Watches(&corev1.ConfigMap{}, ofNamespace).Watches(&corev1.Secret{}, ofNamespace).Complete(r)
}

func request(tenant string) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: tenant}}}
}

// Reconcile implements reconcile.Reconciler.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var tenant v1alpha1.Tenant
	if err := r.Get(ctx, request.NamespacedName, &tenant); err != nil || !tenant.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, errors.Join(client.IgnoreNotFound(err), r.stray(ctx, request.Name))
	}
	base, err := r.ensure(ctx, &tenant, v1alpha1.BaseNamespace, tenant.Name, v1alpha1.LayerBase)
	if err != nil {
		return reconcile.Result{}, err
	}
	reader := configset.Reader{Keys: r.Keys, Tenant: tenant.Name}
	if err := r.checkBase(ctx, reader, base); err != nil {
		return reconcile.Result{}, err
	}
	var environments v1alpha1.EnvironmentList
	if err := r.List(ctx, &environments); err != nil {
		return reconcile.Result{}, err
	}
	var errs []error
	again := reconcile.Result{}
	for i := range environments.Items {
		e := &environments.Items[i]
		if e.Spec.Tenant != tenant.Name || !e.DeletionTimestamp.IsZero() {
			continue
		}
		left, err := r.environment(ctx, reader, base, e)
		if err != nil {
			errs = append(errs, fmt.Errorf("environment %s: %w", e.Name, err))
		}
		if left {
			again.RequeueAfter = pruneInterval
		}
	}
	return again, errors.Join(errs...)
}

// stray says of a layer that is where bases are that it is nobody's.
func (r *Reconciler) stray(ctx context.Context, name string) error {
	var set v1alpha1.ConfigSet
	err := r.Get(ctx, client.ObjectKey{Namespace: v1alpha1.BaseNamespace, Name: name}, &set)
	if err != nil || !set.DeletionTimestamp.IsZero() {
		return client.IgnoreNotFound(err)
	}
	return r.refuse(ctx, &set, "NoTenant", "there is no tenant "+name+": a base is named after its tenant")
}

// ensure makes a layer that there always is, so that those who may change it need not make it.
func (r *Reconciler) ensure(ctx context.Context, owner client.Object, namespace, name string, layer v1alpha1.ConfigLayer) (*v1alpha1.ConfigSet, error) {
	set := &v1alpha1.ConfigSet{}
	err := r.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, set)
	if !apierrors.IsNotFound(err) {
		return set, err
	}
	set = &v1alpha1.ConfigSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: v1alpha1.ConfigSetSpec{Layer: layer}}
	if err := controllerutil.SetControllerReference(owner, set, r.Scheme()); err != nil {
		return nil, err
	}
	if err := r.Create(ctx, set, client.FieldOwner(fieldManager)); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("make the layer %s/%s: %w", namespace, name, err)
	}
	return set, nil
}

// checkBase looks at the base alone: what it requires, others may have.
func (r *Reconciler) checkBase(ctx context.Context, reader configset.Reader, base *v1alpha1.ConfigSet) error {
	if base.Spec.Layer != v1alpha1.LayerBase {
		return r.refuse(ctx, base, "WrongLayer", "it is where bases are, and of layer "+string(base.Spec.Layer))
	}
	values, problems := reader.Effective(configset.Layers{base})
	if problems = configset.Own(problems); len(problems) > 0 {
		return r.refuse(ctx, base, "Invalid", configset.Summary(problems))
	}
	return r.accept(ctx, base, values, nil)
}

// environment renders all layers of an environment. left says that there are revisions that are to go once nothing runs with them.
func (r *Reconciler) environment(ctx context.Context, reader configset.Reader, base *v1alpha1.ConfigSet, e *v1alpha1.Environment) (left bool, err error) {
	var namespace corev1.Namespace
	err = r.Get(ctx, client.ObjectKey{Name: e.Name}, &namespace)
	if apierrors.IsNotFound(err) || err == nil && (!namespace.DeletionTimestamp.IsZero() || namespace.Labels[v1alpha1.LabelTenant] != reader.Tenant) {
		return false, nil // not made yet, or on its way out: the environment changes when that does
	}
	if err != nil {
		return false, err
	}
	own, err := r.ensure(ctx, e, e.Name, v1alpha1.EnvironmentLayerName, v1alpha1.LayerEnvironment)
	if err != nil {
		return false, err
	}
	var list v1alpha1.ConfigSetList
	if err := r.List(ctx, &list, client.InNamespace(e.Name)); err != nil {
		return false, err
	}
	kept, err := r.layer(ctx, reader, configset.Layers{base, own}, own)
	errs := []error{err}
	for i := range list.Items {
		set := &list.Items[i]
		switch {
		case set.Name == own.Name || !set.DeletionTimestamp.IsZero():
			continue
		case set.Spec.Layer != v1alpha1.LayerApplication:
			errs = append(errs, r.refuse(ctx, set, "WrongLayer", "layers of kind Base are in the namespace "+v1alpha1.BaseNamespace))
			continue
		}
		names, err := r.layer(ctx, reader, configset.Layers{base, own, set}, set)
		kept, errs = append(kept, names...), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return false, err // what is not known to be superfluous stays
	}
	return r.prune(ctx, e.Name, kept)
}

// layer renders what holds for the last of layers, and returns the names of what it stands on.
func (r *Reconciler) layer(ctx context.Context, reader configset.Reader, layers configset.Layers, set *v1alpha1.ConfigSet) ([]string, error) {
	values, problems := reader.Effective(layers)
	if len(problems) > 0 {
		return names(set.Status), r.refuse(ctx, set, "Invalid", configset.Summary(problems))
	}
	rendered := render(set, values)
	for _, o := range rendered.objects() {
		if err := r.put(ctx, o); err != nil {
			return names(set.Status), errors.Join(err, r.refuse(ctx, set, "Failed", err.Error()))
		}
	}
	if err := r.accept(ctx, set, values, rendered); err != nil {
		return names(set.Status), err
	}
	return names(set.Status), nil
}

func names(s v1alpha1.ConfigSetStatus) []string {
	return slices.DeleteFunc([]string{s.Variables, s.Files, s.Secrets}, func(n string) bool { return n == "" })
}

// put makes what never changes: one that is there already, and is not what it should be, was made by somebody else and is replaced.
func (r *Reconciler) put(ctx context.Context, o client.Object) error {
	wanted := content(o)
	there := o.DeepCopyObject().(client.Object)
	if r.Get(ctx, client.ObjectKeyFromObject(o), there) == nil && content(there) == wanted {
		return nil // what the cache has, was made here
	}
	//nolint:staticcheck // typed objects; Client.Apply takes generated apply configurations only
	err := r.Patch(ctx, o, client.Apply, client.FieldOwner(fieldManager), client.ForceOwnership)
	if err == nil && content(o) == wanted {
		return nil
	}
	if err != nil && !apierrors.IsInvalid(err) {
		return fmt.Errorf("apply %s: %w", o.GetName(), err)
	}
	if err := r.Delete(ctx, o); err != nil {
		return fmt.Errorf("replace %s, which is not what its name says: %w", o.GetName(), err)
	}
	return fmt.Errorf("%s was not what its name says, and is made anew", o.GetName()) // by the next call
}

func (r *Reconciler) now() metav1.Time {
	if r.Now != nil {
		return metav1.NewTime(r.Now())
	}
	return metav1.Now()
}
