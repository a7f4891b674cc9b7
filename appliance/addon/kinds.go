package addon

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"islet/appliance/kube/client"
)

// wokenAnnotation is changed to let the API server look at a definition again.
const wokenAnnotation = "islet.dev/woken"

// WakeKinds touches the definitions of kinds whose names were accepted but that are not served. The API server takes the
// step between the two when it sees the definition change, and never at its own start: one that lost its power right there
// leaves the kind unserved until the definition's next resync, up to five minutes later
// (k8s.io/apiextensions-apiserver, customresource_handler.go: only updates are queued for the establishing controller).
func (a *Applier) WakeKinds(ctx context.Context) error {
	var definitions unstructured.UnstructuredList
	definitions.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: definitionKind + "List"})
	if err := a.client.List(ctx, &definitions); err != nil {
		return err
	}
	for _, d := range definitions.Items {
		if !holds(d, "NamesAccepted") || holds(d, "Established") {
			continue
		}
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, wokenAnnotation, time.Now().UTC().Format(time.RFC3339Nano))
		err := a.client.Patch(ctx, &d, client.MergePatch(patch))
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("wake kind %s: %w", d.GetName(), err)
		}
		a.log.Warn("a kind was defined but not served; the API server is made to look at it again", "definition", d.GetName())
	}
	return nil
}

// definitionKind is the kind of definitions of kinds.
const definitionKind = "CustomResourceDefinition"

// awaitServed waits until the API serves the kind that an object defines.
func (a *Applier) awaitServed(ctx context.Context, definition *unstructured.Unstructured) error {
	return a.await(ctx, func(ctx context.Context) error {
		now := bare(definition)
		if err := a.client.Get(ctx, client.ObjectKeyFromObject(definition), now); err != nil {
			return err
		}
		if !holds(*now, "Established") {
			return fmt.Errorf("%s is not served yet", now.GetName())
		}
		return nil
	})
}

// holds says whether a condition of an object is true. An object without conditions has none that is.
func holds(o unstructured.Unstructured, condition string) bool {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["type"] == condition {
			return c["status"] == "True"
		}
	}
	return false
}
