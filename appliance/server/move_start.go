package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"islet/appliance/address"
	"islet/appliance/atomicfile"
	"islet/appliance/config"
	"islet/appliance/join"
	"islet/appliance/pki"
)

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
