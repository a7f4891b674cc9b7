package release

import (
	"strings"
	"testing"

	"islet/appliance/paas/v1alpha1"
)

const metrics = `# HELP traefik_service_requests_total How many HTTP requests processed on a service
# TYPE traefik_service_requests_total counter
traefik_service_requests_total{code="200",method="GET",protocol="http",service="press-prod-shop-web-beside-http-80@kubernetesgateway"} 90
traefik_service_requests_total{code="500",method="GET",protocol="http",service="press-prod-shop-web-beside-http-80@kubernetesgateway"} 7
traefik_service_requests_total{code="503",method="POST",protocol="http",service="press-prod-shop-web-beside-http-80@kubernetesgateway"} 3
traefik_service_requests_total{code="500",method="GET",protocol="http",service="press-prod-shop-web-http-80@kubernetesgateway"} 1e+06
traefik_service_requests_bytes_total{code="500",method="GET",protocol="http",service="press-prod-shop-web-beside-http-80@kubernetesgateway"} 1e+06
`

func TestCount(t *testing.T) {
	t.Parallel()
	o, f := order(v1alpha1.PhaseRunning), facts()
	o.Namespace, f.Application.Name = "press-prod", "shop"
	o.Spec.Strategy, o.Status.Before = &v1alpha1.Strategy{Kind: v1alpha1.StrategyBlueGreen}, &f.Application.Spec.ApplicationTemplate
	f.Release.Spec.Template.Components[0].Ports = []v1alpha1.Port{{Name: "http", Port: 8080, Service: 80}}
	var got v1alpha1.Traffic
	if err := count(strings.NewReader(metrics), backends(o, f), &got); err != nil || got != (v1alpha1.Traffic{Requests: 100, Errors: 10}) {
		t.Errorf("%+v (%v) of %v", got, err, backends(o, f))
	}
}

func TestTooManyErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		allowed       int32
		before, after v1alpha1.Traffic
		want          string
	}{
		"none":              {0, v1alpha1.Traffic{}, v1alpha1.Traffic{Requests: 100}, ""},
		"one, none allowed": {0, v1alpha1.Traffic{}, v1alpha1.Traffic{Requests: 100, Errors: 1}, "1 of 100 requests"},
		"as many as may be": {5, v1alpha1.Traffic{}, v1alpha1.Traffic{Requests: 100, Errors: 5}, ""},
		"more than may be":  {5, v1alpha1.Traffic{}, v1alpha1.Traffic{Requests: 100, Errors: 6}, "6 of 100 requests were answered with errors; 5 of 100 may be"},
		"of before":         {5, v1alpha1.Traffic{Requests: 100, Errors: 50}, v1alpha1.Traffic{Requests: 200, Errors: 51}, ""},
		"too few to judge":  {5, v1alpha1.Traffic{}, v1alpha1.Traffic{Requests: 19, Errors: 19}, ""},
		"counted anew":      {5, v1alpha1.Traffic{Requests: 100, Errors: 0}, v1alpha1.Traffic{Requests: 50, Errors: 50}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, f := order(v1alpha1.PhaseVerifying), facts()
			o.Spec.MaxErrorPercent, o.Status.Traffic, f.Traffic = &c.allowed, &c.before, &c.after
			if got := tooManyErrors(o, f); got != c.want && (c.want == "" || !strings.Contains(got, c.want)) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
