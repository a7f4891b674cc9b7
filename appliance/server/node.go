package server

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/component"
	"islet/appliance/kube"
	"islet/appliance/kube/client"
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
	check   func(ctx context.Context) error
	refused atomic.Pointer[string] // why the node was not ready when it was last asked
}

// Check implements component.Checker.
func (c *nodeComponent) Check(ctx context.Context) error { return c.check(ctx) }

// WaitingFor implements component.Waiter.
func (c *nodeComponent) WaitingFor() string {
	if why := c.refused.Load(); why != nil {
		return *why
	}
	return ""
}

// nodeUnit watches this node's Ready condition and gives it its role, which a kubelet may not do
// itself.
func (n *node) nodeUnit(c client.Client) component.Unit {
	check := func(ctx context.Context) error { return kube.NodeReady(ctx, c, n.derived.NodeName) }
	return component.Unit{New: func() component.Component {
		made := &nodeComponent{check: check, Task: component.Task{TaskName: nodeName, TaskNeeds: []string{kubelet.Name}}}
		made.Do = func(ctx context.Context, ready func()) error {
			// Not since now: a kubelet that has just registered its node renews the lease for the first time after 10 s. None
			// of an earlier daemon outlives it.
			if err := made.await(ctx, func(ctx context.Context) error { return kube.NodeReadySince(ctx, c, n.derived.NodeName, n.started) }); err != nil {
				return err
			}
			if !n.isAgent() { // it may not
				if err := n.labelRole(ctx, c); err != nil {
					return err
				}
			}
			ready()
			<-ctx.Done()
			return nil
		}
		return made
	}}
}

// await polls until check is content: a watch would have to be set up again for each way in which it can end.
func (c *nodeComponent) await(ctx context.Context, check func(context.Context) error) error {
	tick := time.NewTicker(nodePollInterval)
	defer tick.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, nodeCheckDeadline)
		err := check(attempt)
		cancel()
		if err == nil {
			return nil
		}
		c.refused.Store(new(err.Error()))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (n *node) labelRole(ctx context.Context, c client.Client) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.derived.NodeName}}
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:""}}}`, roleLabel)
	if err := c.Patch(ctx, node, client.MergePatch(patch)); err != nil {
		return fmt.Errorf("label node %s with its role: %w", n.derived.NodeName, err)
	}
	return nil
}
