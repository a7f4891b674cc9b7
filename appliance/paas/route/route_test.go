package route

import (
	"encoding/json"
	"reflect"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func httpRouteOf(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	u.SetGroupVersionKind(HTTPRoutes)
	return u
}

func TestHTTPRoute(t *testing.T) {
	t.Parallel()
	r, err := ofHTTPRoute(httpRouteOf(t, `{"metadata":{"namespace":"press-dev","name":"web"},"spec":{"rules":[
		{"backendRefs":[{"name":"v1","port":80,"weight":9},{"name":"v2","port":80,"weight":0}]},
		{"backendRefs":[{"group":"example.com","kind":"Bucket","name":"x"},{"group":"","kind":"Service","name":"api","namespace":"other","port":8080}]},
		{"filters":[{"type":"RequestRedirect"}]}]}}`))
	want := Rule{Kind: "HTTPRoute", Namespace: "press-dev", Name: "web", Targets: []Target{
		{Namespace: "press-dev", Service: "v1", Port: 80}, {Namespace: "other", Service: "api", Port: 8080},
	}}
	if err != nil || !reflect.DeepEqual(r, want) {
		t.Errorf("%+v (%v), want %+v", r, err, want)
	}
	if _, err := ofHTTPRoute(httpRouteOf(t, `{"metadata":{"name":"web"},"spec":{"rules":"all"}}`)); err == nil {
		t.Error("rules that are none are understood")
	}
}

func TestIngress(t *testing.T) {
	t.Parallel()
	service := func(name string, port networkingv1.ServiceBackendPort) networkingv1.IngressBackend {
		return networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: name, Port: port}}
	}
	rest := service("rest", networkingv1.ServiceBackendPort{Number: 80})
	i := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "web"}, Spec: networkingv1.IngressSpec{
		DefaultBackend: &rest,
		Rules: []networkingv1.IngressRule{{}, {IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
			Paths: []networkingv1.HTTPIngressPath{{Backend: service("api", networkingv1.ServiceBackendPort{Name: "http"})}, {}},
		}}}},
	}}
	want := []Target{{Namespace: "a", Service: "rest", Port: 80}, {Namespace: "a", Service: "api", PortName: "http"}}
	if r := ofIngress(i); r.String() != "Ingress a/web" || !reflect.DeepEqual(r.Targets, want) {
		t.Errorf("%+v, want %+v", r, want)
	}
}
