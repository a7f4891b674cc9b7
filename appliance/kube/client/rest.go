package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	kjson "sigs.k8s.io/json"

	"islet/appliance/paas/v1alpha1"
)

// scheme has the kinds that may be used as Go types.
var scheme = newScheme()

func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, coordinationv1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err) // the groups have no type in common
		}
	}
	return s
}

// api is the client of an API server.
type api struct {
	rest  rest.Interface
	kinds *kinds
}

// New returns a client that sends its requests through httpClient. It asks the API nothing yet.
func New(config *rest.Config, httpClient *http.Client) (Client, error) {
	own := rest.CopyConfig(config)
	own.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	own.GroupVersion = &schema.GroupVersion{}
	made, err := rest.UnversionedRESTClientForConfigAndClient(own, httpClient)
	if err != nil {
		return nil, err
	}
	a := &api{rest: made}
	a.kinds = newKinds(func(ctx context.Context, path string, into any) error {
		return a.do(ctx, made.Get().AbsPath(path), func(raw []byte) error { return json.Unmarshal(raw, into) })
	})
	return a, nil
}

// do sends a request and reads its answer.
func (a *api) do(ctx context.Context, r *rest.Request, read func([]byte) error) error {
	result := r.SetHeader("Accept", runtime.ContentTypeJSON).Do(ctx)
	if err := result.Error(); err != nil {
		return err
	}
	raw, err := result.Raw()
	if err != nil || read == nil {
		return err
	}
	return read(raw)
}

// into reads an object or a list. Nothing stays of what was in it.
func into(o runtime.Object) func([]byte) error {
	return func(raw []byte) error {
		if u, ok := o.(json.Unmarshaler); ok { // an unstructured one
			return u.UnmarshalJSON(raw)
		}
		reflect.ValueOf(o).Elem().SetZero()
		return kjson.UnmarshalCaseSensitivePreserveInts(raw, o)
	}
}

// place is where the objects of a kind are, in a namespace if the kind has any.
func (a *api) place(ctx context.Context, o runtime.Object, namespace string) (string, schema.GroupVersionKind, error) {
	kind, err := kindOf(o)
	if err != nil {
		return "", kind, err
	}
	resource, err := a.resource(ctx, o, kind)
	if err != nil {
		return "", kind, err
	}
	path := groupPath(kind.GroupVersion())
	if resource.Namespaced && namespace != "" {
		path += "/namespaces/" + namespace
	}
	return path + "/" + resource.Name, kind, nil
}

// resource says what the API calls a kind. Those with Go types follow the rule for English words; the others are asked for.
func (a *api) resource(ctx context.Context, o runtime.Object, kind schema.GroupVersionKind) (resource, error) {
	kind.Kind = strings.TrimSuffix(kind.Kind, "List")
	if _, ok := o.(runtime.Unstructured); ok {
		return a.kinds.resource(ctx, kind)
	}
	_, clusterWide := clusterKinds[kind.Kind]
	return resource{Name: plural(strings.ToLower(kind.Kind)), Namespaced: !clusterWide}, nil
}

func plural(word string) string {
	if strings.HasSuffix(word, "s") {
		return word + "es"
	}
	return word + "s"
}

// clusterKinds are the typed kinds without a namespace.
var clusterKinds = map[string]bool{"Node": true, "Namespace": true, "PersistentVolume": true, "Tenant": true, "Environment": true, "HealthReport": true, "ServiceClass": true}

func kindOf(o runtime.Object) (schema.GroupVersionKind, error) {
	if _, ok := o.(runtime.Unstructured); ok {
		return o.GetObjectKind().GroupVersionKind(), nil
	}
	kinds, _, err := scheme.ObjectKinds(o)
	if err != nil {
		return schema.GroupVersionKind{}, err
	}
	return kinds[0], nil
}

func groupPath(v schema.GroupVersion) string {
	if v.Group == "" {
		return "/api/" + v.Version
	}
	return "/apis/" + v.Group + "/" + v.Version
}

// encode writes an object with its kind.
func encode(o Object, kind schema.GroupVersionKind) ([]byte, error) {
	if u, ok := o.(*unstructured.Unstructured); ok {
		return u.MarshalJSON()
	}
	before := o.GetObjectKind().GroupVersionKind()
	o.GetObjectKind().SetGroupVersionKind(kind)
	defer o.GetObjectKind().SetGroupVersionKind(before)
	return json.Marshal(o)
}

// Get implements Client.
func (a *api) Get(ctx context.Context, key ObjectKey, o Object) error {
	path, _, err := a.place(ctx, o, key.Namespace)
	if err != nil {
		return err
	}
	return a.do(ctx, a.rest.Get().AbsPath(path, key.Name), into(o))
}

// List implements Client.
func (a *api) List(ctx context.Context, list ObjectList, options ...ListOption) error {
	s := Select(options)
	path, _, err := a.place(ctx, list, s.Namespace)
	if err != nil {
		return err
	}
	r := a.rest.Get().AbsPath(path)
	if len(s.Labels) > 0 {
		r.Param("labelSelector", strings.Join(s.Labels, ","))
	}
	if len(s.Fields) > 0 {
		r.Param("fieldSelector", fields.SelectorFromSet(s.Fields).String())
	}
	return a.do(ctx, r, into(list))
}

// Create implements Client.
func (a *api) Create(ctx context.Context, o Object) error {
	return a.write(ctx, a.rest.Post(), o, "")
}

// Update implements Client.
func (a *api) Update(ctx context.Context, o Object) error {
	return a.write(ctx, a.rest.Put(), o, o.GetName())
}

func (a *api) write(ctx context.Context, r *rest.Request, o Object, name string) error {
	path, kind, err := a.place(ctx, o, o.GetNamespace())
	if err != nil {
		return err
	}
	body, err := encode(o, kind)
	if err != nil {
		return fmt.Errorf("encode %s %s: %w", kind.Kind, o.GetName(), err)
	}
	r = r.AbsPath(path, name).SetHeader("Content-Type", runtime.ContentTypeJSON).Body(body)
	return a.do(ctx, r, into(o))
}

// Patch implements Client.
func (a *api) Patch(ctx context.Context, o Object, patch Patch) error {
	path, _, err := a.place(ctx, o, o.GetNamespace())
	if err != nil {
		return err
	}
	r := a.rest.Patch(patch.Type).AbsPath(path, o.GetName()).Body(patch.Data)
	if patch.Type == types.ApplyYAMLPatchType {
		r = r.Param("fieldManager", patch.Owner).Param("force", "true")
	}
	return a.do(ctx, r, into(o))
}

// Delete implements Client.
func (a *api) Delete(ctx context.Context, o Object) error {
	path, _, err := a.place(ctx, o, o.GetNamespace())
	if err != nil {
		return err
	}
	policy := metav1.DeletePropagationBackground
	options := metav1.DeleteOptions{PropagationPolicy: &policy}
	options.Kind, options.APIVersion = "DeleteOptions", "v1"
	if uid := o.GetUID(); uid != "" {
		options.Preconditions = &metav1.Preconditions{UID: &uid}
	}
	body, err := json.Marshal(options)
	if err != nil {
		return err
	}
	return a.do(ctx, a.rest.Delete().AbsPath(path, o.GetName()).SetHeader("Content-Type", runtime.ContentTypeJSON).Body(body), nil)
}

// KindFor implements Client.
func (a *api) KindFor(ctx context.Context, kind schema.GroupKind) (schema.GroupVersionKind, error) {
	return a.kinds.preferred(ctx, kind)
}
