package v1alpha1

// Rules are an environment's, with what its class stands for where it says nothing.
type Rules struct {
	Order       int32
	MinReplicas int32
	Approvals   int32
	Exec        Exec
	// PodSecurity is the level of the Pod Security Standards (kubernetes.io/docs/concepts/security/pod-security-standards).
	PodSecurity string
}

// byClass is what each class stands for.
var byClass = map[Class]Rules{
	ClassDev:     {Order: 10, MinReplicas: 1, Exec: ExecAllowed, PodSecurity: "baseline"},
	ClassTest:    {Order: 20, MinReplicas: 2, Exec: ExecAllowed, PodSecurity: "restricted"},
	ClassRelease: {Order: 30, MinReplicas: 2, Exec: ExecAllowed, PodSecurity: "restricted"},
	ClassProd:    {Order: 40, MinReplicas: 2, Approvals: 1, Exec: ExecRefused, PodSecurity: "restricted"},
}

// Rules are those that hold in the environment.
func (e *Environment) Rules() Rules {
	r := byClass[e.Spec.Class]
	if e.Spec.Order != 0 {
		r.Order = e.Spec.Order
	}
	p := e.Spec.Policy
	if p.MinReplicas != nil && *p.MinReplicas > 0 {
		r.MinReplicas = *p.MinReplicas
	}
	if p.Approvals != nil {
		r.Approvals = *p.Approvals
	}
	if p.Exec != "" {
		r.Exec = p.Exec
	}
	return r
}
