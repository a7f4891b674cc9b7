package route

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// action is a remedy. It may be done again.
type action interface {
	do(ctx context.Context, c client.Client) error
}

// dropEndpoint takes an address out of a slice. Kubernetes' own controller comes to the same once it looks.
type dropEndpoint struct {
	slice   types.NamespacedName
	address string
}

func (a dropEndpoint) do(ctx context.Context, c client.Client) error {
	var s discoveryv1.EndpointSlice
	if err := c.Get(ctx, a.slice, &s); err != nil {
		return client.IgnoreNotFound(err)
	}
	s.Endpoints = slices.DeleteFunc(s.Endpoints, func(e discoveryv1.Endpoint) bool { return slices.Contains(e.Addresses, a.address) })
	return c.Update(ctx, &s)
}

// unready says of a pod on a dead node what Kubernetes says once the node has been silent for long enough. A node that lives after
// all says the opposite within seconds.
type unready struct {
	pod  types.NamespacedName
	node string
}

func (a unready) do(ctx context.Context, c client.Client) error {
	var p corev1.Pod
	if err := c.Get(ctx, a.pod, &p); err != nil {
		return client.IgnoreNotFound(err)
	}
	if p.Spec.NodeName != a.node || !isReady(&p) {
		return nil
	}
	before := p.DeepCopy()
	for i := range p.Status.Conditions {
		if k := &p.Status.Conditions[i]; k.Type == corev1.PodReady {
			k.Status, k.Reason, k.Message, k.LastTransitionTime = corev1.ConditionFalse, "NodeDead", "node "+a.node+" does not answer", metav1.Now()
		}
	}
	return c.Status().Patch(ctx, &p, client.StrategicMergeFrom(before))
}

// touch has Kubernetes look at a service again.
type touch struct{ service types.NamespacedName }

// Touched is an annotation of a service whose endpoints were asked for anew.
const Touched = "islet.dev/endpoints-asked"

func (a touch) do(ctx context.Context, c client.Client) error {
	var s corev1.Service
	if err := c.Get(ctx, a.service, &s); err != nil {
		return client.IgnoreNotFound(err)
	}
	before := s.DeepCopy()
	if s.Annotations == nil {
		s.Annotations = map[string]string{}
	}
	s.Annotations[Touched] = time.Now().UTC().Format(time.RFC3339)
	return c.Patch(ctx, &s, client.MergeFrom(before))
}
