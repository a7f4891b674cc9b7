package addon

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta/testrestmapper"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	upstream "sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"islet/appliance/kube/client/fake"
)

// cluster is an API server in this process.
func cluster(t *testing.T, hooks interceptor.Funcs) (client.Client, *Applier) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := upstream.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(hooks).
		WithRESTMapper(testrestmapper.TestOnlyStaticRESTMapper(scheme, corev1.SchemeGroupVersion)).Build()
	return c, NewApplier(fake.Of(c), slog.New(slog.DiscardHandler))
}

func configMaps(t *testing.T, names ...string) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	for _, name := range names {
		out = append(out, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name, "namespace": Namespace}, "data": map[string]any{"a": "1"},
		}})
	}
	return out
}

// apply applies one add-on and prunes, as the daemon does.
func apply(t *testing.T, a *Applier, name string, objects []*unstructured.Unstructured) {
	t.Helper()
	if err := a.Apply(t.Context(), name, objects); err != nil {
		t.Fatal(err)
	}
	if err := a.Prune(t.Context(), Inventory{name: IDs(objects)}); err != nil {
		t.Fatal(err)
	}
}

func exists(t *testing.T, c client.Client, name string) bool {
	t.Helper()
	err := c.Get(t.Context(), client.ObjectKey{Namespace: Namespace, Name: name}, new(corev1.ConfigMap))
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	return err == nil
}

// That nothing changes the second time is shown on a real API server by the end-to-end tests: the one
// here writes even what is equal.
func TestApplyLabelsAndRecords(t *testing.T) {
	t.Parallel()
	c, a := cluster(t, interceptor.Funcs{})
	if have, err := a.ReadInventory(t.Context()); err != nil || len(have) > 0 {
		t.Errorf("before the first: %v (%v)", have, err)
	}
	for range 2 {
		apply(t, a, "one", configMaps(t, "a", "b"))
	}
	var made corev1.ConfigMap
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: Namespace, Name: "a"}, &made); err != nil {
		t.Fatal(err)
	}
	if made.Data["a"] != "1" || made.Labels["addon.islet.dev/name"] != "one" {
		t.Errorf("%+v", made)
	}
	have, err := a.ReadInventory(t.Context())
	if err != nil || !slices.Equal(have["one"], IDs(configMaps(t, "a", "b"))) || len(have) != 1 {
		t.Errorf("inventory %v (%v)", have, err)
	}
}

func TestPruneRemovesWhatIsNoLongerApplied(t *testing.T) {
	t.Parallel()
	c, a := cluster(t, interceptor.Funcs{})
	apply(t, a, "one", configMaps(t, "a", "b"))
	if err := c.Create(t.Context(), configMaps(t, "of-a-person")[0]); err != nil {
		t.Fatal(err)
	}
	// b moves to another add-on, a is dropped.
	apply(t, a, "two", configMaps(t, "b"))
	for name, want := range map[string]bool{"a": false, "b": true, "of-a-person": true} {
		if exists(t, c, name) != want {
			t.Errorf("%s is there: %v", name, !want)
		}
	}
}

func TestPruneLeavesAlone(t *testing.T) {
	t.Parallel()
	c, a := cluster(t, interceptor.Funcs{})
	if err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kept"}}); err != nil {
		t.Fatal(err)
	}
	applied := Inventory{"one": {"_kept__Namespace", "_things.example.com_apiextensions.k8s.io_CustomResourceDefinition",
		Namespace + "_gone_example.com_Thing", Namespace + "_deleted-by-hand__ConfigMap"}}
	if err := a.Prune(t.Context(), applied); err != nil {
		t.Fatal(err)
	}
	if err := a.Prune(t.Context(), Inventory{}); err != nil {
		t.Errorf("kinds that went away: %v", err)
	}
	if err := c.Get(t.Context(), client.ObjectKey{Name: "kept"}, new(corev1.Namespace)); err != nil {
		t.Errorf("a namespace was removed with everything in it: %v", err)
	}
}

// What could not be removed stays in the inventory: the next start tries again.
func TestPruneThatFailsIsRepeated(t *testing.T) {
	t.Parallel()
	refused, refuse := errors.New("no"), true
	c, a := cluster(t, interceptor.Funcs{Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
		if refuse {
			return refused
		}
		return c.Delete(ctx, o, opts...)
	}})
	apply(t, a, "one", configMaps(t, "a"))
	if err := a.Prune(t.Context(), Inventory{}); !errors.Is(err, refused) {
		t.Fatalf("%v", err)
	}
	refuse = false
	if err := a.Prune(t.Context(), Inventory{}); err != nil {
		t.Fatal(err)
	}
	if exists(t, c, "a") {
		t.Error("it is still there")
	}
}

func TestDamagedInventory(t *testing.T) {
	t.Parallel()
	c, a := cluster(t, interceptor.Funcs{})
	stored := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: inventoryName, Namespace: Namespace}, Data: map[string]string{"one": "{"}}
	if err := c.Create(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	if err := a.Prune(t.Context(), Inventory{}); err == nil {
		t.Error("a damaged inventory counts as empty: nothing would ever be pruned again")
	}
}

// A job's template, or where a class keeps its volumes, cannot be changed.
func TestWhatCannotBeChangedIsMadeAnew(t *testing.T) {
	t.Parallel()
	refusals := 1
	c, a := cluster(t, interceptor.Funcs{Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
		if o.GetName() == "a" && refusals == 0 {
			refusals--
			return apierrors.NewInvalid(schema.GroupKind{Kind: "ConfigMap"}, "a", field.ErrorList{field.Invalid(field.NewPath("data"), "2", "field is immutable when set")})
		}
		refusals--
		return c.Patch(ctx, o, p, opts...)
	}})
	apply(t, a, "one", configMaps(t, "a"))
	refusals = 0
	apply(t, a, "one", configMaps(t, "a"))
	if refusals == 0 || !exists(t, c, "a") {
		t.Errorf("not made anew: %d", refusals)
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	role := &unstructured.Unstructured{Object: map[string]any{"apiVersion": rbacGroup + "/v1", "kind": "ClusterRole", "metadata": map[string]any{"name": "system:it"}}}
	ids := IDs(append(configMaps(t, "a"), role))
	if !slices.Equal(ids, []string{"islet-system_a__ConfigMap", "_system__it_rbac.authorization.k8s.io_ClusterRole"}) {
		t.Errorf("%v", ids)
	}
	key, kind, err := parseID(ids[1])
	if err != nil || key != (client.ObjectKey{Name: "system:it"}) || kind != (schema.GroupKind{Group: rbacGroup, Kind: "ClusterRole"}) {
		t.Errorf("%v %v (%v)", key, kind, err)
	}
	if _, _, err := parseID("a_b_c"); err == nil {
		t.Error("a damaged id passes")
	}
}
