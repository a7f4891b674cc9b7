package v1alpha1

import "testing"

func TestRules(t *testing.T) {
	t.Parallel()
	three, none := int32(3), int32(0)
	for name, c := range map[string]struct {
		spec EnvironmentSpec
		want Rules
	}{
		"dev":         {EnvironmentSpec{Class: ClassDev}, Rules{10, 1, 0, ExecAllowed, "baseline"}},
		"prod":        {EnvironmentSpec{Class: ClassProd}, Rules{40, 2, 1, ExecRefused, "restricted"}},
		"own":         {EnvironmentSpec{Class: ClassProd, Order: 50, Policy: EnvironmentPolicy{MinReplicas: &three, Approvals: &three, Exec: ExecAllowed}}, Rules{50, 3, 3, ExecAllowed, "restricted"}},
		"no approval": {EnvironmentSpec{Class: ClassProd, Policy: EnvironmentPolicy{Approvals: &none, MinReplicas: &none}}, Rules{40, 2, 0, ExecRefused, "restricted"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := (&Environment{Spec: c.spec}).Rules(); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}
