package server

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"islet/appliance/address"
	"islet/appliance/component"
	"islet/appliance/controlplane"
	"islet/appliance/datastore"
	"islet/appliance/join"
	"islet/appliance/kubelet"
	"islet/appliance/registry"
)

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
	ports := []uint16{kubelet.Port}
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
