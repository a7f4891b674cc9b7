package server

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"islet/appliance/address"
	"islet/appliance/arp"
	"islet/appliance/host"
	"islet/appliance/join"
	"islet/appliance/pki"
)

// A node moves to another address in this order. The site notes what an operator asks for; the node hears of it when it next
// refreshes its place, and refuses what cannot be. It gets certificates for both addresses, writes down what it is about to
// do, and starts anew: with both addresses on its interface, and the new one in everything that it tells others. Then the
// servers are asked whether they reach it there. If they do, the old address goes; if they do not within the time given, the
// node starts anew with the old one, whoever has lost touch with it meanwhile.

const (
	moveName     = "address-change"
	moveInterval = time.Second
	arpWait      = 500 * time.Millisecond
	seekTimeout  = 20 * time.Second
)

// mover is the site towards a node that moves: a server that answers, or the server itself.
type mover interface {
	Move(ctx context.Context) (*join.Move, error)
	ReportMove(ctx context.Context, r join.MoveReport) error
}

// lastChange is how far the last change of this node's address has come.
func (n *node) lastChange() address.Change {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.change
}

func (n *node) setChange(c address.Change) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.change = c
}

// otherAddress is the second one that this node has while it moves; invalid at all other times.
func (n *node) otherAddress() netip.Addr {
	c := n.lastChange()
	if c.State != address.Trying {
		return netip.Addr{}
	}
	if c.To.Addr() == n.derived.Address {
		return c.From.Addr()
	}
	return c.To.Addr()
}

// alsoAt adds an address to the certificates that have the other one; an invalid one adds nothing.
func alsoAt(leaves []pki.Leaf, has, also netip.Addr) []pki.Leaf {
	if !also.IsValid() || also == has {
		return leaves
	}
	out := slices.Clone(leaves)
	for i := range out {
		if slices.Contains(out[i].Addresses, has) {
			out[i].Addresses = append(slices.Clone(out[i].Addresses), also)
		}
	}
	return out
}

// follow does what the site asks this node to do about its address. certify brings the certificates up to date.
func (n *node) follow(ctx context.Context, site mover, certify func(context.Context) error) error {
	last := n.lastChange()
	if last.State == address.Trying {
		return nil // the component of that name sees to it
	}
	move, err := site.Move(ctx)
	if err != nil || move == nil {
		return err
	}
	report := join.MoveReport{To: move.To, State: join.MoveFailed}
	if last.Asked.Equal(move.Asked) {
		if last.State == address.TakenBack && move.State != join.MoveFailed {
			report.Why = last.Why
			return site.ReportMove(ctx, report)
		}
		return nil
	}
	if !move.Open() {
		return nil
	}
	change, err := n.judgeMove(ctx, *move)
	if err != nil {
		n.Log.Warn("change of address refused", "to", move.To, "error", err)
		report.Why = err.Error()
		return site.ReportMove(ctx, report)
	}
	report.State = join.MoveTrying
	if err := site.ReportMove(ctx, report); err != nil {
		return err
	}
	n.setChange(change)
	if err := certify(ctx); err != nil {
		n.setChange(last)
		return fmt.Errorf("certificates for %s: %w", move.To, err)
	}
	if err := change.Write(n.layout.AddressChange()); err != nil {
		n.setChange(last)
		return err
	}
	n.Log.Info("this node changes its address", "from", change.From.Addr(), "to", change.To.Addr(), "until", change.Deadline)
	n.StartAnew()
	return nil
}

// judgeMove says what changes on this machine, or why that cannot be.
func (n *node) judgeMove(ctx context.Context, m join.Move) (address.Change, error) {
	facts, err := host.Gather(ctx)
	if err != nil && len(facts.Interfaces) == 0 {
		return address.Change{}, err
	}
	network, now := n.derived.NodeNetwork, time.Now().UTC()
	c := address.Change{
		State: address.Trying, Asked: m.Asked, Interface: n.derived.Interface, Started: now, Deadline: now.Add(m.Patience),
		From: netip.PrefixFrom(n.derived.Address, network.Bits()), To: netip.PrefixFrom(m.To, network.Bits()),
	}
	if link, there, ok := facts.Holder(m.To); ok {
		if c.To = there.Prefix; link.Name != c.Interface {
			c.Interface = "" // each stays where it is
		}
		return n.lastChange().Next(c), nil
	}
	switch {
	case !network.Contains(m.To):
		return c, fmt.Errorf("%s is not in %s, the network of this machine's interface %s, and the machine does not have it: give it to the machine first", m.To, network, n.derived.Interface)
	case m.To == network.Addr() || !network.Contains(m.To.Next()):
		return c, fmt.Errorf("%s is not an address of a machine in %s", m.To, network)
	}
	answers, err := arp.Probe(ctx, c.Interface, arpWait, m.To)
	if err != nil {
		return c, err
	}
	if holders := answers[m.To]; len(holders) > 0 {
		return c, fmt.Errorf("%s is in use by the machine with the hardware address %s", m.To, strings.Join(holders, " and "))
	}
	return n.lastChange().Next(c), nil
}

// certify issues what a server lacks.
func (n *node) certify(context.Context) error {
	_, err := n.ensureCertificates()
	return err
}
