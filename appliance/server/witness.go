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

// witnessUnit is what an agent has of the node API. While it moves it is asked where it is: its machine may have lost the former
// address already, and no other node depends on it.
func (n *node) witnessUnit() component.Unit {
	return n.listenAt([]netip.Addr{n.derived.Address}, func(ctx context.Context, address string, id join.Identity, ready func()) error {
		return join.ServeWitness(ctx, address, id, n, n.Log, ready)
	})[0]
}

// listenAt makes a unit of the node API for each of these addresses, of which the first is the node's.
func (n *node) listenAt(addresses []netip.Addr, serve func(ctx context.Context, address string, id join.Identity, ready func()) error) (units []component.Unit) {
	id := join.Identity{Pair: n.nodePair, Authorities: func() []*x509.Certificate { return n.pki.Authority(pki.NodeCA).Trusted }}
	name := nodeAPIName
	for _, at := range addresses {
		address := netip.AddrPortFrom(at, join.DefaultPort).String()
		task := component.Task{TaskName: name, Do: func(ctx context.Context, ready func()) error { return serve(ctx, address, id, ready) }}
		units = append(units, component.Unit{New: func() component.Component { return task }})
		name = nodeAPIName + "-former"
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
