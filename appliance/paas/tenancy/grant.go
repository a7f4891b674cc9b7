// Package tenancy makes of tenants and environments what Kubernetes enforces: namespaces, quotas, network policies and bindings.
package tenancy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"islet/appliance/paas/v1alpha1"
)

// Grant is what the environments of a tenant may use.
type Grant struct {
	// Refused says of an environment why it does not get what it asks for.
	Refused map[string]string
	// Sum of what is granted.
	Sum corev1.ResourceList
}

// NewGrant gives the environments what they ask for, the oldest first, as long as the sum keeps within the tenant's quota. Kubernetes
// bounds a namespace at a time; that the sum is bounded, too, follows from this.
func NewGrant(t *v1alpha1.Tenant, environments []v1alpha1.Environment) Grant {
	g := Grant{Refused: map[string]string{}, Sum: corev1.ResourceList{}}
	oldest := slices.SortedFunc(slices.Values(environments), func(a, b v1alpha1.Environment) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	for _, e := range oldest {
		if why := g.refuse(t, e); why != "" {
			g.Refused[e.Name] = why
			continue
		}
		for name, asked := range e.Spec.Quota {
			sum := g.Sum[name]
			sum.Add(asked)
			g.Sum[name] = sum
		}
	}
	return g
}

// refuse says what keeps an environment from its quota; empty if nothing does.
func (g Grant) refuse(t *v1alpha1.Tenant, e v1alpha1.Environment) string {
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(t.Spec.Quota)) {
		bound, sum := t.Spec.Quota[name], g.Sum[name]
		asked, ok := e.Spec.Quota[name]
		if !ok {
			wrong = append(wrong, fmt.Sprintf("quota must say how much of %s: the tenant has %s for all its environments", name, bound.String()))
			continue
		}
		left := bound.DeepCopy()
		left.Sub(sum)
		if asked.Cmp(left) > 0 {
			wrong = append(wrong, fmt.Sprintf("it asks for %s of %s, and %s of the tenant's %s are left", asked.String(), name, left.String(), bound.String()))
		}
	}
	if len(t.Spec.NodePools) > 0 && !slices.Contains(t.Spec.NodePools, e.Spec.NodePool) {
		wrong = append(wrong, fmt.Sprintf("nodePool must be one of the tenant's: %s", strings.Join(t.Spec.NodePools, ", ")))
	}
	return strings.Join(wrong, "; ")
}
