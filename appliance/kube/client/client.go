// Package client reads and writes objects of the Kubernetes API. It knows the few kinds that the platform itself uses as Go
// types, and every other as unstructured objects. controller-runtime's client and client-go's typed ones link the types of all
// groups in all versions, which is 2 MiB of the packed executable.
package client

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Object is an object of the API: a typed one of a kind that Scheme has, or an unstructured one that says its kind.
type Object interface {
	metav1.Object
	runtime.Object
}

// ObjectList is a list of such objects.
type ObjectList interface {
	metav1.ListInterface
	runtime.Object
}

// ObjectKey names an object of a kind. Namespace is empty where the kind has none.
type ObjectKey = types.NamespacedName

// ObjectKeyFromObject is the name of an object.
func ObjectKeyFromObject(o Object) ObjectKey {
	return ObjectKey{Namespace: o.GetNamespace(), Name: o.GetName()}
}

// Client reads and writes objects. What is read replaces all that was in the object before. Errors of the API are those of
// k8s.io/apimachinery/pkg/api/errors.
type Client interface {
	Get(ctx context.Context, key ObjectKey, o Object) error
	List(ctx context.Context, list ObjectList, options ...ListOption) error
	// Create and Update fill the object with what the API made of it.
	Create(ctx context.Context, o Object) error
	Update(ctx context.Context, o Object) error
	// Patch fills the object, too.
	Patch(ctx context.Context, o Object, patch Patch) error
	// Delete leaves what belongs to the object to the API, which deletes it afterwards. An object with a UID is that very one: another
	// of its name stays, which is an error that says "conflict".
	Delete(ctx context.Context, o Object) error
	// KindFor is the preferred version of a kind. Its error is ErrNoKind when the API does not serve it.
	KindFor(ctx context.Context, kind schema.GroupKind) (schema.GroupVersionKind, error)
}

// Patch is a change of an object.
type Patch struct {
	Type types.PatchType
	Data []byte
	// Owner owns the fields of a server-side apply, whoever had them before; empty for other patches.
	Owner string
}

// MergePatch is a JSON merge patch.
func MergePatch(data []byte) Patch { return Patch{Type: types.MergePatchType, Data: data} }

// ListOption narrows a list down.
type ListOption func(*Selection)

// Selection is what list options say together. A test's client needs it, too.
type Selection struct {
	Namespace string
	Labels    []string          // that objects have: NAME, or NAME=VALUE
	Fields    map[string]string // and their values
}

// InNamespace lists one namespace only.
func InNamespace(name string) ListOption { return func(s *Selection) { s.Namespace = name } }

// HasLabels lists objects that have all of these labels.
func HasLabels(labels ...string) ListOption {
	return func(s *Selection) { s.Labels = append(s.Labels, labels...) }
}

// WithLabel lists objects whose label has that value.
func WithLabel(name, value string) ListOption {
	return func(s *Selection) { s.Labels = append(s.Labels, name+"="+value) }
}

// MatchingFields lists objects by fields that the API can select by.
func MatchingFields(fields map[string]string) ListOption {
	return func(s *Selection) { s.Fields = fields }
}

// Select puts options together.
func Select(options []ListOption) Selection {
	var s Selection
	for _, o := range options {
		o(&s)
	}
	return s
}

// IgnoreNotFound drops the error that says that an object is not there.
func IgnoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
