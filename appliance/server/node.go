package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"islet/appliance/component"
	"islet/appliance/kube"
	"islet/appliance/kubelet"
)

const (
	nodeName          = "node"
	roleLabel         = "node-role.kubernetes.io/control-plane"
	nodePollInterval  = 100 * time.Millisecond
	nodeCheckDeadline = 5 * time.Second
)

// nodeComponent is ready when Kubernetes says that this node is.
type nodeComponent struct {
	component.Task
	check func(ctx context.Context) error
}

// Check implements component.Checker.
func (c nodeComponent) Check(ctx context.Context) error { return c.check(ctx) }

// nodeUnit watches this node's Ready condition and gives it its role, which a kubelet may not do
// itself.
func (n *node) nodeUnit(c client.Client) component.Unit {
	check := func(ctx context.Context) error { return kube.NodeReady(ctx, c, n.derived.NodeName) }
	return component.Unit{New: func() component.Component {
		return nodeComponent{check: check, Task: component.Task{
			TaskName: nodeName, TaskNeeds: []string{kubelet.Name},
			Do: func(ctx context.Context, ready func()) error {
				if err := awaitNode(ctx, check); err != nil {
					return err
				}
				if err := n.labelRole(ctx, c); err != nil {
					return err
				}
				ready()
				<-ctx.Done()
				return nil
			},
		}}
	}}
}

// awaitNode polls: a watch would have to be set up again for each way in which it can end.
func awaitNode(ctx context.Context, check func(ctx context.Context) error) error {
	tick := time.NewTicker(nodePollInterval)
	defer tick.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, nodeCheckDeadline)
		err := check(attempt)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}

func (n *node) labelRole(ctx context.Context, c client.Client) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.derived.NodeName}}
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:""}}}`, roleLabel)
	if err := c.Patch(ctx, node, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		return fmt.Errorf("label node %s with its role: %w", n.derived.NodeName, err)
	}
	return nil
}
