package configuration

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"islet/appliance/paas/configset"
	"islet/appliance/paas/v1alpha1"
)

type site struct {
	*Reconciler
	t *testing.T
}

// newSite has a tenant press with the environment press-dev, and the rest that is given.
func newSite(t *testing.T, objects ...client.Object) site {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := configset.NewKeys(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	tenant := &v1alpha1.Tenant{ObjectMeta: metav1.ObjectMeta{Name: "press"}}
	environment := &v1alpha1.Environment{ObjectMeta: metav1.ObjectMeta{Name: "press-dev"}, Spec: v1alpha1.EnvironmentSpec{Tenant: "press", Name: "dev", Class: v1alpha1.ClassDev}}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "press-dev", Labels: map[string]string{v1alpha1.LabelTenant: "press"}}}
	api := fake.NewClientBuilder().WithScheme(s).WithObjects(append(objects, tenant, environment, namespace)...).WithStatusSubresource(&v1alpha1.ConfigSet{}).
		WithInterceptorFuncs(interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
				if kind := list.GetObjectKind().GroupVersionKind(); kind.Kind == "ApplicationList" || kind.Kind == "ReleaseOrderList" {
					return &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: kind.Group, Kind: kind.Kind}}
				}
				return c.List(ctx, list, options...)
			},
		}).Build()
	now := time.Unix(1e9, 0)
	return site{&Reconciler{Client: api, Live: api, Keys: keys, Now: func() time.Time { now = now.Add(time.Minute); return now }}, t}
}

func (s site) reconcile() reconcile.Result {
	s.t.Helper()
	result, err := s.Reconcile(s.t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Name: "press"}})
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

func (s site) layer(namespace, name string) *v1alpha1.ConfigSet {
	s.t.Helper()
	var set v1alpha1.ConfigSet
	if err := s.Get(s.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &set); err != nil {
		s.t.Fatal(err)
	}
	return &set
}

// set changes plain values of a layer, and makes one for an application.
func (s site) set(namespace, name string, words ...string) {
	s.t.Helper()
	set := &v1alpha1.ConfigSet{}
	err := s.Get(s.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, set)
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		configset.Put(&set.Spec, v1alpha1.ConfigEntry{Key: key, Kind: v1alpha1.KindPlain, Value: &value})
	}
	if apierrors.IsNotFound(err) {
		set.Namespace, set.Name, set.Spec.Layer = namespace, name, v1alpha1.LayerApplication
		err = s.Create(s.t.Context(), set)
	} else if err == nil {
		err = s.Update(s.t.Context(), set)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s site) variables(name string) map[string]string {
	s.t.Helper()
	var m corev1.ConfigMap
	if err := s.Get(s.t.Context(), client.ObjectKey{Namespace: "press-dev", Name: name}, &m); err != nil {
		s.t.Fatal(err)
	}
	if m.Immutable == nil || !*m.Immutable {
		s.t.Errorf("%s can be changed", name)
	}
	return m.Data
}

func TestLayersAreRendered(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.reconcile()
	if got := s.layer("press-dev", "environment").Spec.Layer; got != v1alpha1.LayerEnvironment {
		t.Errorf("an environment's own layer is %s", got)
	}
	s.set(v1alpha1.BaseNamespace, "press", "A=base", "B=base")
	s.set("press-dev", "environment", "B=dev")
	s.set("press-dev", "web", "C=web")
	sealed, err := s.Keys.SiteKey().Seal("press", "PASSWORD", "hunter2")
	if err != nil {
		t.Fatal(err)
	}
	web := s.layer("press-dev", "web")
	text := "listen 80"
	web.Spec.Entries = append(web.Spec.Entries, v1alpha1.ConfigEntry{Key: "PASSWORD", Kind: v1alpha1.KindSecret, Sealed: &sealed}, v1alpha1.ConfigEntry{Key: "app.conf", Kind: v1alpha1.KindFile, Value: &text})
	if err := s.Update(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	s.reconcile()
	status := s.layer("press-dev", "web").Status
	if got := fmt.Sprint(s.variables(status.Variables), s.variables(status.Files)); got != "map[A:base B:dev C:web] map[app.conf:listen 80]" {
		t.Errorf("%s", got)
	}
	var secret corev1.Secret
	if err := s.Get(t.Context(), client.ObjectKey{Namespace: "press-dev", Name: status.Secrets}, &secret); err != nil || string(secret.Data["PASSWORD"]) != "hunter2" {
		t.Errorf("%v (%v)", secret.Data, err)
	}
	if status.Variables != "config-web-"+status.Revision || status.Files != "files-web-"+status.Revision || len(status.Sources) != 5 || strings.Contains(fmt.Sprint(status), "hunter2") {
		t.Errorf("%+v", status)
	}
	environment := s.layer("press-dev", "environment").Status
	if got := fmt.Sprint(s.variables(environment.Variables)); got != "map[A:base B:dev]" || environment.Files != "" || environment.Secrets != "" {
		t.Errorf("%s, %+v", got, environment)
	}
	if base := s.layer(v1alpha1.BaseNamespace, "press").Status; base.Variables != "" || !meta.IsStatusConditionTrue(base.Conditions, v1alpha1.ConditionReady) {
		t.Errorf("%+v", base)
	}
}

// What is not valid changes nothing of what runs, and says one cause.
func TestInvalidConfigurationIsNotRolledOut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.reconcile()
	s.set("press-dev", "environment", "PORT=80")
	s.reconcile()
	good := s.layer("press-dev", "environment").Status
	base := s.layer(v1alpha1.BaseNamespace, "press")
	base.Spec.Rules = []v1alpha1.ConfigRule{{Key: "PORT", Type: v1alpha1.TypeInteger, Required: true}}
	if err := s.Update(t.Context(), base); err != nil {
		t.Fatal(err)
	}
	s.set("press-dev", "environment", "PORT=http")
	s.reconcile()
	bad := s.layer("press-dev", "environment").Status
	why := meta.FindStatusCondition(bad.Conditions, v1alpha1.ConditionReady)
	if why.Status != metav1.ConditionFalse || why.Message != `PORT: "http" is no whole number (set in layer environment)` || why.Reason != "Invalid" {
		t.Errorf("%+v", why)
	}
	if bad.Revision != good.Revision || s.variables(bad.Variables)["PORT"] != "80" {
		t.Errorf("%+v, before %+v", bad, good)
	}
	if base := s.layer(v1alpha1.BaseNamespace, "press").Status; !meta.IsStatusConditionTrue(base.Conditions, v1alpha1.ConditionReady) {
		t.Errorf("what others are to have is missed in the base: %+v", base.Conditions)
	}
	s.set("press-dev", "environment", "PORT=8080")
	s.reconcile()
	again := s.layer("press-dev", "environment").Status
	if len(again.History) != 3 || !slices.Equal(again.History[0].Changed, []string{"PORT"}) || again.History[0].Revision != again.Revision { // the first is that of no values
		t.Errorf("%+v", again.History)
	}
}

// What nobody may change is put back; a name does not tell a lie.
func TestWhatWasMadeIsPutBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.reconcile()
	s.set("press-dev", "environment", "A=1")
	s.reconcile()
	name := s.layer("press-dev", "environment").Status.Variables
	spoil := map[string]func(*corev1.ConfigMap) error{
		"deleted":  func(m *corev1.ConfigMap) error { return s.Delete(t.Context(), m) },
		"replaced": func(m *corev1.ConfigMap) error { m.Data["A"], m.Data["B"] = "2", "2"; return s.Update(t.Context(), m) },
	}
	for what, do := range spoil {
		var m corev1.ConfigMap
		if err := s.Get(t.Context(), client.ObjectKey{Namespace: "press-dev", Name: name}, &m); err != nil {
			t.Fatal(err)
		}
		if err := do(&m); err != nil {
			t.Fatal(err)
		}
		for range 2 { // one that was replaced is removed first
			_, _ = s.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Name: "press"}})
		}
		if got := fmt.Sprint(s.variables(name)); got != "map[A:1]" {
			t.Errorf("%s: %s", what, got)
		}
	}
}

func TestRevisionsArePruned(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.reconcile()
	var all []string
	for i := range keepRevisions + 4 {
		s.set("press-dev", "environment", fmt.Sprintf("A=%d", i))
		s.reconcile()
		all = append(all, s.layer("press-dev", "environment").Status.Variables)
		if i == 0 { // something runs with the first
			set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "press-dev", Name: "web-1"}}
			set.Spec.Template.Spec.Containers = []corev1.Container{{EnvFrom: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: all[0]}}}}}}
			if err := s.Create(t.Context(), set); err != nil {
				t.Fatal(err)
			}
		}
	}
	left := func() []string {
		var list corev1.ConfigMapList
		if err := s.List(t.Context(), &list, client.InNamespace("press-dev")); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, m := range list.Items {
			names = append(names, m.Name)
		}
		return names
	}
	got := left()
	if !slices.Contains(got, all[0]) || !slices.Contains(got, all[len(all)-1]) || len(got) > keepRevisions+2 {
		t.Errorf("%d of %d are left: %v", len(got), len(all), got)
	}
}

// A layer where it has no business is nobody's.
func TestLayersInTheWrongPlace(t *testing.T) {
	t.Parallel()
	s := newSite(t, &v1alpha1.ConfigSet{ObjectMeta: metav1.ObjectMeta{Namespace: "press-dev", Name: "base"}, Spec: v1alpha1.ConfigSetSpec{Layer: v1alpha1.LayerBase}},
		&v1alpha1.ConfigSet{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.BaseNamespace, Name: "nobody"}, Spec: v1alpha1.ConfigSetSpec{Layer: v1alpha1.LayerBase}})
	s.reconcile()
	if _, err := s.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Name: "nobody"}}); err != nil {
		t.Fatal(err)
	}
	for namespace, name := range map[string]string{"press-dev": "base", v1alpha1.BaseNamespace: "nobody"} {
		if c := meta.FindStatusCondition(s.layer(namespace, name).Status.Conditions, v1alpha1.ConditionReady); c == nil || c.Status != metav1.ConditionFalse {
			t.Errorf("%s/%s: %+v", namespace, name, c)
		}
	}
}
