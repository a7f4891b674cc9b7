package tenancy

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/paas/v1alpha1"
)

func list(pairs ...string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		out[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return out
}

// environment is one that was made so many minutes ago.
func environment(name string, minutes int, quota corev1.ResourceList) v1alpha1.Environment {
	e := v1alpha1.Environment{ObjectMeta: metav1.ObjectMeta{Name: "press-" + name, CreationTimestamp: metav1.NewTime(time.Unix(1e9, 0).Add(-time.Duration(minutes) * time.Minute))}}
	e.Spec.Tenant, e.Spec.Name, e.Spec.Class, e.Spec.Quota = "press", name, v1alpha1.ClassDev, quota
	return e
}

func TestGrant(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		quota   corev1.ResourceList
		asked   []v1alpha1.Environment
		refused map[string]string // a part of the reason
		sum     string            // of cpu
	}{
		"no bound":         {nil, []v1alpha1.Environment{environment("a", 2, nil), environment("b", 1, list("cpu", "100"))}, nil, "100"},
		"fits":             {list("cpu", "4"), []v1alpha1.Environment{environment("a", 2, list("cpu", "1")), environment("b", 1, list("cpu", "3"))}, nil, "4"},
		"the oldest first": {list("cpu", "4"), []v1alpha1.Environment{environment("young", 1, list("cpu", "3")), environment("old", 2, list("cpu", "2"))}, map[string]string{"press-young": "3 of cpu, and 2 of the tenant's 4"}, "2"},
		"not said":         {list("cpu", "4"), []v1alpha1.Environment{environment("a", 1, list("memory", "1Gi"))}, map[string]string{"press-a": "must say how much of cpu"}, "0"},
		"a small one fits": {list("cpu", "4"), []v1alpha1.Environment{environment("a", 3, list("cpu", "3")), environment("b", 2, list("cpu", "2")), environment("c", 1, list("cpu", "1"))}, map[string]string{"press-b": "1 of the tenant's 4"}, "4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewGrant(&v1alpha1.Tenant{Spec: v1alpha1.TenantSpec{Quota: c.quota}}, c.asked)
			if got, want := slices.Sorted(maps.Keys(g.Refused)), slices.Sorted(maps.Keys(c.refused)); !slices.Equal(got, want) {
				t.Fatalf("refused %v, want %v", got, want)
			}
			for e, part := range c.refused {
				if !strings.Contains(g.Refused[e], part) {
					t.Errorf("%s: %q lacks %q", e, g.Refused[e], part)
				}
			}
			if sum := g.Sum[corev1.ResourceCPU]; sum.String() != c.sum {
				t.Errorf("sum %s, want %s", sum.String(), c.sum)
			}
		})
	}
}

func TestGrantOfNodePools(t *testing.T) {
	t.Parallel()
	e := environment("a", 1, nil)
	tenant := &v1alpha1.Tenant{Spec: v1alpha1.TenantSpec{NodePools: []string{"presses"}}}
	if g := NewGrant(tenant, []v1alpha1.Environment{e}); !strings.Contains(g.Refused["press-a"], "presses") {
		t.Errorf("any pool: %+v", g)
	}
	e.Spec.NodePool = "presses"
	if g := NewGrant(tenant, []v1alpha1.Environment{e}); len(g.Refused) != 0 {
		t.Errorf("the tenant's pool: %+v", g)
	}
}
