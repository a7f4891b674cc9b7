// Package fake makes controller-runtime's API server within the process, which tests use, look like the platform's client.
package fake

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	upstream "sigs.k8s.io/controller-runtime/pkg/client"
	upstreamfake "sigs.k8s.io/controller-runtime/pkg/client/fake"

	"islet/appliance/kube/client"
)

// New returns a client of an API that has these objects.
func New(objects ...upstream.Object) client.Client {
	return Of(upstreamfake.NewClientBuilder().WithObjects(objects...).Build())
}

// Of returns the platform's client of an API that was built with more.
func Of(c upstream.Client) client.Client { return wrapped{c} }

type wrapped struct{ upstream upstream.Client }

// Get implements client.Client.
func (w wrapped) Get(ctx context.Context, key client.ObjectKey, o client.Object) error {
	return w.upstream.Get(ctx, key, o)
}

// List implements client.Client.
func (w wrapped) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	s := client.Select(options)
	var out []upstream.ListOption
	if s.Namespace != "" {
		out = append(out, upstream.InNamespace(s.Namespace))
	}
	for _, l := range s.Labels {
		if name, value, ok := strings.Cut(l, "="); ok {
			out = append(out, upstream.MatchingLabels{name: value})
		} else {
			out = append(out, upstream.HasLabels{l})
		}
	}
	if len(s.Fields) > 0 {
		out = append(out, upstream.MatchingFields(s.Fields))
	}
	return w.upstream.List(ctx, list, out...)
}

// Create implements client.Client.
func (w wrapped) Create(ctx context.Context, o client.Object) error { return w.upstream.Create(ctx, o) }

// Update implements client.Client.
func (w wrapped) Update(ctx context.Context, o client.Object) error { return w.upstream.Update(ctx, o) }

// Patch implements client.Client.
func (w wrapped) Patch(ctx context.Context, o client.Object, patch client.Patch) error {
	var options []upstream.PatchOption
	if patch.Type == types.ApplyYAMLPatchType {
		options = append(options, upstream.FieldOwner(patch.Owner), upstream.ForceOwnership)
	}
	return w.upstream.Patch(ctx, o, upstream.RawPatch(patch.Type, patch.Data), options...)
}

// Delete implements client.Client.
func (w wrapped) Delete(ctx context.Context, o client.Object) error {
	options := []upstream.DeleteOption{upstream.PropagationPolicy(metav1.DeletePropagationBackground)}
	if uid := o.GetUID(); uid != "" {
		options = append(options, upstream.Preconditions{UID: &uid})
	}
	return w.upstream.Delete(ctx, o, options...)
}

// KindFor implements client.Client.
func (w wrapped) KindFor(_ context.Context, kind schema.GroupKind) (schema.GroupVersionKind, error) {
	mapping, err := w.upstream.RESTMapper().RESTMapping(kind)
	if apimeta.IsNoMatchError(err) {
		return schema.GroupVersionKind{}, errors.Join(client.ErrNoKind, fmt.Errorf("%s: %w", kind, err))
	}
	if err != nil {
		return schema.GroupVersionKind{}, err
	}
	return mapping.GroupVersionKind, nil
}
