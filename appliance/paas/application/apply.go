package application

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"islet/appliance/paas/tenancy"
	"islet/appliance/paas/v1alpha1"
)

// kinds are those of what is made for an application, and removed when it is wanted no more. A site without a gateway has no routes.
func kinds(gateway bool) []client.Object {
	out := []client.Object{&appsv1.Deployment{}, &appsv1.StatefulSet{}, &corev1.Service{}, &policyv1.PodDisruptionBudget{}, &networkingv1.NetworkPolicy{}}
	if gateway {
		routes := &unstructured.Unstructured{}
		routes.SetGroupVersionKind(RouteKind)
		out = append(out, routes)
	}
	return out
}

func lists(gateway bool) []client.ObjectList {
	out := []client.ObjectList{&appsv1.DeploymentList{}, &appsv1.StatefulSetList{}, &corev1.ServiceList{}, &policyv1.PodDisruptionBudgetList{}, &networkingv1.NetworkPolicyList{}}
	if gateway {
		routes := &unstructured.UnstructuredList{}
		routes.SetGroupVersionKind(RouteKind.GroupVersion().WithKind(RouteKind.Kind + "List"))
		out = append(out, routes)
	}
	return out
}

// mark is what was applied, and what the object was then. An object that has neither changed needs no request.
type mark struct {
	hash    [sha256.Size]byte
	version string
}

// applier remembers what it has applied. It may be lost: everything is applied once more then.
type applier struct {
	mu    sync.Mutex
	marks map[types.NamespacedName]map[string]mark // by application and object
}

func (p *applier) forget(application types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.marks, application)
}

func (p *applier) get(application types.NamespacedName, object string) mark {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.marks[application][object]
}

func (p *applier) set(application types.NamespacedName, object string, m mark) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.marks == nil {
		p.marks = map[types.NamespacedName]map[string]mark{}
	}
	if p.marks[application] == nil {
		p.marks[application] = map[string]mark{}
	}
	p.marks[application][object] = m
}

// version of an object as far as others could have changed what is wanted of it: its generation, where the kind counts it.
func version(o client.Object) string {
	if g := o.GetGeneration(); g > 0 {
		return fmt.Sprintf("%s/%d", o.GetUID(), g)
	}
	return string(o.GetUID()) + "/" + o.GetResourceVersion()
}

func key(o client.Object) string {
	return o.GetObjectKind().GroupVersionKind().Kind + "/" + o.GetName()
}

// apply makes the objects, and when all are there removes those that are wanted no more. Volumes stay.
func (r *Reconciler) apply(ctx context.Context, a *v1alpha1.Application, objects []client.Object) error {
	wanted := map[string]bool{}
	for _, o := range objects {
		wanted[key(o)] = true
		if _, stays := o.(*corev1.PersistentVolumeClaim); !stays {
			if err := controllerutil.SetControllerReference(a, o, r.Scheme()); err != nil {
				return err
			}
		}
		if err := r.applyOne(ctx, client.ObjectKeyFromObject(a), o); err != nil {
			return fmt.Errorf("%s: %w", key(o), err)
		}
	}
	return r.prune(ctx, a, wanted)
}

func (r *Reconciler) applyOne(ctx context.Context, application types.NamespacedName, o client.Object) error {
	raw, err := json.Marshal(o)
	if err != nil {
		return err
	}
	name, hash := key(o), sha256.Sum256(raw)
	existing, ok := o.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("%T is no object", o)
	}
	err = r.Get(ctx, client.ObjectKeyFromObject(o), existing)
	if err == nil && r.applier.get(application, name) == (mark{hash, version(existing)}) {
		return nil
	}
	if apierrors.IsNotFound(err) { // the cache has only what the platform has made
		err = r.Live.Get(ctx, client.ObjectKeyFromObject(o), existing)
	}
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	if err == nil && existing.GetLabels()[tenancy.Managed] != Managed {
		return fmt.Errorf("there is one that is not this application's: remove it, or name the application otherwise")
	}
	//nolint:staticcheck // typed objects; Client.Apply takes generated apply configurations only
	if err := r.Patch(ctx, o, client.Apply, client.FieldOwner(fieldManager), client.ForceOwnership); err != nil {
		return err
	}
	r.applier.set(application, name, mark{hash, version(o)})
	return nil
}

// prune removes what was made for an application and is not wanted any more.
func (r *Reconciler) prune(ctx context.Context, a *v1alpha1.Application, wanted map[string]bool) error {
	for _, list := range lists(r.gateway) {
		if err := r.List(ctx, list, client.InNamespace(a.Namespace), client.MatchingLabels{tenancy.Managed: Managed, v1alpha1.LabelApplication: a.Name}); err != nil {
			return err
		}
		err := apimeta.EachListItem(list, func(item runtime.Object) error {
			o, ok := item.(client.Object)
			if !ok {
				return nil
			}
			kind, err := r.GroupVersionKindFor(o)
			if err != nil || wanted[kind.Kind+"/"+o.GetName()] || !o.GetDeletionTimestamp().IsZero() {
				return err
			}
			return client.IgnoreNotFound(r.Delete(ctx, o, client.PropagationPolicy("Background")))
		})
		if err != nil {
			return fmt.Errorf("remove what is wanted no more: %w", err)
		}
	}
	return nil
}
