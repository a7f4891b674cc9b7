package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"islet/appliance/address"
	"islet/appliance/arp"
	"islet/appliance/atomicfile"
	"islet/appliance/component"
	"islet/appliance/config"
	"islet/appliance/controlplane"
	"islet/appliance/datastore"
	"islet/appliance/host"
	"islet/appliance/join"
	"islet/appliance/kube"
	"islet/appliance/pki"
	"islet/appliance/registry"
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
	kubeletPort  = 10250
)

// mover is the site towards a node that moves: a server that answers, or the server itself.
type mover interface {
	Move(ctx context.Context) (*join.Move, error)
	ReportMove(ctx context.Context, r join.MoveReport) error
}

// ownMove is the site towards the server itself.
type ownMove struct{ *site }

// Move implements mover.
func (o ownMove) Move(ctx context.Context) (*join.Move, error) {
	m, err := o.members.Find(ctx, o.derived.NodeName)
	return m.Move, err
}

// ReportMove implements mover.
func (o ownMove) ReportMove(ctx context.Context, r join.MoveReport) error {
	return o.members.ReportMove(ctx, o.derived.NodeName, r)
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

// resumeMove goes on with a change of address, or takes it back, before anything of the node starts.
func (n *node) resumeMove() error {
	c, err := address.Read(n.layout.AddressChange())
	if err != nil || c.State == address.None {
		return err
	}
	if own := n.Config.Node.Address; own.IsValid() && own != c.From.Addr() && own != c.To.Addr() || c.State == address.Settled && own != c.To.Addr() {
		n.Log.Info("the answer file names another address than the last change of it: that counts no more", "address", own)
		return nil
	}
	if c.State == address.Trying && c.Left(time.Now()) <= 0 {
		c.State, c.Why = address.TakenBack, "the time was up while the node was off"
	}
	if err := c.Apply(); err != nil && c.State == address.Trying {
		c.State, c.Why = address.TakenBack, err.Error()
		err = c.Apply()
		n.Log.Warn("the machine does not take the new address", "error", errors.Join(err, errors.New(c.Why)))
	} else if err != nil {
		n.Log.Warn("the machine's addresses could not be set", "error", err)
	}
	if err := c.Write(n.layout.AddressChange()); err != nil {
		return err
	}
	n.setChange(c)
	n.Log.Info("change of address", "state", string(c.State), "from", c.From.Addr(), "to", c.To.Addr())
	return n.answer(c)
}

// answer makes the answer file name the node's address.
func (n *node) answer(c address.Change) error {
	own, before := c.Own(), c.From.Addr()
	if own == before {
		before = c.To.Addr()
	}
	fields := map[string]bool{"node.address": n.Config.Node.Address != own, "gateway.bind": n.Config.Gateway.Bind == before}
	data, err := os.ReadFile(n.layout.Config())
	if err != nil {
		return err
	}
	for field, differs := range fields {
		if !differs {
			continue
		}
		if data, err = config.Edit(data, field, own.String()); err != nil {
			return err
		}
	}
	n.Config.Node.Address = own
	if fields["gateway.bind"] {
		n.Config.Gateway.Bind = own
	}
	return atomicfile.WriteIfChanged(n.layout.Config(), data, 0o600)
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

// seekMove asks the site where this node should be, if the machine has lost its address. Nothing of the node can start then; so
// whoever gave the machine another one tells the site, and the node hears of it here. What fails is tried at the next start.
func (n *node) seekMove(ctx context.Context) {
	own := n.Config.Node.Address
	if _, _, there := n.facts.Holder(own); there || !own.IsValid() || n.lastChange().State == address.Trying {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, seekTimeout)
	defer cancel()
	if err := n.foundMove(ctx, own); err != nil {
		n.Log.Warn("the machine has lost the node's address, and no server says where it should be", "address", own, "error", err)
	}
}

func (n *node) foundMove(ctx context.Context, own netip.Addr) error {
	keys, err := pki.OpenJoined(n.layout.PKI(), time.Time{}, nil)
	if err != nil {
		return err
	}
	n.pki = keys
	known, err := join.ReadServers(n.layout.Servers())
	if err != nil {
		return err
	}
	site, _, err := n.dial(ctx, slices.DeleteFunc(known.Node, func(at netip.AddrPort) bool { return at.Addr() == own })...)
	if err != nil {
		return err
	}
	defer site.Close()
	move, err := site.Move(ctx)
	if err != nil {
		return err
	}
	if last := n.lastChange(); move.Open() && last.State == address.TakenBack && last.Asked.Equal(move.Asked) {
		return errors.Join(errors.New(last.Why), site.ReportMove(ctx, join.MoveReport{To: move.To, State: join.MoveFailed, Why: last.Why}))
	}
	if !move.Open() || move.From != own {
		return errors.New("nobody has asked this node to move")
	}
	_, there, ok := n.facts.Holder(move.To)
	if !ok {
		return fmt.Errorf("it should be at %s, which the machine does not have either", move.To)
	}
	now := time.Now().UTC()
	c := n.lastChange().Next(address.Change{ // without an interface: the machine's addresses are another's work
		State: address.Trying, Asked: move.Asked, Started: now, Deadline: now.Add(move.Patience),
		From: netip.PrefixFrom(own, there.Prefix.Bits()), To: there.Prefix,
	})
	if err := site.ReportMove(ctx, join.MoveReport{To: move.To, State: join.MoveTrying}); err != nil {
		return err
	}
	n.setChange(c)
	if err := c.Write(n.layout.AddressChange()); err != nil {
		return err
	}
	if err := n.answer(c); err != nil || !n.isAgent() {
		return err // a server issues its certificates itself
	}
	if n.derived, err = config.Derive(n.Config, n.facts); err != nil {
		return err
	}
	return n.renew(ctx, site)
}

// moveUnits are what ends a move. done tells the site that the node has arrived; alone says whether it has, where there is no
// other server to ask.
func (n *node) moveUnits(done func(context.Context, join.MoveReport) error, alone func(context.Context) error) []component.Unit {
	if n.lastChange().State != address.Trying {
		return nil
	}
	return []component.Unit{{New: func() component.Component {
		return component.Task{TaskName: moveName, Do: func(ctx context.Context, ready func()) error {
			ready()
			if err := n.tryMove(ctx, done, alone); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		}}
	}}}
}

// tryMove asks until the others reach this node, or the time is up.
func (n *node) tryMove(ctx context.Context, done func(context.Context, join.MoveReport) error, alone func(context.Context) error) error {
	c := n.lastChange()
	up := time.NewTimer(c.Left(time.Now()))
	defer up.Stop()
	limited, cancel := context.WithDeadline(ctx, time.Now().Add(c.Left(time.Now())))
	defer cancel()
	why := ""
	for c.State == address.Trying {
		report := join.MoveReport{To: c.To.Addr(), State: join.MoveArrived, Ports: n.openPorts()}
		err := n.arrive(limited, report, alone)
		if report.State = join.MoveDone; err == nil {
			err = done(limited, report)
		}
		if err == nil {
			return n.settle()
		}
		if limited.Err() == nil {
			why = err.Error()
			n.Log.Debug("not arrived at the new address", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-up.C:
			return n.takeBack(why)
		case <-time.After(moveInterval):
		}
	}
	return nil
}

// openPorts are those on which others must reach this node.
func (n *node) openPorts() []uint16 {
	ports := []uint16{kubeletPort}
	if n.isAgent() {
		return ports
	}
	ports = append(ports, join.DefaultPort, registry.Port)
	if !n.standby.Load() {
		ports = append(ports, controlplane.SecurePort)
	}
	if n.replicated() {
		ports = append(ports, datastore.ClientPort, datastore.PeerPort)
	}
	return ports
}

// arrive returns nil once every other server that answers reaches this node at its new address.
func (n *node) arrive(ctx context.Context, report join.MoveReport, alone func(context.Context) error) error {
	for _, c := range n.supervisor.Snapshot() {
		if n.isMissing(c) {
			return fmt.Errorf("%s is %s (%s)", c.Name, c.State, c.Reason)
		}
	}
	if n.replicated() {
		if err := n.datastoreParams().TakeSeat(ctx); err != nil {
			return err
		}
	}
	others := n.otherServers()
	if len(others) == 0 && alone != nil {
		return alone(ctx)
	}
	asked, silent := 0, join.ErrNoServer
	for _, server := range others {
		c, _, err := n.dial(ctx, netip.AddrPortFrom(server, join.DefaultPort))
		if err != nil {
			silent = err
			continue
		}
		err = c.ReportMove(ctx, report)
		c.Close()
		if err != nil {
			return fmt.Errorf("server %s: %w", server, err)
		}
		asked++
	}
	if asked == 0 {
		return silent
	}
	return nil
}

// reportDone tells any server that this agent has arrived.
func (n *node) reportDone(ctx context.Context, r join.MoveReport) error {
	c, _, err := n.dial(ctx, n.knownServers().Node...)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.ReportMove(ctx, r)
}

// settle takes the old address off the machine, and out of the certificates.
func (n *node) settle() error {
	c := n.lastChange()
	c.State = address.Settled
	if err := c.Write(n.layout.AddressChange()); err != nil {
		return err
	}
	n.setChange(c)
	n.Log.Info("this node has its new address", "from", c.From.Addr(), "to", c.To.Addr())
	if err := c.Apply(); err != nil {
		n.Log.Error("the old address is still on the machine", "error", err)
	}
	if n.isAgent() {
		return nil // it asks a server when it next refreshes
	}
	_, err := n.ensureCertificates()
	return err
}

// takeBack starts the node anew at its old address.
func (n *node) takeBack(why string) error {
	c := n.lastChange()
	c.State, c.Why = address.TakenBack, why
	n.Log.Warn("nobody reaches this node at its new address: it takes back the old one", "from", c.From.Addr(), "to", c.To.Addr(), "why", why)
	err := c.Write(n.layout.AddressChange())
	if err == nil {
		n.StartAnew()
	}
	return err
}

// certify issues what a server lacks.
func (n *node) certify(context.Context) error {
	_, err := n.ensureCertificates()
	return err
}

// Move implements join.Site.
func (s *site) Move(ctx context.Context, c join.Caller) (*join.Move, error) {
	m, err := s.members.Get(ctx, c)
	return m.Move, err
}

// ReportMove implements join.Site.
func (s *site) ReportMove(ctx context.Context, c join.Caller, r join.MoveReport) error {
	m, err := s.members.Get(ctx, c)
	if err != nil {
		return err
	}
	if m.Move == nil || m.Move.To != r.To {
		return fmt.Errorf("%w: %s is not asked to move to %s", join.ErrBadRequest, c.Name, r.To)
	}
	if r.State == join.MoveArrived || r.State == join.MoveDone {
		err := s.reached(ctx, m, r.Ports)
		if err != nil || r.State == join.MoveArrived {
			return err
		}
	}
	s.Log.Info("change of a node's address", "node", c.Name, "to", r.To, "state", string(r.State), "why", r.Why)
	return s.members.ReportMove(ctx, c.Name, r)
}

// reached says whether a node that moves is where it says, for this server and for Kubernetes.
func (s *site) reached(ctx context.Context, m join.Member, ports []uint16) error {
	if err := join.CheckReached(s.derived.Address, m.Move.To, reach(ctx, m.Move.To, ports)); err != nil {
		return err
	}
	var node corev1.Node
	if err := s.client.Get(ctx, client.ObjectKey{Name: m.Name}, &node); err != nil {
		return err
	}
	if !hasAddress(&node, m.Move.To) || !kube.IsReady(&node) {
		return fmt.Errorf("%w: Kubernetes does not call %s ready at %s yet", join.ErrUnreachable, m.Name, m.Move.To)
	}
	return nil
}

// noteSeen remembers that a node has found this server at its new address. s.mu is held.
func (s *site) noteSeen(ctx context.Context, name string) {
	at, ok := ctx.Value(http.LocalAddrContextKey).(net.Addr)
	if !ok || s.change.State != address.Trying {
		return
	}
	if here, err := netip.ParseAddrPort(at.String()); err == nil && here.Addr().Unmap() == s.change.To.Addr() {
		if s.seen == nil {
			s.seen = map[string]bool{}
		}
		s.seen[name] = true
	}
}

// seenByAll says whether every agent that Kubernetes calls ready has found the site's only server at its new address.
func (s *site) seenByAll(ctx context.Context) error {
	var nodes corev1.NodeList
	if err := s.client.List(ctx, &nodes); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, node := range nodes.Items {
		if node.Name == s.derived.NodeName {
			if !hasAddress(&node, s.derived.Address) || !kube.IsReady(&node) {
				return fmt.Errorf("%w: Kubernetes does not call %s ready at %s yet", join.ErrUnreachable, node.Name, s.derived.Address)
			}
			continue
		}
		if kube.IsReady(&node) && !s.seen[node.Name] {
			return fmt.Errorf("%w: %s has not found this server at %s", join.ErrUnreachable, node.Name, s.derived.Address)
		}
	}
	return nil
}
