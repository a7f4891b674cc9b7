package server

import (
	"context"
	"time"

	"islet/appliance/component"
	"islet/appliance/controlplane"
	"islet/appliance/kube"
	"islet/appliance/kube/client"
	"islet/appliance/paas"
)

// tenancyLease is held by the server that runs the platform's controllers.
const tenancyLease = "islet-tenancy"

// tenancyUnit runs the platform's controllers, on one server of the site at a time.
func (n *node) tenancyUnit(c client.Client) component.Unit {
	return component.Unit{
		Backoff: func(int) time.Duration { return 2 * time.Second },
		New: func() component.Component {
			return component.Task{TaskName: paas.Name, TaskNeeds: []string{addonsName}, Do: func(ctx context.Context, ready func()) error {
				access := kube.Config(n.access(controlplane.LeafDaemon))
				run := func(ctx context.Context) error { return paas.Run(ctx, access, n.derived.Domain, n.Log, ready) }
				if n.several() {
					return kube.Lead(ctx, c, tenancyLease, n.derived.NodeName, run, ready)
				}
				return run(ctx)
			}}
		},
	}
}
