package reset

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"islet/appliance/host"
)

// needRoot skips what only root may do.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("this makes devices and rules in a network namespace of its own, which needs root")
	}
}

// TestUndoNetwork makes in a network namespace what the platform makes, beside what others make, and undoes it.
func TestUndoNetwork(t *testing.T) {
	t.Parallel()
	needRoot(t)
	var before, during, after State
	err := host.InNewNamespaces(unix.CLONE_NEWNET, func() error {
		target := testTarget()
		if err := makeTheirs(); err != nil {
			return err
		}
		var err error
		if before, err = observeNetwork(); err != nil {
			return err
		}
		if err := makeOurs(); err != nil {
			return err
		}
		if during, err = observeNetwork(); err != nil {
			return err
		}
		var plan Plan
		b := builder{target: target, past: past{known: true, State: before}, now: during, plan: &plan}
		b.planLinks()
		b.planTables()
		b.planSets()
		for range 2 { // the second time there is nothing, which is no error
			for _, s := range plan.Steps {
				if err := s.do(t.Context()); err != nil {
					t.Errorf("%s %s: %v", s.Kind, s.Object, err)
				}
			}
			plan.Steps = slices.DeleteFunc(plan.Steps, func(s Step) bool { return s.Object == "ip filter" }) // planned from handles that are gone
		}
		after, err = observeNetwork()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for what, sizes := range map[string][3]int{
		"links":  {len(before.Links), len(during.Links), len(after.Links)},
		"routes": {len(before.Routes), len(during.Routes), len(after.Routes)},
		"tables": {len(before.Tables), len(during.Tables), len(after.Tables)},
		"chains": {chains(before), chains(during), chains(after)},
		"sets":   {len(before.Sets), len(during.Sets), len(after.Sets)},
	} {
		if sizes[0] != sizes[2] || sizes[0] >= sizes[1] {
			t.Errorf("%s before, during, after: %v", what, sizes)
		}
	}
	for _, table := range after.Tables {
		for _, c := range table.Chains {
			if c.Name == "FORWARD" && (c.Others != 1 || len(c.Jumps) != 0) {
				t.Errorf("the shared chain has %d rules and %d jumps, want the one rule of others", c.Others, len(c.Jumps))
			}
		}
	}
}

func chains(s State) (n int) {
	for _, t := range s.Tables {
		n += len(t.Chains)
	}
	return n
}

func observeNetwork() (s State, err error) {
	if s.Links, err = observeLinks(); err != nil {
		return s, err
	}
	if s.Routes, err = observeRoutes(); err != nil {
		return s, err
	}
	if s.Tables, err = observeTables(); err != nil {
		return s, err
	}
	s.Sets, err = observeSets()
	return s, err
}

func addVeth(name, address string) error {
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "peer-" + name}
	if err := netlink.LinkAdd(link); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(address)
	if err != nil {
		return err
	}
	return netlink.AddrAdd(link, addr)
}

func makeTheirs() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	if err := addVeth("theirs", "172.17.0.1/24"); err != nil {
		return err
	}
	if err := netlink.IpsetCreate("blocklist", "hash:ip", netlink.IpsetCreateOptions{}); err != nil {
		return err
	}
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "filter"})
	forward := conn.AddChain(&nftables.Chain{Table: table, Name: "FORWARD", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter})
	conn.AddRule(&nftables.Rule{Table: table, Chain: forward, Exprs: []expr.Any{&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop}}})
	return conn.Flush()
}

func makeOurs() error {
	if err := addVeth("vethpod", "10.42.0.1/32"); err != nil {
		return err
	}
	if err := netlink.LinkAdd(&netlink.Vxlan{LinkAttrs: netlink.LinkAttrs{Name: "flannel.1"}, VxlanId: 1, Port: 8472}); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	service := netip.MustParsePrefix("10.43.0.0/16")
	route := &netlink.Route{LinkIndex: lo.Attrs().Index, Scope: netlink.SCOPE_HOST,
		Dst: &net.IPNet{IP: service.Addr().AsSlice(), Mask: net.CIDRMask(service.Bits(), 32)}}
	if err := netlink.RouteAdd(route); err != nil {
		return err
	}
	if err := netlink.IpsetCreate("KUBE-DST-1", "hash:ip", netlink.IpsetCreateOptions{}); err != nil {
		return err
	}
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "kube-proxy"})
	table := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: "filter"}
	one := conn.AddChain(&nftables.Chain{Table: table, Name: "KUBE-ROUTER-FORWARD"})
	two := conn.AddChain(&nftables.Chain{Table: table, Name: "KUBE-POD-FW-1"})
	conn.AddRule(&nftables.Rule{Table: table, Chain: one, Exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: two.Name}}})
	conn.AddRule(&nftables.Rule{Table: table, Chain: &nftables.Chain{Table: table, Name: "FORWARD"}, Exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: one.Name}}})
	return conn.Flush()
}
