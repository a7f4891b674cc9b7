// Package survey reads what the platform has, for people who look at all of it at once: tenants, their environments, and what
// runs, was released and was ordered there. It keeps what is shown and nothing else.
package survey

import (
	"cmp"
	"slices"
	"time"

	"islet/appliance/paas/v1alpha1"
)

// MostOrders is how many orders a survey has: the newest. Each keeps its history, so there must be a bound.
const MostOrders = 1000

// Survey is the platform at one time. It is never changed, only replaced.
type Survey struct {
	Tenants      []Tenant      // by name
	Environments []Environment // by tenant, in the order of promotion
	Applications []Application // by environment and name
	Releases     []Release     // the newest first
	Orders       []Order       // the newest first
	// Older is how many orders there are beside the newest.
	Older int
}

// Tenant is a team with environments of its own.
type Tenant struct {
	Name, DisplayName string
	Members           []v1alpha1.Member
	Ready             bool
	Why               string // it is not ready
}

// Environment is a place where a tenant's applications run, with the rules that hold there.
type Environment struct {
	Name, Tenant, Short string // the name is TENANT-SHORT
	Class               v1alpha1.Class
	Order               int32
	Approvals           int32
	MinReplicas         int32
	Domain              string
	Ready               bool
	Why                 string
}

// Prod says that a mistake costs money there.
func (e Environment) Prod() bool { return e.Class == v1alpha1.ClassProd }

// Application is what runs in an environment.
type Application struct {
	Environment, Name string
	State             v1alpha1.State
	Message           string // why it is not ready
	Ready             string // how many of the wanted replicas
	Release           string // empty where it was applied as it is
	Images            []string
	URLs              []string
	Components        []v1alpha1.ComponentStatus
	Stopped           bool
}

// Version is the part of the release's name that tells it from others of the application; empty without a release.
func (a Application) Version() string {
	if n := len(a.Name) + 1; len(a.Release) > n && a.Release[:n] == a.Name+"-" {
		return a.Release[n:]
	}
	return a.Release
}

// Release is a version of an application that is known in an environment.
type Release struct {
	Environment, Name, Application, Notes string
	Made                                  time.Time
}

// Order asks for a release in an environment.
type Order struct {
	Environment, Name, Application, Release string
	Author                                  string
	Phase                                   v1alpha1.Phase
	Message                                 string // why, or what it waits for
	Since, Made                             time.Time
	RollbackOf, Previous, Failure           string
	Paused                                  bool
	Approvals                               []v1alpha1.Opinion
	Refusal                                 *v1alpha1.Opinion
	History                                 []v1alpha1.OrderEvent
}

// Environment finds one by its name.
func (s Survey) Environment(name string) (Environment, bool) {
	return find(s.Environments, func(e Environment) bool { return e.Name == name })
}

// Application finds one in an environment. It is asked for each cell of a page, so it relies on their order.
func (s Survey) Application(environment, name string) (Application, bool) {
	i, ok := slices.BinarySearchFunc(s.Applications, [2]string{environment, name}, func(a Application, key [2]string) int {
		return cmp.Or(cmp.Compare(a.Environment, key[0]), cmp.Compare(a.Name, key[1]))
	})
	if !ok {
		return Application{}, false
	}
	return s.Applications[i], true
}

// Order finds one in an environment.
func (s Survey) Order(environment, name string) (Order, bool) {
	return find(s.Orders, func(o Order) bool { return o.Environment == environment && o.Name == name })
}

// Tenant finds one by its name.
func (s Survey) Tenant(name string) (Tenant, bool) {
	return find(s.Tenants, func(t Tenant) bool { return t.Name == name })
}

// Line are the environments of a tenant, in the order of promotion.
func (s Survey) Line(tenant string) []Environment {
	var out []Environment
	for _, e := range s.Environments {
		if e.Tenant == tenant {
			out = append(out, e)
		}
	}
	return out
}

func find[T any](list []T, is func(T) bool) (found T, ok bool) {
	if i := slices.IndexFunc(list, is); i >= 0 {
		return list[i], true
	}
	return found, false
}
