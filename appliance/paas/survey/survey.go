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
	Tenants      []Tenant      `json:"tenants,omitempty"`      // by name
	Environments []Environment `json:"environments,omitempty"` // by tenant, in the order of promotion
	Applications []Application `json:"applications,omitempty"` // by environment and name
	Releases     []Release     `json:"releases,omitempty"`     // the newest first
	Orders       []Order       `json:"orders,omitempty"`       // the newest first
	// Older is how many orders there are beside the newest.
	Older int `json:"older,omitempty"`
}

// Tenant is a team with environments of its own.
type Tenant struct {
	Name        string            `json:"name"`
	DisplayName string            `json:"displayName,omitempty"`
	Members     []v1alpha1.Member `json:"members,omitempty"`
	Ready       bool              `json:"ready,omitempty"`
	Why         string            `json:"why,omitempty"` // it is not ready
}

// Environment is a place where a tenant's applications run, with the rules that hold there.
type Environment struct {
	Name        string         `json:"name"` // TENANT-SHORT
	Tenant      string         `json:"tenant,omitempty"`
	Short       string         `json:"short,omitempty"`
	Class       v1alpha1.Class `json:"class,omitempty"`
	Order       int32          `json:"order,omitempty"`
	Approvals   int32          `json:"approvals,omitempty"`
	MinReplicas int32          `json:"minReplicas,omitempty"`
	Domain      string         `json:"domain,omitempty"`
	Ready       bool           `json:"ready,omitempty"`
	Why         string         `json:"why,omitempty"`
}

// Prod says that a mistake costs money there.
func (e Environment) Prod() bool { return e.Class == v1alpha1.ClassProd }

// Application is what runs in an environment.
type Application struct {
	Environment string                     `json:"environment,omitempty"`
	Name        string                     `json:"name"`
	State       v1alpha1.State             `json:"state,omitempty"`
	Message     string                     `json:"message,omitempty"` // why it is not ready
	Ready       string                     `json:"ready,omitempty"`   // how many of the wanted replicas
	Release     string                     `json:"release,omitempty"` // empty where it was applied as it is
	Images      []string                   `json:"images,omitempty"`
	URLs        []string                   `json:"urls,omitempty"`
	Components  []v1alpha1.ComponentStatus `json:"components,omitempty"`
	Stopped     bool                       `json:"stopped,omitempty"`
	// Beside is another release that runs at the same time; nil where there is none.
	Beside *Beside `json:"beside,omitempty"`
}

// Beside is what runs beside an application until one of the two is left.
type Beside struct {
	Release string         `json:"release,omitempty"`
	Weight  int32          `json:"weight"` // how many of 100 requests it gets
	State   v1alpha1.State `json:"state,omitempty"`
	Message string         `json:"message,omitempty"`
	Ready   string         `json:"ready,omitempty"`
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
	Environment string    `json:"environment,omitempty"`
	Name        string    `json:"name"`
	Application string    `json:"application,omitempty"`
	Notes       string    `json:"notes,omitempty"`
	Made        time.Time `json:"made"`
}

// Order asks for a release in an environment.
type Order struct {
	Environment string                `json:"environment,omitempty"`
	Name        string                `json:"name"`
	Application string                `json:"application,omitempty"`
	Release     string                `json:"release,omitempty"`
	Author      string                `json:"author,omitempty"`
	Phase       v1alpha1.Phase        `json:"phase,omitempty"`
	Message     string                `json:"message,omitempty"` // why, or what it waits for
	Since       time.Time             `json:"since"`
	Made        time.Time             `json:"made"`
	RollbackOf  string                `json:"rollbackOf,omitempty"`
	Previous    string                `json:"previous,omitempty"`
	Failure     string                `json:"failure,omitempty"`
	Strategy    *v1alpha1.Strategy    `json:"strategy,omitempty"` // nil is rolling
	Step        int32                 `json:"step,omitempty"`     // of the strategy, counted from 1
	Paused      bool                  `json:"paused,omitempty"`
	Approvals   []v1alpha1.Opinion    `json:"approvals,omitempty"`
	Refusal     *v1alpha1.Opinion     `json:"refusal,omitempty"`
	History     []v1alpha1.OrderEvent `json:"history,omitempty"`
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
