package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// network covers every way between pods, services, the host and a client beside it.
func network(t *testing.T, p *platform) {
	ns := p.namespace(t, "e2e-network")
	server := p.startPod(t, newPod(ns, "server"))
	client := p.startPod(t, newPod(ns, "client"))
	service := p.expose(t, ns, "server", corev1.ServiceTypeNodePort)
	byIP := "http://" + service.Spec.ClusterIP + "/"
	nodePort := int(service.Spec.Ports[0].NodePort)

	for name, url := range map[string]string{
		"pod to pod": podURL(server), "pod to service": byIP,
		"pod to service by its name":         "http://server/",
		"pod to service by its full name":    "http://server." + ns + ".svc.cluster.local/",
		"pod to node port":                   fmt.Sprintf("http://%s:%d/", p.host.Addr(), nodePort),
		"pod to another namespace's service": "http://server." + ns + "/",
	} {
		took := await(t, 30*time.Second, name, func(ctx context.Context) error { return p.reaches(ctx, client, url, "server") })
		t.Logf("%s: %s in %s", name, url, took.Round(time.Millisecond))
	}
	await(t, 30*time.Second, "pod to itself by its service", func(ctx context.Context) error { return p.reaches(ctx, server, byIP, "server") })
	for name, url := range map[string]string{"host to pod": podURL(server), "host to service": byIP} {
		await(t, 30*time.Second, name, func(ctx context.Context) error { return get(ctx, p.inside(), url, `"pod":"server"`) })
	}
	await(t, 30*time.Second, "outside to node port", func(ctx context.Context) error {
		return get(ctx, p.outside(t, nodePort), "http://node/", `"pod":"server"`)
	})
	await(t, 30*time.Second, "pod to the gateway", func(ctx context.Context) error {
		return p.reaches(ctx, client, fmt.Sprintf("http://hello.apps.%s.internal/", p.site), "hello-")
	})
}

// names covers DNS: inside, of applications, and of what does not exist, which must be said at once where there is no one
// to ask.
func names(t *testing.T, p *platform) {
	ns := p.namespace(t, "e2e-names")
	client := p.startPod(t, newPod(ns, "client"))
	sample, err := p.kube.CoreV1().Services(sampleNamespace).Get(t.Context(), "hello", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"hello.demo": sample.Spec.ClusterIP, "hello.demo.svc.cluster.local": sample.Spec.ClusterIP,
		"anything.apps." + p.site + ".internal":     p.host.Addr().String(),
		"deep.down.apps." + p.site + ".internal":    p.host.Addr().String(),
		"kubernetes.default.svc.cluster.local":      "10.43.0.1",
		"hello-route.apps." + p.site + ".internal.": p.host.Addr().String(),
	} {
		got, err := p.hello(t.Context(), client, "lookup", name)
		if err != nil || got != want {
			t.Errorf("%s in a pod: got %q, %v; want %s", name, got, err, want)
		}
	}
	for _, name := range []string{"www.example.com", "no-such-service.demo.svc.cluster.local", "typo"} {
		begun := time.Now()
		got, err := p.hello(t.Context(), client, "lookup", name)
		if err == nil || !strings.Contains(err.Error(), "no such host") {
			t.Errorf("%s in a pod: got %q, %v; want no such host", name, got, err)
		}
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("that %s does not exist is said after %s", name, took)
		}
	}
	p.namesOnHost(t)
}

// namesOnHost asks the cluster's DNS server from the host itself, over its service address.
func (p *platform) namesOnHost(t *testing.T) {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return p.dialInside(ctx, network, "10.43.0.10:53")
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got, err := resolver.LookupHost(ctx, "kubernetes.default.svc.cluster.local.")
	if err != nil || len(got) != 1 || got[0] != "10.43.0.1" {
		t.Errorf("from the host: got %v, %v", got, err)
	}
	var missing *net.DNSError
	if got, err := resolver.LookupHost(ctx, "www.example.com."); !errors.As(err, &missing) || !missing.IsNotFound {
		t.Errorf("www.example.com from the host: got %v, %v; want not found", got, err)
	}
}
