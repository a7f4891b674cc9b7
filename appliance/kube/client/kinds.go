package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// ErrNoKind is returned for a kind that the API does not serve.
var ErrNoKind = errors.New("the API serves no such kind")

// resource is what the API calls a kind.
type resource struct {
	Name       string
	Namespaced bool
}

// kinds remembers what the API has said of its kinds. One that it does not know is asked for each time: definitions of kinds
// come in while the client is in use.
type kinds struct {
	get func(ctx context.Context, path string, into any) error

	mu    sync.Mutex
	known map[schema.GroupVersionKind]resource
}

func newKinds(get func(context.Context, string, any) error) *kinds {
	return &kinds{get: get, known: map[schema.GroupVersionKind]resource{}}
}

func (k *kinds) lookup(kind schema.GroupVersionKind) (resource, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, ok := k.known[kind]
	return r, ok
}

// resource asks for all kinds of the version, unless it is known.
func (k *kinds) resource(ctx context.Context, kind schema.GroupVersionKind) (resource, error) {
	if r, ok := k.lookup(kind); ok {
		return r, nil
	}
	var list metav1.APIResourceList
	err := k.get(ctx, groupPath(kind.GroupVersion()), &list)
	if err != nil && !apierrors.IsNotFound(err) {
		return resource{}, fmt.Errorf("kinds of %s: %w", kind.GroupVersion(), err)
	}
	k.mu.Lock()
	for _, r := range list.APIResources {
		if !strings.Contains(r.Name, "/") { // a part of another
			k.known[kind.GroupVersion().WithKind(r.Kind)] = resource{Name: r.Name, Namespaced: r.Namespaced}
		}
	}
	k.mu.Unlock()
	if r, ok := k.lookup(kind); ok {
		return r, nil
	}
	return resource{}, fmt.Errorf("%w: %s of %s", ErrNoKind, kind.Kind, kind.GroupVersion())
}

// preferred is the version of a kind that the API prefers.
func (k *kinds) preferred(ctx context.Context, kind schema.GroupKind) (schema.GroupVersionKind, error) {
	if kind.Group == "" {
		found := kind.WithVersion("v1")
		_, err := k.resource(ctx, found)
		return found, err
	}
	var group metav1.APIGroup
	if err := k.get(ctx, "/apis/"+kind.Group, &group); err != nil {
		if apierrors.IsNotFound(err) {
			return schema.GroupVersionKind{}, fmt.Errorf("%w: %s", ErrNoKind, kind)
		}
		return schema.GroupVersionKind{}, fmt.Errorf("versions of %s: %w", kind.Group, err)
	}
	versions := []string{group.PreferredVersion.Version}
	for _, v := range group.Versions {
		if !slices.Contains(versions, v.Version) {
			versions = append(versions, v.Version)
		}
	}
	for _, v := range versions {
		found := kind.WithVersion(v)
		if _, err := k.resource(ctx, found); !errors.Is(err, ErrNoKind) {
			return found, err
		}
	}
	return schema.GroupVersionKind{}, fmt.Errorf("%w: %s", ErrNoKind, kind)
}
