package server

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"islet/appliance/health"
	"islet/appliance/kube/client"
	"islet/appliance/paas/v1alpha1"
)

// routesInterval is short enough for what the controllers find in 5 seconds to be shown in 10.
const routesInterval = 4 * time.Second

// watchRoutes shows what the controllers say of the ways to applications until ctx ends. While the API does not answer, which is
// another problem, the last report stands.
func (n *node) watchRoutes(ctx context.Context, c client.Client) {
	shown := map[string]bool{}
	for {
		var r v1alpha1.HealthReport
		attempt, cancel := context.WithTimeout(ctx, routesInterval)
		err := c.Get(attempt, client.ObjectKey{Name: v1alpha1.RoutesReport}, &r)
		cancel()
		if err == nil || apierrors.IsNotFound(err) {
			shown = n.judgeRoutes(r.Status.Findings, shown)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(routesInterval):
		}
	}
}

// judgeRoutes raises a problem for each finding, and clears those that were shown and are gone.
func (n *node) judgeRoutes(findings []v1alpha1.Finding, before map[string]bool) (shown map[string]bool) {
	shown = map[string]bool{}
	for _, f := range findings {
		if !shown[f.Subject] { // of several things that are wrong with it the first is enough
			n.problems.Set(health.RouteBroken, f.Subject, f.Detail)
		}
		shown[f.Subject] = true
	}
	for subject := range before {
		if !shown[subject] {
			n.problems.Clear(health.RouteBroken, subject)
		}
	}
	return shown
}
