package client

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"islet/appliance/paas/v1alpha1"
)

// server answers a path with a document, and else as an API server does. asked is filled with METHOD PATH?QUERY BODY.
func server(t *testing.T, answers map[string]string) (c Client, asked *[]string) {
	t.Helper()
	asked = new([]string)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*asked = append(*asked, strings.TrimSpace(r.Method+" "+r.URL.String()+" "+string(body)))
		w.Header().Set("Content-Type", "application/json")
		answer, ok := answers[r.Method+" "+r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			answer = `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"gone","reason":"NotFound","code":404}`
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	c, err := New(&rest.Config{Host: s.URL}, s.Client())
	if err != nil {
		t.Fatal(err)
	}
	return c, asked
}

func TestTypedObjects(t *testing.T) {
	t.Parallel()
	c, asked := server(t, map[string]string{
		"GET /api/v1/nodes/n1":                        `{"kind":"Node","metadata":{"name":"n1","labels":{"b":"2"}}}`,
		"GET /api/v1/namespaces/x/secrets":            `{"items":[{"metadata":{"name":"s","namespace":"x"},"data":{"k":"djE="}}]}`,
		"GET /api/v1/pods":                            `{"items":[]}`,
		"POST /api/v1/namespaces/x/secrets":           `{"metadata":{"name":"s","namespace":"x","resourceVersion":"7"}}`,
		"PUT /api/v1/namespaces/x/secrets/s":          `{"metadata":{"name":"s","namespace":"x","resourceVersion":"8"}}`,
		"PATCH /api/v1/nodes/n1":                      `{"metadata":{"name":"n1"}}`,
		"DELETE /api/v1/nodes/n1":                     `{"kind":"Status","apiVersion":"v1","status":"Success"}`,
		"GET /apis/apps/v1/namespaces/x/daemonsets/d": `{"metadata":{"name":"d"}}`,
	})
	ctx := t.Context()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "1"}}}
	if err := c.Get(ctx, ObjectKey{Name: "n1"}, node); err != nil || node.Labels["b"] != "2" || len(node.Labels) != 1 {
		t.Errorf("what was in the object stays: %v (%v)", node.Labels, err)
	}
	var secrets corev1.SecretList
	if err := c.List(ctx, &secrets, InNamespace("x"), HasLabels("one", "two")); err != nil || len(secrets.Items) != 1 || string(secrets.Items[0].Data["k"]) != "v1" {
		t.Errorf("%+v (%v)", secrets.Items, err)
	}
	if err := c.List(ctx, &corev1.PodList{}, MatchingFields(map[string]string{"spec.nodeName": "n1"})); err != nil {
		t.Error(err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "x"}}
	if err := c.Create(ctx, secret); err != nil || secret.ResourceVersion != "7" {
		t.Errorf("%+v (%v)", secret, err)
	}
	if err := c.Update(ctx, secret); err != nil || secret.ResourceVersion != "8" {
		t.Errorf("%+v (%v)", secret, err)
	}
	if err := errors.Join(c.Patch(ctx, node, MergePatch([]byte(`{"x":1}`))), c.Delete(ctx, node)); err != nil {
		t.Error(err)
	}
	if err := c.Get(ctx, ObjectKey{Name: "none"}, node); !apierrors.IsNotFound(err) || IgnoreNotFound(err) != nil {
		t.Errorf("not there: %v", err)
	}
	want := []string{
		"GET /api/v1/nodes/n1", "GET /api/v1/namespaces/x/secrets?labelSelector=one%2Ctwo", "GET /api/v1/pods?fieldSelector=spec.nodeName%3Dn1",
		`POST /api/v1/namespaces/x/secrets {"kind":"Secret","apiVersion":"v1","metadata":{"name":"s","namespace":"x"}}`,
		`PUT /api/v1/namespaces/x/secrets/s {"kind":"Secret","apiVersion":"v1","metadata":{"name":"s","namespace":"x","resourceVersion":"7"}}`,
		`PATCH /api/v1/nodes/n1 {"x":1}`, `DELETE /api/v1/nodes/n1 {"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Background"}`, "GET /api/v1/nodes/none",
	}
	if got := strings.Join(*asked, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("asked\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// What the API calls a kind with a Go type is not asked for.
func TestNamesOfKinds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		object Object
		want   string
	}{
		{&corev1.Service{}, "/api/v1/namespaces/x/services"},
		{&v1alpha1.ServiceClass{}, "/apis/islet.dev/v1alpha1/serviceclasses"},
		{&v1alpha1.ServiceBinding{}, "/apis/islet.dev/v1alpha1/namespaces/x/servicebindings"},
		{&v1alpha1.Environment{}, "/apis/islet.dev/v1alpha1/environments"},
	} {
		api, asked := server(t, nil)
		if err := api.Get(t.Context(), ObjectKey{Namespace: "x", Name: "n"}, c.object); !apierrors.IsNotFound(err) || (*asked)[0] != "GET "+c.want+"/n" {
			t.Errorf("%T: %v (%v)", c.object, *asked, err)
		}
	}
}

func TestUnstructuredObjects(t *testing.T) {
	t.Parallel()
	thing := schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Thing"}
	answers := map[string]string{
		"GET /apis/example.com":                                 `{"preferredVersion":{"version":"v2"},"versions":[{"version":"v2"},{"version":"v1"}]}`,
		"PATCH /apis/example.com/v1/namespaces/x/thinglings/it": `{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"name":"it","namespace":"x","resourceVersion":"3"}}`,
	}
	c, asked := server(t, answers)
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(thing)
	o.SetName("it")
	o.SetNamespace("x")
	apply := Patch{Type: types.ApplyYAMLPatchType, Data: []byte("{}"), Owner: "islet"}
	if err := c.Patch(t.Context(), o, apply); !errors.Is(err, ErrNoKind) {
		t.Errorf("before it is defined: %v", err)
	}
	answers["GET /apis/example.com/v1"] = `{"resources":[{"name":"thinglings","kind":"Thing","namespaced":true},{"name":"thinglings/status","kind":"Thing"}]}`
	*asked = nil
	for range 2 {
		if err := c.Patch(t.Context(), o, apply); err != nil || o.GetResourceVersion() != "3" {
			t.Errorf("%v (%v)", o, err)
		}
	}
	want := "GET /apis/example.com/v1\nPATCH /apis/example.com/v1/namespaces/x/thinglings/it?fieldManager=islet&force=true {}"
	if got := strings.Join((*asked)[:2], "\n"); got != want || len(*asked) != 3 {
		t.Errorf("asked\n%s", strings.Join(*asked, "\n"))
	}
	if kind, err := c.KindFor(t.Context(), thing.GroupKind()); err != nil || kind != thing {
		t.Errorf("%v (%v)", kind, err)
	}
	if _, err := c.KindFor(t.Context(), schema.GroupKind{Group: "gone.com", Kind: "Thing"}); !errors.Is(err, ErrNoKind) {
		t.Errorf("%v", err)
	}
}

func TestEncodeLeavesTheObject(t *testing.T) {
	t.Parallel()
	node := &corev1.Node{}
	raw, err := encode(node, schema.GroupVersionKind{Version: "v1", Kind: "Node"})
	var has metav1.TypeMeta
	if err != nil || json.Unmarshal(raw, &has) != nil || has.Kind != "Node" || has.APIVersion != "v1" || node.Kind != "" {
		t.Errorf("%s (%v), %+v", raw, err, node.TypeMeta)
	}
}
