package server

import (
	"slices"
	"testing"

	"islet/appliance/paas/v1alpha1"
)

func TestJudgeRoutes(t *testing.T) {
	t.Parallel()
	web, api := v1alpha1.Finding{Subject: "HTTPRoute a/web", Detail: "no pod"}, v1alpha1.Finding{Subject: "HTTPRoute a/api", Detail: "no service"}
	also := v1alpha1.Finding{Subject: web.Subject, Detail: "nor this"}
	got := judge(t, func(n *node) {
		shown := n.judgeRoutes([]v1alpha1.Finding{web, also, api}, nil)
		n.judgeRoutes([]v1alpha1.Finding{web}, shown)
	})
	if want := []string{"route-broken HTTPRoute a/web: no pod"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
