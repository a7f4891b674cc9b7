package catalogue

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"islet/appliance/paas/tenancy"
	"islet/appliance/paas/v1alpha1"
)

// owned makes objects that go with their owner, and takes over nothing that is somebody else's.
type owned struct {
	client.Client
	live client.Reader
}

// ours says whether the catalogue has made an object.
func ours(o client.Object) bool { return o.GetLabels()[tenancy.Managed] == Managed }

// put makes o what it is to be; then it is as the API has stored it.
func (w owned) put(ctx context.Context, owner, o client.Object) error {
	name := o.GetObjectKind().GroupVersionKind().Kind + "/" + o.GetName()
	if err := controllerutil.SetControllerReference(owner, o, w.Scheme()); err != nil {
		return err
	}
	existing, ok := o.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("%T is no object", o)
	}
	err := w.live.Get(ctx, client.ObjectKeyFromObject(o), existing)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err == nil && (!ours(existing) || existing.GetLabels()[v1alpha1.LabelService] != o.GetLabels()[v1alpha1.LabelService] ||
		existing.GetLabels()[v1alpha1.LabelBinding] != o.GetLabels()[v1alpha1.LabelBinding]) {
		return fmt.Errorf("%s: there is one that is not this service's: remove it, or name the service otherwise", name)
	}
	//nolint:staticcheck // typed objects; Client.Apply takes generated apply configurations only
	if err := w.Patch(ctx, o, client.Apply, client.FieldOwner(fieldManager), client.ForceOwnership); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
