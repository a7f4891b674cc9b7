// Package route compares what leads from outside to pods: rules, services, endpoints, pods and nodes. Each is right alone as far as
// Kubernetes is concerned; a rule for pods that are gone answers with errors all the same, and an endpoint on a dead machine loses
// every other request until somebody notices.
package route

import (
	"encoding/json"
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// HTTPRoutes is the kind of the Gateway API by which requests reach services.
var HTTPRoutes = schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"}

// Rule is what sends requests to services, whatever its kind.
type Rule struct {
	Kind, Namespace, Name string
	Targets               []Target
}

// Target is a service that a rule sends requests to. Port is a number, or a name where there is none.
type Target struct {
	Namespace, Service string
	Port               int32
	PortName           string
}

func (r Rule) String() string { return fmt.Sprintf("%s %s/%s", r.Kind, r.Namespace, r.Name) }

func (t Target) port() string {
	if t.PortName != "" {
		return t.PortName
	}
	return fmt.Sprint(t.Port)
}

// httpRoute is what of one matters here.
type httpRoute struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Rules []struct {
			BackendRefs []struct {
				Group, Kind, Namespace *string
				Name                   string
				Port, Weight           *int32
			}
		}
	}
}

// ofHTTPRoute reads a route. Targets that get no share of the requests do not count.
func ofHTTPRoute(u *unstructured.Unstructured) (Rule, error) {
	var h httpRoute
	raw, err := json.Marshal(u.Object)
	if err == nil {
		err = json.Unmarshal(raw, &h)
	}
	r := Rule{Kind: HTTPRoutes.Kind, Namespace: u.GetNamespace(), Name: u.GetName()}
	for _, rule := range h.Spec.Rules {
		for _, b := range rule.BackendRefs {
			if b.Group != nil && *b.Group != "" || b.Kind != nil && *b.Kind != "Service" || b.Weight != nil && *b.Weight == 0 {
				continue
			}
			t := Target{Namespace: r.Namespace, Service: b.Name}
			if b.Namespace != nil {
				t.Namespace = *b.Namespace
			}
			if b.Port != nil {
				t.Port = *b.Port
			}
			r.Targets = append(r.Targets, t)
		}
	}
	return r, err
}

func ofIngress(i *networkingv1.Ingress) Rule {
	r := Rule{Kind: "Ingress", Namespace: i.Namespace, Name: i.Name}
	add := func(b *networkingv1.IngressBackend) {
		if b != nil && b.Service != nil {
			r.Targets = append(r.Targets, Target{Namespace: i.Namespace, Service: b.Service.Name, Port: b.Service.Port.Number, PortName: b.Service.Port.Name})
		}
	}
	add(i.Spec.DefaultBackend)
	for _, rule := range i.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for _, p := range rule.HTTP.Paths {
			add(&p.Backend)
		}
	}
	return r
}
