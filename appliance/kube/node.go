package kube

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"islet/appliance/kube/client"
)

// NodeReady returns nil when the node is Ready, else ErrNotReady with the reason.
func NodeReady(ctx context.Context, c client.Client, name string) error {
	_, err := readyCondition(ctx, c, name)
	return err
}

func readyCondition(ctx context.Context, c client.Client, name string) (corev1.NodeCondition, error) {
	var node corev1.Node
	if err := c.Get(ctx, client.ObjectKey{Name: name}, &node); err != nil {
		return corev1.NodeCondition{}, err
	}
	return judgeReady(&node)
}

// IsReady says whether Kubernetes calls the node Ready.
func IsReady(node *corev1.Node) bool {
	_, err := judgeReady(node)
	return err == nil
}

func judgeReady(node *corev1.Node) (corev1.NodeCondition, error) {
	for _, cond := range node.Status.Conditions {
		if cond.Type == corev1.NodeReady {
			if cond.Status == corev1.ConditionTrue {
				return cond, nil
			}
			return cond, fmt.Errorf("%w: %s", ErrNotReady, cond.Message)
		}
	}
	return corev1.NodeCondition{}, ErrNotReady
}

// NodeReadySince returns nil when the node is Ready and its kubelet has said so since then, else ErrNotReady with the
// reason. After a restart, or a short loss of power, the API goes on calling a node Ready for 40 s that nobody runs. A
// kubelet that works says so in one of two ways: it writes its condition when that has changed, as a new node's has, and
// renews its lease, but for a new node not within the first 10 s.
func NodeReadySince(ctx context.Context, c client.Client, name string, since time.Time) error {
	ready, err := readyCondition(ctx, c, name)
	if err != nil || ready.LastHeartbeatTime.After(since) {
		return err
	}
	var lease coordinationv1.Lease
	if err := c.Get(ctx, client.ObjectKey{Namespace: corev1.NamespaceNodeLease, Name: name}, &lease); err != nil {
		return err
	}
	if lease.Spec.RenewTime == nil || lease.Spec.RenewTime.Time.Before(since) {
		return fmt.Errorf("%w: the kubelet has not reported since %s", ErrNotReady, since.Format(time.TimeOnly))
	}
	return nil
}
