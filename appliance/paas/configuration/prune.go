package configuration

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"islet/appliance/paas/v1alpha1"
)

// keepRevisions is how many earlier revisions of each layer stay in any case, to go back to.
const keepRevisions = 5

// referrers are the kinds that may run with a revision, or bring it back.
var referrers = []schema.GroupVersionKind{
	{Version: "v1", Kind: "Pod"},
	{Group: "apps", Version: "v1", Kind: "Deployment"},
	{Group: "apps", Version: "v1", Kind: "ReplicaSet"},
	{Group: "apps", Version: "v1", Kind: "StatefulSet"},
	{Group: "apps", Version: "v1", Kind: "DaemonSet"},
	{Group: "apps", Version: "v1", Kind: "ControllerRevision"},
	{Group: "batch", Version: "v1", Kind: "Job"},
	{Group: "batch", Version: "v1", Kind: "CronJob"},
	{Group: v1alpha1.Group, Version: v1alpha1.GroupVersion.Version, Kind: "Application"},
	{Group: v1alpha1.Group, Version: v1alpha1.GroupVersion.Version, Kind: "ReleaseOrder"},
}

// prune removes what was made of configuration in a namespace, is older than the last revisions, and is in use nowhere. left says
// that something is to go as soon as nothing uses it.
func (r *Reconciler) prune(ctx context.Context, namespace string, kept []string) (left bool, err error) {
	old, err := r.superfluous(ctx, namespace, kept)
	if err != nil || len(old) == 0 {
		return false, err
	}
	used, err := r.used(ctx, namespace, old)
	if err != nil {
		return false, err
	}
	var errs []error
	for _, o := range old {
		if used[o.GetName()] {
			left = true
			continue
		}
		errs = append(errs, client.IgnoreNotFound(r.Delete(ctx, o)))
	}
	return left, errors.Join(errs...)
}

// superfluous are the objects of all but the last revisions of each layer.
func (r *Reconciler) superfluous(ctx context.Context, namespace string, kept []string) ([]client.Object, error) {
	var maps corev1.ConfigMapList
	var secrets corev1.SecretList
	for _, list := range []client.ObjectList{&maps, &secrets} {
		if err := r.List(ctx, list, client.InNamespace(namespace), client.HasLabels{v1alpha1.LabelConfig}); err != nil {
			return nil, err
		}
	}
	groups := map[string][]client.Object{} // by kind, part and layer
	add := func(kind string, o client.Object) {
		if !slices.Contains(kept, o.GetName()) {
			part := strings.TrimSuffix(o.GetName(), o.GetLabels()[v1alpha1.LabelConfigRevision])
			groups[kind+part] = append(groups[kind+part], o)
		}
	}
	for i := range maps.Items {
		add("m/", &maps.Items[i])
	}
	for i := range secrets.Items {
		add("s/", &secrets.Items[i])
	}
	var out []client.Object
	for _, group := range groups {
		slices.SortFunc(group, func(a, b client.Object) int { // the newest first
			created := b.GetCreationTimestamp()
			return cmp.Or(created.Compare(a.GetCreationTimestamp().Time), cmp.Compare(a.GetName(), b.GetName()))
		})
		out = append(out, group[min(len(group), keepRevisions):]...)
	}
	return out, nil
}

// used says which of the objects something in the namespace names. What is being removed still counts.
func (r *Reconciler) used(ctx context.Context, namespace string, objects []client.Object) (map[string]bool, error) {
	found := map[string]bool{}
	for _, kind := range referrers {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		err := r.Live.List(ctx, list, client.InNamespace(namespace))
		if meta.IsNoMatchError(err) {
			continue // a kind that this site does not have
		}
		if err != nil {
			return nil, fmt.Errorf("look for %ss that use configuration: %w", kind.Kind, err)
		}
		for i := range list.Items {
			raw, err := json.Marshal(list.Items[i].Object)
			if err != nil {
				return nil, err
			}
			for _, o := range objects {
				if bytes.Contains(raw, []byte(o.GetName())) || bytes.Contains(raw, []byte(o.GetLabels()[v1alpha1.LabelConfigRevision])) {
					found[o.GetName()] = true
				}
			}
		}
	}
	return found, nil
}
