package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	policyLimit = 30 * time.Second
	policyHead  = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: %s, namespace: %s}\nspec:\n"
)

// policy puts NetworkPolicies up and takes them away again, and looks at who reaches whom: friend and stranger are in the
// server's namespace, guest is in another.
func policy(t *testing.T, p *platform) {
	here, there := p.namespace(t, "e2e-policy"), p.namespace(t, "e2e-guests")
	server := p.startPod(t, newPod(here, "server"))
	friend, stranger := p.startPod(t, newPod(here, "friend")), p.startPod(t, newPod(here, "stranger"))
	guest := p.startPod(t, newPod(there, "guest"))
	service := p.expose(t, here, "server", corev1.ServiceTypeClusterIP)
	urls := []string{podURL(server), "http://" + service.Spec.ClusterIP + "/"}

	expect := func(when string, reach map[*corev1.Pod]bool) {
		t.Helper()
		for from, open := range reach {
			for _, url := range urls {
				what := fmt.Sprintf("%s: %s to %s, open=%v", when, from.Name, url, open)
				took := await(t, policyLimit, what, func(ctx context.Context) error {
					if open {
						return p.reaches(ctx, from, url, "server")
					}
					return p.blocked(ctx, from, url)
				})
				t.Logf("%s after %s", what, took.Round(10*time.Millisecond))
			}
		}
	}
	denyAll := fmt.Sprintf(policyHead+"  podSelector: {}\n  policyTypes: [Ingress]\n", "deny", here)
	allowFriend := fmt.Sprintf(policyHead+`  podSelector: {matchLabels: {app: server}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: friend}}}]
    ports: [{port: 8080}]
`, "friend", here)
	allowGuests := fmt.Sprintf(policyHead+`  podSelector: {matchLabels: {app: server}}
  ingress:
  - from: [{namespaceSelector: {matchLabels: {e2e: e2e-guests}}}]
`, "guests", here)
	denyEgress := fmt.Sprintf(policyHead+"  podSelector: {matchLabels: {app: friend}}\n  policyTypes: [Egress]\n", "egress", here)

	expect("no policy", map[*corev1.Pod]bool{friend: true, stranger: true, guest: true})
	p.apply(t, denyAll)
	expect("all denied", map[*corev1.Pod]bool{friend: false, stranger: false, guest: false})
	p.apply(t, allowFriend)
	expect("friend allowed", map[*corev1.Pod]bool{friend: true, stranger: false, guest: false})
	p.apply(t, allowGuests)
	expect("guests allowed", map[*corev1.Pod]bool{friend: true, stranger: false, guest: true})
	p.apply(t, denyEgress)
	expect("friend may not go out", map[*corev1.Pod]bool{friend: false, stranger: false, guest: true})
	await(t, policyLimit, "probes of a closed pod still pass", func(ctx context.Context) error { return p.podsReady(ctx, here) })
	for _, manifest := range []string{denyEgress, denyAll, allowFriend, allowGuests} {
		p.remove(t, manifest)
	}
	expect("no policy any more", map[*corev1.Pod]bool{friend: true, stranger: true, guest: true})
}
