package addon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"islet/appliance/kube/client"
)

const (
	// Namespace holds the platform's own workloads and the inventory.
	Namespace = "islet-system"

	fieldManager = "islet"
	labelGroup   = "addon.islet.dev"
	// applyTimeout bounds the wait for new kinds to be served, and for an object to go that is made anew.
	applyTimeout  = 60 * time.Second
	applyInterval = 100 * time.Millisecond
)

// Applier applies add-ons. Applying the same again changes nothing.
type Applier struct {
	client client.Client
	log    *slog.Logger
}

// NewApplier returns an applier that acts through c.
func NewApplier(c client.Client, log *slog.Logger) *Applier { return &Applier{client: c, log: log} }

// kindOrder is what comes first, each after what it needs; other kinds follow as they are given.
var kindOrder = []string{
	"CustomResourceDefinition", "Namespace", "ClusterRole", "PriorityClass", "StorageClass", "IngressClass", "GatewayClass", "ClusterRoleBinding",
	"ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Secret", "Service", "Deployment",
}

func rank(o *unstructured.Unstructured) int {
	if i := slices.Index(kindOrder, o.GetKind()); i >= 0 {
		return i
	}
	return len(kindOrder)
}

// Apply applies the objects of one add-on and waits until the kinds that they define are served,
// not until their pods run: those wait for images that may still be on their way.
func (a *Applier) Apply(ctx context.Context, name string, objects []*unstructured.Unstructured) error {
	ordered, changed := slices.Clone(objects), 0
	slices.SortStableFunc(ordered, func(x, y *unstructured.Unstructured) int { return rank(x) - rank(y) })
	for _, o := range ordered {
		label(o, name)
		did, err := a.apply(ctx, o)
		if err != nil {
			return fmt.Errorf("apply add-on %s: %s: %w", name, idOf(o), err)
		}
		if did {
			changed++
		}
	}
	for _, o := range ordered {
		if o.GetKind() != definitionKind {
			break
		}
		if err := a.awaitServed(ctx, o); err != nil {
			return fmt.Errorf("apply add-on %s: %w", name, err)
		}
	}
	if changed > 0 {
		a.log.Info("add-on applied", "addon", name, "objects", len(objects), "changed", changed)
	}
	return nil
}

// label says in the object whose it is.
func label(o *unstructured.Unstructured, addon string) {
	labels := o.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[labelGroup+"/name"], labels[labelGroup+"/namespace"] = addon, Namespace
	o.SetLabels(labels)
}

// apply applies one object, and says whether that changed it: the API does not write what is equal. One that cannot become
// what it is to be is made anew.
func (a *Applier) apply(ctx context.Context, o *unstructured.Unstructured) (changed bool, err error) {
	before := bare(o)
	err = a.client.Get(ctx, client.ObjectKeyFromObject(o), before)
	if errors.Is(err, client.ErrNoKind) { // defined a moment ago
		_ = a.await(ctx, func(ctx context.Context) error {
			err = a.client.Get(ctx, client.ObjectKeyFromObject(o), before)
			return client.IgnoreNotFound(err)
		})
	}
	if client.IgnoreNotFound(err) != nil {
		return false, err
	}
	found := err == nil
	after, err := a.patch(ctx, o)
	if found && isImmutable(err) {
		a.log.Warn("an object of an add-on is made anew: it cannot be changed", "object", idOf(o), "error", err)
		if err := a.replace(ctx, before); err != nil {
			return false, err
		}
		after, err = a.patch(ctx, o)
	}
	if err != nil {
		return false, err
	}
	return before.GetResourceVersion() != after.GetResourceVersion(), nil
}

func (a *Applier) patch(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	data, err := o.MarshalJSON()
	if err != nil {
		return nil, err
	}
	after := bare(o)
	return after, a.client.Patch(ctx, after, client.Patch{Type: types.ApplyYAMLPatchType, Data: data, Owner: fieldManager})
}

// bare is an object of the same kind and name with nothing in it.
func bare(o *unstructured.Unstructured) *unstructured.Unstructured {
	out := &unstructured.Unstructured{}
	out.SetGroupVersionKind(o.GroupVersionKind())
	out.SetNamespace(o.GetNamespace())
	out.SetName(o.GetName())
	return out
}

// isImmutable tells a refusal of the change from one of the object.
func isImmutable(err error) bool {
	return apierrors.IsInvalid(err) && strings.Contains(strings.ToLower(err.Error()), "immutable")
}

// replace deletes the object, and waits until it is gone.
func (a *Applier) replace(ctx context.Context, o *unstructured.Unstructured) error {
	if err := client.IgnoreNotFound(a.client.Delete(ctx, o)); err != nil {
		return err
	}
	return a.await(ctx, func(ctx context.Context) error {
		err := a.client.Get(ctx, client.ObjectKeyFromObject(o), bare(o))
		if err == nil {
			return errStillThere
		}
		return client.IgnoreNotFound(err)
	})
}

var errStillThere = errors.New("it was deleted, and is still there")

// await asks until done returns nil, for applyTimeout at most.
func (a *Applier) await(ctx context.Context, done func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	for {
		err := done(limited)
		if err == nil {
			return nil
		}
		select {
		case <-limited.Done():
			return err
		case <-time.After(applyInterval):
		}
	}
}
