package addon

import (
	"log/slog"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	upstream "sigs.k8s.io/controller-runtime/pkg/client/fake"

	"islet/appliance/kube/client/fake"
)

func TestWakeKinds(t *testing.T) {
	t.Parallel()
	definition := func(name string, conditions ...any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": name},
			"status": map[string]any{"conditions": conditions},
		}}
	}
	is := func(kind, status string) any { return map[string]any{"type": kind, "status": status} }
	cases := map[string]struct {
		conditions []any
		woken      bool
	}{
		"new":      {nil, false},
		"refused":  {[]any{is("NamesAccepted", "False"), is("Established", "False")}, false},
		"stuck":    {[]any{is("NamesAccepted", "True"), is("Established", "False")}, true},
		"accepted": {[]any{is("NamesAccepted", "True")}, true},
		"served":   {[]any{is("NamesAccepted", "True"), is("Established", "True")}, false},
	}
	builder := upstream.NewClientBuilder()
	for name, c := range cases {
		builder = builder.WithObjects(definition(name, c.conditions...))
	}
	api := builder.Build()
	a := &Applier{client: fake.Of(api), log: slog.New(slog.DiscardHandler)}
	if err := a.WakeKinds(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, c := range cases {
		got := definition(name)
		if err := api.Get(t.Context(), client.ObjectKey{Name: name}, got); err != nil {
			t.Fatal(err)
		}
		if woken := got.GetAnnotations()[wokenAnnotation] != ""; woken != c.woken {
			t.Errorf("%s: woken %v, want %v", name, woken, c.woken)
		}
	}
}
