package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/health"
	"islet/appliance/paas/route"
	"islet/appliance/paas/v1alpha1"
)

// routeLimit is for what is to be found within ten seconds, on a machine that does much else.
const routeLimit = time.Minute

// awaitRoutes waits until the report on routes is as judge wants it.
func (p *platform) awaitRoutes(t *testing.T, what string, judge func(v1alpha1.HealthReportStatus) error) {
	t.Helper()
	took := awaitJSON(t, routeLimit, what, p, []string{"kubectl", "get", "healthreports.islet.dev", v1alpha1.RoutesReport},
		func(r v1alpha1.HealthReport) error { return judge(r.Status) })
	t.Logf("%s: after %s", what, took.Round(10*time.Millisecond))
}

// finds wants a finding.
func finds(code, subject string) func(v1alpha1.HealthReportStatus) error {
	return func(s v1alpha1.HealthReportStatus) error {
		if !slices.ContainsFunc(s.Findings, func(f v1alpha1.Finding) bool { return f.Code == code && f.Subject == subject }) {
			return fmt.Errorf("%+v", s)
		}
		return nil
	}
}

// repairs wants a repair.
func repairs(code, subject string) func(v1alpha1.HealthReportStatus) error {
	return func(s v1alpha1.HealthReportStatus) error {
		if !slices.ContainsFunc(s.Repaired, func(r v1alpha1.Repaired) bool {
			return r.Finding.Code == code && strings.HasPrefix(r.Finding.Subject, subject) && r.Error == ""
		}) {
			return fmt.Errorf("%+v", s)
		}
		return nil
	}
}

// showsRoute wants the node to show a broken route, or none.
func (p *platform) showsRoute(subject string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		s, err := p.daemon().Status(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(s.Problems, func(a health.Active) bool { return a.Code == health.RouteBroken })
		if i < 0 && subject == "" || i >= 0 && s.Problems[i].Subject == subject {
			return nil
		}
		return fmt.Errorf("problems %+v", s.Problems)
	}
}

// routesCompared breaks ways to a pod of an environment in which there is one with its service, called server.
func routesCompared(t *testing.T, p *platform) {
	const ns = "press-dev"
	rule := "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web, namespace: press-dev}\n" +
		"spec: {rules: [{host: web.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: SERVICE, port: {number: 80}}}}]}}]}\n"
	apply := func(service string) {
		t.Helper()
		if err := p.host.WriteFile("/root/rule.yaml", []byte(strings.ReplaceAll(rule, "SERVICE", service)), 0o600); err != nil {
			t.Fatal(err)
		}
		p.run(t, "appliance", "kubectl", "apply", "-f", "/root/rule.yaml")
	}
	apply("nobody")
	p.awaitRoutes(t, "a rule without a service is found", finds(route.NoService, "Ingress press-dev/web"))
	await(t, routeLimit, "it is shown", p.showsRoute("Ingress press-dev/web"))
	if code := p.exitCode(t, "route", "list"); code == 0 {
		t.Error("route list ends as if all were well")
	}
	apply("server")
	await(t, routeLimit, "it is well", p.showsRoute(""))

	// Whoever keeps the endpoints stands still, and the pod goes.
	p.signalComponent(t, "kube-controller-manager", "STOP")
	now := int64(0)
	err := p.kube.CoreV1().Pods(ns).Delete(t.Context(), "server", metav1.DeleteOptions{GracePeriodSeconds: &now})
	if err != nil {
		t.Fatal(err)
	}
	p.awaitRoutes(t, "a rule to a dead pod is found and repaired", repairs(route.NoPod, "EndpointSlice press-dev/server-"))
	slices, err := p.kube.DiscoveryV1().EndpointSlices(ns).List(t.Context(), metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=server"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range slices.Items {
		if len(s.Endpoints) > 0 {
			t.Errorf("the dead pod's address is still there: %+v", s.Endpoints)
		}
	}
	p.awaitRoutes(t, "a rule without a pod is found", finds(route.NoPods, "Ingress press-dev/web"))
	p.startPod(t, newPod(ns, "server"))
	p.awaitRoutes(t, "a pod without a rule is found", finds(route.NoRule, "Pod press-dev/server"))
	p.signalComponent(t, "kube-controller-manager", "CONT")
	await(t, routeLimit, "it is well again", p.showsRoute(""))
	p.run(t, "appliance", "kubectl", "delete", "-f", "/root/rule.yaml")
}

// signalComponent sends a signal, such as STOP, to the process of a component.
func (p *platform) signalComponent(t *testing.T, name, signal string) {
	t.Helper()
	c, err := p.component(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	p.run(t, "sh", "-c", fmt.Sprintf("kill -%s %d", signal, c.PID))
}

// serveFrom starts a pod with a service on a node.
func (p *platform) serveFrom(t *testing.T, namespace, name, node string) {
	t.Helper()
	p.startPod(t, newPod(namespace, name, func(pod *corev1.Pod) { pod.Spec.NodeName = node }))
	p.expose(t, namespace, name, corev1.ServiceTypeClusterIP)
}
