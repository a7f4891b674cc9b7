package server

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"

	"islet/appliance/api"
	"islet/appliance/component"
	"islet/appliance/join"
	"islet/appliance/metric"
	"islet/appliance/pki"
	"islet/appliance/tail"
)

// isServer refuses a server that does not belong to the site any more. That is for the list of servers to say, which this node
// keeps: it must be known while Kubernetes is down.
func (n *node) isServer(c join.Caller) error {
	if !slices.ContainsFunc(n.knownServers().Node, func(a netip.AddrPort) bool { return a.Addr() == c.From }) {
		return fmt.Errorf("%w, and none that this node knows is at %s", join.ErrNotServer, c.From)
	}
	return nil
}

// TellLog implements join.Witness.
func (n *node) TellLog(_ context.Context, c join.Caller, name string, lines int, mark string) (tail.Part, error) {
	if err := n.isServer(c); err != nil {
		return tail.Part{}, err
	}
	return n.ReadLog(name, lines, mark)
}

// TellHistory implements join.Witness.
func (n *node) TellHistory(_ context.Context, c join.Caller) (metric.History, error) {
	if err := n.isServer(c); err != nil {
		return metric.History{}, err
	}
	return n.History(), nil
}

// TellEvents implements join.Witness.
func (n *node) TellEvents(_ context.Context, c join.Caller) ([]component.Event, error) {
	if err := n.isServer(c); err != nil {
		return nil, err
	}
	return n.Events(), nil
}

// witnessUnits are what an agent has of the node API, at each address that it has as a node.
func (n *node) witnessUnits() []component.Unit {
	return n.listenAt(func(ctx context.Context, address string, id join.Identity, ready func()) error {
		return join.ServeWitness(ctx, address, id, n, n.Log, ready)
	})
}

// listenAt makes a unit of the node API for each address that this node has as a node.
func (n *node) listenAt(serve func(ctx context.Context, address string, id join.Identity, ready func()) error) []component.Unit {
	id := join.Identity{Pair: n.nodePair, Authorities: func() []*x509.Certificate { return n.pki.Authority(pki.NodeCA).Trusted }}
	unit := func(name string, at netip.Addr) component.Unit {
		address := netip.AddrPortFrom(at, join.DefaultPort).String()
		return component.Unit{New: func() component.Component {
			return component.Task{TaskName: name, Do: func(ctx context.Context, ready func()) error { return serve(ctx, address, id, ready) }}
		}}
	}
	units := []component.Unit{unit(nodeAPIName, n.derived.Address)}
	if other := n.otherAddress(); other.IsValid() {
		units = append(units, unit(nodeAPIName+"-former", other))
	}
	return units
}

// self is this node as one that is asked like any other.
type self struct{ *node }

func (s self) Log(_ context.Context, name string, lines int, mark string) (tail.Part, error) {
	return s.ReadLog(name, lines, mark)
}
func (s self) History(context.Context) (metric.History, error)   { return s.node.History(), nil }
func (s self) Events(context.Context) ([]component.Event, error) { return s.node.Events(), nil }
func (s self) Close()                                            {}

// Other implements api.Daemon. Where a node is it has said itself; what answers there has to prove its name.
func (n *node) Other(name string) (api.Other, error) {
	if name == n.derived.NodeName {
		return self{n}, nil
	}
	if n.isAgent() {
		return nil, api.ErrAgent
	}
	all := n.others()
	i := slices.IndexFunc(all, func(r api.Report) bool { return r.Status.Node.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("%w: %q", api.ErrUnknownNode, name)
	}
	at, err := netip.ParseAddr(all[i].Status.Node.Address)
	if err != nil {
		return nil, fmt.Errorf("the address of %s: %w", name, err)
	}
	pair, err := n.nodePair()
	if err != nil {
		return nil, err
	}
	return join.NewWitness(netip.AddrPortFrom(at, join.DefaultPort), name, pair, n.pki.Authority(pki.NodeCA).Trusted), nil
}
