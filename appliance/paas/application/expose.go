package application

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"islet/appliance/paas/v1alpha1"
)

// The gateway that routes go through.
const (
	gatewayName      = "islet"
	gatewayNamespace = "islet-system"
)

// RouteKind is the kind of the gateway's routes. Its Go types are in no engine.
var RouteKind = schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"}

// target finds what an exposure leads to, and says what is wrong with it.
func target(a *v1alpha1.Application, e v1alpha1.Exposure) (*v1alpha1.Component, *v1alpha1.Port, error) {
	i := slices.IndexFunc(a.Spec.Components, func(c v1alpha1.Component) bool { return e.Component == "" || c.Name == e.Component })
	if i < 0 {
		return nil, nil, fmt.Errorf("expose: there is no component %s", e.Component)
	}
	c := &a.Spec.Components[i]
	j := slices.IndexFunc(c.Ports, func(p v1alpha1.Port) bool { return e.Port == "" || p.Name == e.Port })
	switch {
	case j < 0 && e.Port == "":
		return nil, nil, fmt.Errorf("expose: component %s has no port", c.Name)
	case j < 0:
		return nil, nil, fmt.Errorf("expose: component %s has no port %s", c.Name, e.Port)
	}
	return c, &c.Ports[j], nil
}

// Check finds what a schema cannot: names that lead nowhere, and routes on a site without a gateway.
func Check(a *v1alpha1.Application, gateway bool) error {
	if err := unambiguous(a); err != nil {
		return err
	}
	if b := Beside(a); b != nil {
		if err := Check(b, gateway); err != nil {
			return fmt.Errorf("beside: %w", err)
		}
	}
	for i := range a.Spec.Components {
		c := &a.Spec.Components[i]
		for name, p := range map[string]*v1alpha1.Probe{"readiness": c.Readiness, "liveness": c.Liveness} {
			named := p != nil && slices.ContainsFunc(c.Ports, func(x v1alpha1.Port) bool { return p.Port == "" || x.Name == p.Port })
			if p != nil && len(p.Command) == 0 && !named {
				return fmt.Errorf("component %s: the %s probe asks a port that the component does not have", c.Name, name)
			}
		}
	}
	for _, e := range a.Spec.Expose {
		if _, _, err := target(a, e); err != nil {
			return err
		}
		if e.HTTP != nil && !gateway {
			return errors.New("expose: this site has no gateway: use nodePort, or switch gateway.enabled on in the answer file")
		}
	}
	return nil
}

// host is the whole name of an exposure.
func host(a *v1alpha1.Application, e v1alpha1.Exposure, p Place) string {
	return cmp.Or(e.HTTP.Host, a.Name) + "." + p.Domain
}

// URLs are where an application is reached by HTTP. The gateway's certificate is for one level of names below the site's domain only,
// so HTTPS works there, too, but for browsers that check the name.
func URLs(a *v1alpha1.Application, p Place) []string {
	var out []string
	for _, e := range a.Spec.Expose {
		if e.HTTP != nil {
			out = append(out, "http://"+host(a, e, p)+cmp.Or(e.HTTP.Path, "/"))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// exposures are the ways in from outside. Exposures that lead nowhere are left out: Check says so first.
func exposures(a *v1alpha1.Application, p Place) []client.Object {
	rules := map[string][]any{} // by host
	var out []client.Object
	for i, e := range a.Spec.Expose {
		c, port, err := target(a, e)
		if err != nil {
			continue
		}
		if e.HTTP != nil {
			h := host(a, e, p)
			rules[h] = append(rules[h], shares(a, c, port, cmp.Or(e.HTTP.Path, "/"))...)
			continue
		}
		out = append(out, nodePort(a, c, port, e, i, p), open(a, c, port, i, p))
	}
	for h, r := range rules {
		out = append(out, route(a, h, r, p))
	}
	slices.SortStableFunc(out, func(a, b client.Object) int { return strings.Compare(a.GetName(), b.GetName()) })
	return out
}

func route(a *v1alpha1.Application, host string, rules []any, p Place) client.Object {
	o := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"parentRefs": []any{map[string]any{"name": gatewayName, "namespace": gatewayNamespace}},
		"hostnames":  []any{host},
		"rules":      rules,
	}}}
	o.SetGroupVersionKind(RouteKind)
	o.SetNamespace(p.Namespace)
	first, _, _ := strings.Cut(host, ".")
	name := a.Name
	if first != a.Name {
		name += "-" + first
	}
	o.SetName(name)
	o.SetLabels(labels(a, ""))
	return o
}

func nodePort(a *v1alpha1.Application, c *v1alpha1.Component, port *v1alpha1.Port, e v1alpha1.Exposure, i int, p Place) client.Object {
	return &corev1.Service{TypeMeta: kind("v1", "Service"), ObjectMeta: meta(a, p, fmt.Sprintf("%s-out%d", Name(a, c.Name), i), c.Name), Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeNodePort, Selector: selector(a, c),
		Ports: []corev1.ServicePort{{Name: port.Name, Port: cmp.Or(port.Service, port.Port), TargetPort: intstr.FromString(port.Name), NodePort: e.NodePort.Port,
			Protocol: cmp.Or(port.Protocol, corev1.ProtocolTCP)}},
	}}
}

// open lets in what comes by a node's port: nothing else in the environment's policies does. Pods of other tenants are kept from it by
// their own policies, which let them out to nobody.
func open(a *v1alpha1.Application, c *v1alpha1.Component, port *v1alpha1.Port, i int, p Place) client.Object {
	protocol, number := cmp.Or(port.Protocol, corev1.ProtocolTCP), intstr.FromInt32(port.Port)
	return &networkingv1.NetworkPolicy{TypeMeta: kind("networking.k8s.io/v1", "NetworkPolicy"), ObjectMeta: meta(a, p, fmt.Sprintf("%s-out%d", Name(a, c.Name), i), c.Name), Spec: networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: selector(a, c)}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
		Ingress: []networkingv1.NetworkPolicyIngressRule{{Ports: []networkingv1.NetworkPolicyPort{{Protocol: &protocol, Port: &number}}}},
	}}
}
