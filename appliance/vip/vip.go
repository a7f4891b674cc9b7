// Package vip keeps the site's virtual addresses, one for the Kubernetes API and one for applications, each on one healthy
// server. keepalived moves them between the servers by VRRP. This package tells it who the other servers are and which
// addresses this one may have, and looks on the link for other holders, of which VRRP would not learn.
package vip

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"islet/appliance/component"
	"islet/appliance/layout"
)

// Name is keepalived's name in the supervisor.
const Name = "keepalived"

// Purpose is what a virtual address is for.
type Purpose string

// The purposes.
const (
	API          Purpose = "api"
	Applications Purpose = "applications"
)

// Address is a virtual address and what has to work on a server that is to hold it.
type Address struct {
	Purpose  Purpose
	IP       netip.Addr
	RouterID int // of VRRP, the same on every server and no other's on the link
	// Serves says why this server could not answer at the address, nil if it could. It is called every second and is
	// given a second.
	Serves func(ctx context.Context) error
}

// Params is what the keeper is told about the node and the site.
type Params struct {
	Layout    layout.Layout
	NodeName  string
	IP        netip.Addr // this server's own address, on Interface
	Interface string
	Addresses []Address
	// Peers lists the site's other servers as they are known now. It is called every second.
	Peers func() []netip.Addr
	// Child makes the process spec of keepalived: path, environment, control group and log.
	Child func(name string, args ...string) component.Spec
	Log   *slog.Logger
	// Link is the network that the addresses are on; Interface's when nil.
	Link Link
}

// Keeper runs keepalived and knows who holds the addresses. Its component may be restarted; the keeper stays.
type Keeper struct {
	Params

	mu     sync.Mutex
	status []Status
}

// New returns the keeper of p's addresses, of which there is at least one.
func New(p Params) *Keeper {
	if p.Link == nil {
		p.Link = Device{p.Interface}
	}
	k := &Keeper{Params: p, status: make([]Status, len(p.Addresses))}
	for i, a := range p.Addresses {
		k.status[i] = Status{Purpose: a.Purpose, Address: a.IP, RouterID: a.RouterID, State: Unfit, Reason: starting}
	}
	return k
}

// Snapshot says of each address who holds it.
func (k *Keeper) Snapshot() []Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.status)
}

func (k *Keeper) set(i int, s Status) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.status[i] = s
}

// peers are the other servers in the order in which all servers have them.
func (k *Keeper) peers() []netip.Addr {
	list := slices.DeleteFunc(slices.Clone(k.Peers()), func(a netip.Addr) bool { return a == k.IP })
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}

// State is what this server is to an address.
type State string

// The states. An unfit server does not get the address, whoever asks it to.
const (
	Held    State = "held"
	Standby State = "standby"
	Unfit   State = "unfit"
)

// starting is the reason of all addresses until the first look.
const starting = "not looked at yet"

// Status is an address as this server sees it.
type Status struct {
	Purpose  Purpose    `json:"purpose"`
	Address  netip.Addr `json:"address"`
	RouterID int        `json:"routerID"`
	State    State      `json:"state"`
	Reason   string     `json:"reason,omitempty"` // why it is unfit, or what is not known
	// Holder is the server that answers at the address, or the hardware address of a stranger; empty when nobody does.
	Holder    string    `json:"holder,omitempty"`
	Duplicate string    `json:"duplicate,omitempty"` // who else answers at the address, in words
	Looked    time.Time `json:"looked,omitzero"`     // at the link; zero when it cannot be asked
}

// Missing tells whether nobody answers at the address, as far as this server has looked.
func (s Status) Missing() bool { return s.Holder == "" && !s.Looked.IsZero() }

// trackFile is read by keepalived whenever it changes: 1 lets this server have the address, 0 and no file do not.
func (k *Keeper) trackFile(p Purpose) string { return filepath.Join(k.Layout.VIP(), string(p)) }

func (k *Keeper) configFile() string {
	return filepath.Join(k.Layout.Generated(), Name, "keepalived.conf")
}

func (k *Keeper) pidFiles() []string {
	return []string{filepath.Join(k.Layout.VIP(), "keepalived.pid"), filepath.Join(k.Layout.VIP(), "vrrp.pid")}
}
