package application

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"islet/appliance/paas/v1alpha1"
)

// Endings of the names of what belongs to the green pods of a component, and of the service of the release that runs beside. Blue, and the
// application itself, have none.
const (
	greenEnding  = "-green"
	besideEnding = "-beside"
)

func colour(a *v1alpha1.Application) v1alpha1.Colour { return cmp.Or(a.Spec.Colour, v1alpha1.Blue) }

// workload is the name of what makes the pods of a component.
func workload(a *v1alpha1.Application, c *v1alpha1.Component) string {
	if colour(a) == v1alpha1.Green && !c.Stateful() {
		return Name(a, c.Name) + greenEnding
	}
	return Name(a, c.Name)
}

// Beside is the release that runs beside an application, as an application in the other colour that nothing leads to; nil if there is
// none. Stateful components have one set of pods only, which is the application's.
func Beside(a *v1alpha1.Application) *v1alpha1.Application {
	if a.Spec.Beside == nil {
		return nil
	}
	b := a.DeepCopy()
	b.Spec.ApplicationTemplate, b.Spec.Release, b.Spec.Colour, b.Spec.Beside = b.Spec.Beside.ApplicationTemplate, b.Spec.Beside.Release, colour(a).Other(), nil
	b.Spec.Components = slices.DeleteFunc(b.Spec.Components, func(c v1alpha1.Component) bool { return c.Stateful() })
	b.Spec.Expose = nil
	return b
}

// besideOnly gives the services of the release beside names of their own, and leaves out what both have in common: volumes.
func besideOnly(own, beside []client.Object) []client.Object {
	for _, o := range beside {
		if s, ok := o.(*corev1.Service); ok {
			s.Name += besideEnding
		}
	}
	return slices.DeleteFunc(beside, func(o client.Object) bool {
		return slices.ContainsFunc(own, func(other client.Object) bool { return key(other) == key(o) })
	})
}

// unambiguous refuses components whose objects would have one name.
func unambiguous(a *v1alpha1.Application) error {
	taken := map[string]string{}
	for i := range a.Spec.Components {
		c := &a.Spec.Components[i]
		name := Name(a, c.Name)
		for _, n := range []string{name, name + greenEnding, name + besideEnding} {
			if other, ok := taken[n]; ok {
				return fmt.Errorf("components %s and %s: what is made for them would both be called %s: name one otherwise", other, c.Name, n)
			}
			taken[n] = c.Name
		}
	}
	return nil
}

// shares sends what begins with a path to a component, and to that of the release beside as much as that is to have.
func shares(a *v1alpha1.Application, c *v1alpha1.Component, port *v1alpha1.Port, path string) []any {
	prefix := map[string]any{"path": map[string]any{"type": "PathPrefix", "value": path}}
	number := int64(cmp.Or(port.Service, port.Port))
	own, beside := map[string]any{"name": Name(a, c.Name), "port": number}, map[string]any{"name": Name(a, c.Name) + besideEnding, "port": number}
	rule := func(match map[string]any, backends ...any) any {
		return map[string]any{"matches": []any{match}, "backendRefs": backends}
	}
	b := a.Spec.Beside
	if b == nil || !answersThere(Beside(a), c, number) {
		return []any{rule(prefix, own)}
	}
	var out []any
	header := func(kind, name, value string) {
		match := map[string]any{"path": prefix["path"], "headers": []any{map[string]any{"type": kind, "name": name, "value": value}}}
		out = append(out, rule(match, beside))
	}
	if b.Header != nil {
		header("Exact", b.Header.Name, b.Header.Value)
	}
	if b.Cookie != nil {
		header("RegularExpression", "Cookie", `(^|;\s*)`+regexp.QuoteMeta(b.Cookie.Name+"="+b.Cookie.Value)+`\s*(;|$)`)
	}
	switch b.Weight {
	case 0:
		return append(out, rule(prefix, own))
	case 100:
		return append(out, rule(prefix, beside))
	}
	own["weight"], beside = int64(100-b.Weight), map[string]any{"name": beside["name"], "port": number, "weight": int64(b.Weight)}
	return append(out, rule(prefix, own, beside))
}

// answersThere says whether the release beside has the port of a component, too.
func answersThere(b *v1alpha1.Application, c *v1alpha1.Component, number int64) bool {
	return slices.ContainsFunc(b.Spec.Components, func(other v1alpha1.Component) bool {
		return other.Name == c.Name && slices.ContainsFunc(other.Ports, func(p v1alpha1.Port) bool { return int64(cmp.Or(p.Service, p.Port)) == number })
	})
}

// judgeAll fills the status of an application and of what runs beside it, and says whether both are as they should be.
func judgeAll(a *v1alpha1.Application, p Place, seen Observed) bool {
	Judge(a, p, seen, &a.Status)
	a.Status.Beside = nil
	b := Beside(a)
	if b == nil {
		return settled(a.Status.State)
	}
	var s v1alpha1.ApplicationStatus
	Judge(b, p, seen, &s)
	a.Status.Beside = &v1alpha1.BesideStatus{State: s.State, Reason: s.Reason, Message: s.Message, Ready: s.Ready}
	return settled(a.Status.State) && settled(s.State)
}

func settled(s v1alpha1.State) bool { return s == v1alpha1.StateReady || s == v1alpha1.StateStopped }
