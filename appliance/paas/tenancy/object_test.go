package tenancy

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"islet/appliance/paas/v1alpha1"
)

var members = []v1alpha1.Member{
	{Kind: "User", Name: "ann", Role: v1alpha1.RoleOwner}, {Kind: "User", Name: "bob", Role: v1alpha1.RoleDeployer},
	{Kind: "Group", Name: "night", Role: v1alpha1.RoleViewer}, {Kind: "User", Name: "rev", Role: v1alpha1.RoleAuditor},
}

// of picks the objects of a kind.
func of[T client.Object](all []client.Object) (out []T) {
	for _, o := range all {
		if o, ok := o.(T); ok {
			out = append(out, o)
		}
	}
	return out
}

func TestObjectsByClass(t *testing.T) {
	t.Parallel()
	for class, want := range map[v1alpha1.Class]struct {
		security, replicas string
		shell              []string
	}{
		v1alpha1.ClassDev:  {"baseline", "1", []string{"ann", "bob"}},
		v1alpha1.ClassTest: {"restricted", "2", []string{"ann", "bob"}},
		v1alpha1.ClassProd: {"restricted", "2", nil},
	} {
		e := environment("a", 1, list("cpu", "1"))
		e.Spec.Class = class
		all := objects(&v1alpha1.Tenant{Spec: v1alpha1.TenantSpec{Members: members}}, &e, false)
		labels := all[0].GetLabels()
		if labels["pod-security.kubernetes.io/enforce"] != want.security || labels[v1alpha1.LabelMinReplicas] != want.replicas || labels[v1alpha1.LabelTenant] != "press" {
			t.Errorf("%s: namespace has %v", class, labels)
		}
		var shell []string
		for _, b := range of[*rbacv1.RoleBinding](all) {
			for _, s := range b.Subjects {
				if b.RoleRef.Name == "islet:shell" {
					shell = append(shell, s.Name)
				}
			}
		}
		if !slices.Equal(shell, want.shell) {
			t.Errorf("%s: a shell for %v, want %v", class, shell, want.shell)
		}
	}
}

// An environment that is refused can run nothing, and is as closed as the others.
func TestObjectsOfARefusedEnvironment(t *testing.T) {
	t.Parallel()
	e := environment("a", 1, list("cpu", "9"))
	all := objects(&v1alpha1.Tenant{}, &e, true)
	quota := of[*corev1.ResourceQuota](all)
	if pods := quota[0].Spec.Hard[corev1.ResourcePods]; len(quota) != 1 || !pods.IsZero() || len(quota[0].Spec.Hard) != 1 {
		t.Errorf("quota %+v", quota)
	}
	if n := len(of[*networkingv1.NetworkPolicy](all)); n != 4 {
		t.Errorf("%d network policies", n)
	}
}

// A role that names no environment would be about all of them.
func TestAccessIsToOwnObjectsOnly(t *testing.T) {
	t.Parallel()
	tenant := &v1alpha1.Tenant{Spec: v1alpha1.TenantSpec{Members: members}}
	tenant.Name = "press"
	for _, environments := range [][]string{nil, {"press-dev"}} {
		for _, rule := range of[*rbacv1.ClusterRole](access(tenant, environments))[0].Rules {
			if len(rule.ResourceNames) == 0 || !slices.Equal(rule.Verbs, []string{"get"}) {
				t.Errorf("%v: %+v", environments, rule)
			}
		}
	}
}
