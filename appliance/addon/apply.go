package addon

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/object"
	"github.com/fluxcd/pkg/ssa"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// Namespace holds the platform's own workloads and the inventory.
	Namespace = "islet-system"

	fieldManager  = "islet"
	labelGroup    = "addon.islet.dev"
	inventoryName = "addon-inventory"
	// applyTimeout bounds the wait for new kinds to be served.
	applyTimeout = 60 * time.Second
)

// Applier applies add-ons. Applying the same again changes nothing.
type Applier struct {
	client  client.Client
	manager *ssa.ResourceManager
	log     *slog.Logger
}

// NewApplier returns an applier that acts through c.
func NewApplier(c client.Client, log *slog.Logger) *Applier {
	poller := polling.NewStatusPoller(c, c.RESTMapper(), polling.Options{})
	return &Applier{client: c, manager: ssa.NewResourceManager(c, poller, ssa.Owner{Field: fieldManager, Group: labelGroup}), log: log}
}

// Apply applies the objects of one add-on and waits until the kinds that they define are served,
// not until their pods run: those wait for images that may still be on their way.
func (a *Applier) Apply(ctx context.Context, name string, objects []*unstructured.Unstructured) error {
	a.manager.SetOwnerLabels(objects, name, Namespace)
	options := ssa.DefaultApplyOptions()
	options.Force, options.WaitInterval, options.WaitTimeout = true, 100*time.Millisecond, applyTimeout
	changes, err := a.manager.ApplyAllStaged(ctx, objects, options)
	if err != nil {
		return fmt.Errorf("apply add-on %s: %w", name, err)
	}
	changed := slices.DeleteFunc(slices.Clone(changes.Entries), func(e ssa.ChangeSetEntry) bool { return e.Action == ssa.UnchangedAction })
	if len(changed) > 0 {
		a.log.Info("add-on applied", "addon", name, "objects", len(objects), "changed", len(changed))
	}
	return nil
}

// Inventory is what was applied, by add-on: object ids as NAMESPACE_NAME_GROUP_KIND.
type Inventory map[string][]string

// ReadInventory returns what the last call of Prune recorded; empty before the first.
func (a *Applier) ReadInventory(ctx context.Context) (Inventory, error) {
	var stored corev1.ConfigMap
	err := a.client.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: inventoryName}, &stored)
	if apierrors.IsNotFound(err) {
		return Inventory{}, nil
	}
	if err != nil {
		return nil, err
	}
	out := Inventory{}
	for name, text := range stored.Data {
		var ids []string
		if err := json.Unmarshal([]byte(text), &ids); err != nil {
			return nil, fmt.Errorf("decode inventory of add-on %s: %w", name, err)
		}
		out[name] = ids
	}
	return out, nil
}

// Prune records applied as the inventory, and removes the objects of the inventory before that
// applied no longer has. Namespaces and the definitions of kinds are never removed: with them would
// go what people made.
func (a *Applier) Prune(ctx context.Context, applied Inventory) error {
	before, err := a.ReadInventory(ctx)
	if err != nil {
		return err
	}
	kept := map[string]bool{}
	for _, ids := range applied {
		for _, id := range ids {
			kept[id] = true
		}
	}
	for name, ids := range before {
		for _, id := range ids {
			if kept[id] {
				continue
			}
			if err := a.remove(ctx, id); err != nil {
				return fmt.Errorf("remove %s of add-on %s: %w", id, name, err)
			}
			a.log.Info("add-on object removed", "addon", name, "object", id)
		}
	}
	return a.writeInventory(ctx, applied)
}

func (a *Applier) remove(ctx context.Context, id string) error {
	meta, err := object.ParseObjMetadata(id)
	if err != nil {
		return err
	}
	if kind := meta.GroupKind.Kind; kind == "Namespace" || kind == "CustomResourceDefinition" {
		return nil
	}
	mapping, err := a.client.RESTMapper().RESTMapping(meta.GroupKind)
	if apimeta.IsNoMatchError(err) {
		return nil // the kind went away, and its objects with it
	}
	if err != nil {
		return err
	}
	obj := &unstructured.Unstructured{}
	obj.SetGroupVersionKind(mapping.GroupVersionKind)
	obj.SetNamespace(meta.Namespace)
	obj.SetName(meta.Name)
	return client.IgnoreNotFound(a.client.Delete(ctx, obj, client.PropagationPolicy(metav1.DeletePropagationBackground)))
}

func (a *Applier) writeInventory(ctx context.Context, applied Inventory) error {
	data := map[string]string{}
	for name, ids := range applied {
		slices.Sort(ids)
		text, err := json.Marshal(ids)
		if err != nil {
			return err
		}
		data[name] = string(text)
	}
	stored := &unstructured.Unstructured{}
	stored.SetUnstructuredContent(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": inventoryName, "namespace": Namespace},
	})
	if err := unstructured.SetNestedStringMap(stored.Object, data, "data"); err != nil {
		return err
	}
	_, err := a.manager.Apply(ctx, stored, ssa.DefaultApplyOptions())
	return err
}

// IDs are the inventory ids of objects.
func IDs(objects []*unstructured.Unstructured) []string {
	out := make([]string, len(objects))
	for i, o := range objects {
		out[i] = object.UnstructuredToObjMetadata(o).String()
	}
	return out
}
