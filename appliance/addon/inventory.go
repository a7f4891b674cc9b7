package addon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"islet/appliance/kube/client"
)

const inventoryName = "addon-inventory"

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
	key, kind, err := parseID(id)
	if err != nil {
		return err
	}
	if kind.Kind == "Namespace" || kind.Kind == definitionKind {
		return nil
	}
	served, err := a.client.KindFor(ctx, kind)
	if errors.Is(err, client.ErrNoKind) {
		return nil // the kind went away, and its objects with it
	}
	if err != nil {
		return err
	}
	obj := &unstructured.Unstructured{}
	obj.SetGroupVersionKind(served)
	obj.SetNamespace(key.Namespace)
	obj.SetName(key.Name)
	return client.IgnoreNotFound(a.client.Delete(ctx, obj))
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
	_, err := a.apply(ctx, stored)
	return err
}

// IDs are the inventory ids of objects.
func IDs(objects []*unstructured.Unstructured) []string {
	out := make([]string, len(objects))
	for i, o := range objects {
		out[i] = idOf(o)
	}
	return out
}

const rbacGroup = "rbac.authorization.k8s.io"

// idOf is the inventory id of an object. Names in RBAC may have colons, which are written as two underscores there.
func idOf(o *unstructured.Unstructured) string {
	kind, name := o.GroupVersionKind(), o.GetName()
	if kind.Group == rbacGroup {
		name = strings.ReplaceAll(name, ":", "__")
	}
	return strings.Join([]string{o.GetNamespace(), name, kind.Group, kind.Kind}, "_")
}

func parseID(id string) (client.ObjectKey, schema.GroupKind, error) {
	parts := strings.Split(id, "_")
	if len(parts) < 4 {
		return client.ObjectKey{}, schema.GroupKind{}, fmt.Errorf("not an id of the inventory: %q", id)
	}
	last := len(parts) - 1
	name := strings.ReplaceAll(strings.Join(parts[1:last-1], "_"), "__", ":")
	return client.ObjectKey{Namespace: parts[0], Name: name}, schema.GroupKind{Group: parts[last-1], Kind: parts[last]}, nil
}
