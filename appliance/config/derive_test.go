package config

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"islet/appliance/host"
)

func link(name string, index, mtu int, addresses ...string) host.Interface {
	l := host.Interface{Name: name, Index: index, Kind: "device", MTU: mtu, Up: true, Physical: true}
	for _, a := range addresses {
		l.Addresses = append(l.Addresses, host.Address{Prefix: netip.MustParsePrefix(a)})
	}
	return l
}

func machine(links ...host.Interface) host.Facts {
	return host.Facts{
		Hostname: "Server1.example.com", CPUs: 2, MemoryBytes: 8 << 30,
		Features:   host.Features{VXLAN: host.Yes},
		Interfaces: append([]host.Interface{{Name: "lo", Index: 1, Up: true, Loopback: true, MTU: 65536, Addresses: link("lo", 1, 0, "127.0.0.1/8").Addresses}}, links...),
	}
}

func via(f host.Facts, name string) host.Facts {
	f.DefaultRoute = &host.Route{Interface: name, Gateway: netip.MustParseAddr("192.0.2.1")}
	return f
}

func TestDerive(t *testing.T) {
	t.Parallel()
	bridge := link("docker0", 9, 1500, "172.17.0.1/16")
	bridge.Physical = false
	flannel := link("flannel.1", 8, 1450, "10.42.0.0/32")
	cni := link("cni0", 7, 1450, "10.42.0.1/24")
	veth := link("eth0", 3, 1500, "10.99.0.2/24") // an isolated host: its only link is made by software
	veth.Physical, veth.Kind = false, "veth"
	down := link("eth1", 4, 1500, "198.51.100.1/24")
	down.Up = false
	noVXLAN := machine(link("eth0", 2, 1500, "192.0.2.2/24"))
	noVXLAN.Features.VXLAN = host.No

	base := Derived{
		NodeName: "server1", Address: netip.MustParseAddr("192.0.2.2"), Interface: "eth0",
		NodeNetwork: netip.MustParsePrefix("192.0.2.0/24"), Backend: BackendVXLAN, DirectRouting: true, MTU: 1450,
		APIServerAddress: netip.MustParseAddr("10.43.0.1"), ClusterDNS: netip.MustParseAddr("10.43.0.10"),
		Domain: "apps.site.internal",
	}
	with := func(change func(*Derived)) Derived { d := base; change(&d); return d }
	for _, c := range []struct {
		name   string
		change func(*Config)
		facts  host.Facts
		want   Derived
	}{
		{"one interface, no default route", nil, machine(link("eth0", 2, 1500, "192.0.2.2/24")), base},
		{"the default route decides", nil, via(machine(link("eth1", 2, 1500, "198.51.100.2/24"), link("eth0", 3, 1500, "192.0.2.2/24")), "eth0"), base},
		{"default route over an interface without address", nil, via(machine(link("eth0", 2, 1500, "192.0.2.2/24")), "ppp0"), base},
		{"software links do not count", nil, machine(bridge, flannel, cni, link("eth0", 2, 1500, "192.0.2.2/24"), down), base},
		{"a virtual address does not count", nil, machine(link("eth0", 2, 1500, "192.0.2.100/32", "192.0.2.2/24")), base},
		{"first of several on one interface", nil, machine(link("eth0", 2, 1500, "192.0.2.2/24", "192.0.2.3/24")), base},
		{"only a software link", nil, machine(veth), with(func(d *Derived) {
			d.Address, d.NodeNetwork = netip.MustParseAddr("10.99.0.2"), netip.MustParsePrefix("10.99.0.0/24")
		})},
		{"configured address", func(c *Config) { c.Node.Address = netip.MustParseAddr("198.51.100.2") },
			machine(link("eth0", 2, 1500, "192.0.2.2/24"), link("eth1", 3, 9000, "198.51.100.2/25")), with(func(d *Derived) {
				d.Address, d.Interface, d.MTU = netip.MustParseAddr("198.51.100.2"), "eth1", 8950
				d.NodeNetwork = netip.MustParsePrefix("198.51.100.0/25")
			})},
		{"configured name and domain", func(c *Config) { c.Node.Name, c.Gateway.Domain = "a", "apps.example.com" },
			machine(link("eth0", 2, 1500, "192.0.2.2/24")), with(func(d *Derived) { d.NodeName, d.Domain = "a", "apps.example.com" })},
		{"domain from the site", func(c *Config) { c.Site.Name = "plant7" },
			machine(link("eth0", 2, 1500, "192.0.2.2/24")), with(func(d *Derived) { d.Domain = "apps.plant7.internal" })},
		{"host-gw uses the whole MTU", func(c *Config) { c.Network.Backend = BackendHostGW },
			machine(link("eth0", 2, 1500, "192.0.2.2/24")), with(func(d *Derived) { d.Backend, d.DirectRouting, d.MTU = BackendHostGW, false, 1500 })},
		{"vxlan always encapsulates", func(c *Config) { c.Network.Backend = BackendVXLAN },
			machine(link("eth0", 2, 1500, "192.0.2.2/24")), with(func(d *Derived) { d.DirectRouting = false })},
		{"auto without vxlan in the kernel", nil, noVXLAN, with(func(d *Derived) { d.Backend, d.DirectRouting, d.MTU = BackendHostGW, false, 1500 })},
		{"configured MTU", func(c *Config) { c.Network.MTU = 1300 },
			machine(link("eth0", 2, 1500, "192.0.2.2/24")), with(func(d *Derived) { d.MTU = 1300 })},
		{"another service network", func(c *Config) { c.Network.ServiceCIDR = netip.MustParsePrefix("172.30.8.0/22") },
			machine(link("eth0", 2, 1500, "192.0.2.2/24")), with(func(d *Derived) {
				d.APIServerAddress, d.ClusterDNS = netip.MustParseAddr("172.30.8.1"), netip.MustParseAddr("172.30.8.10")
			})},
		{"virtual addresses", func(c *Config) { c.Network.VIP = vips("192.0.2.100", "192.0.2.101") },
			machine(link("eth0", 2, 1500, "192.0.2.2/24", "192.0.2.100/32")), with(func(d *Derived) {
				d.APIVIP = VirtualAddress{netip.MustParseAddr("192.0.2.100"), 100}
				d.ApplicationsVIP = VirtualAddress{netip.MustParseAddr("192.0.2.101"), 101}
			})},
		{"virtual addresses of another network on an agent", func(c *Config) {
			c.Network.VIP, c.Node.Role = vips("198.51.100.100", ""), RoleAgent
		}, machine(link("eth0", 2, 1500, "192.0.2.2/24")), with(func(d *Derived) {
			d.APIVIP = VirtualAddress{netip.MustParseAddr("198.51.100.100"), 100}
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := Default()
			if c.change != nil {
				c.change(&cfg)
			}
			got, err := Derive(cfg, c.facts)
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestDeriveRefuses(t *testing.T) {
	t.Parallel()
	one := func(change func(*host.Facts)) host.Facts {
		f := machine(link("eth0", 2, 1500, "192.0.2.2/24"))
		change(&f)
		return f
	}
	same := func(*host.Facts) {}
	for _, c := range []struct {
		name   string
		change func(*Config)
		facts  host.Facts
		want   []string
	}{
		{"hostname localhost", nil, one(func(f *host.Facts) { f.Hostname = "localhost" }),
			[]string{`node.name: the hostname "localhost" cannot be the name of a node; set node.name, or give the machine a hostname`}},
		{"no address", nil, machine(),
			[]string{"node.address: this machine has no address that other nodes could reach; give an interface a static IPv4 address"}},
		{"several addresses", nil, machine(link("eth0", 2, 1500, "192.0.2.2/24"), link("eth1", 3, 1500, "198.51.100.2/24")),
			[]string{"node.address: this machine has several addresses and no default route: 192.0.2.2 (eth0), 198.51.100.2 (eth1); set node.address to one of them"}},
		{"address of another machine", func(c *Config) { c.Node.Address = netip.MustParseAddr("192.0.2.9") }, one(same),
			[]string{"node.address: no interface has the address 192.0.2.9; correct it, or configure the interface first; this machine has 192.0.2.2 (eth0)"}},
		{"site network inside the pods", func(c *Config) { c.Node.Address = netip.MustParseAddr("192.0.2.2") },
			machine(link("eth0", 2, 1500, "192.0.2.2/24"), link("eth1", 3, 1500, "10.42.7.9/16")),
			[]string{"network.podCIDR: 10.42.0.0/16 overlaps with 10.42.7.9/16 of interface eth1; choose a network that the site does not use"}},
		{"vxlan without the kernel", func(c *Config) { c.Network.Backend = BackendVXLAN }, one(func(f *host.Facts) { f.Features.VXLAN = host.No }),
			[]string{"network.backend: this kernel has no vxlan; use auto or host-gw, and keep all nodes on one link"}},
		{"MTU larger than the link", func(c *Config) { c.Network.MTU = 1500 }, one(same),
			[]string{"network.mtu: 1500 does not fit through eth0, whose MTU is 1500; use at most 1450, or 0 to derive it"}},
		{"machine too small", nil, one(func(f *host.Facts) { f.MemoryBytes, f.CPUs = 1<<30, 0 }),
			[]string{"kubelet.kubeReserved.memory: reserved memory and the eviction threshold add up to 1224Mi of the machine's 1Gi; reserve less, or add memory"}},
		{"virtual addresses that cannot be", func(c *Config) { c.Network.VIP = vips("192.0.2.2", "198.51.100.7") }, one(same),
			[]string{"network.vip.api: 192.0.2.2 is the address of this node; choose an address that no machine has",
				"network.vip.applications: 198.51.100.7 is not in 192.0.2.0/24, the network of this node; choose a free address of that network"}},
		{"virtual addresses at the ends", func(c *Config) { c.Network.VIP = vips("192.0.2.0", "192.0.2.255") }, one(same),
			[]string{"network.vip.api: 192.0.2.0 is not for a machine: it is the first or the last of 192.0.2.0/24; choose another address of that network",
				"network.vip.applications: 192.0.2.255 is not for a machine: it is the first or the last of 192.0.2.0/24; choose another address of that network"}},
		{"virtual address that is another's", func(c *Config) { c.Network.VIP = vips("192.0.2.3", "") },
			machine(link("eth0", 2, 1500, "192.0.2.2/24", "192.0.2.3/24")),
			[]string{"network.vip.api: 192.0.2.3/24 is configured on eth0; take it off the interface, or choose another"}},
		{"processors all reserved", func(c *Config) { c.Kubelet.KubeReserved.CPU = 4000 }, one(same),
			[]string{"kubelet.kubeReserved.cpu: reserved processor time adds up to 4100m of the machine's 2; reserve less, or add processors"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := Default()
			if c.change != nil {
				c.change(&cfg)
			}
			_, err := Derive(cfg, c.facts)
			var problems Problems
			if !errors.As(err, &problems) {
				t.Fatalf("got %v, want Problems", err)
			}
			var got []string
			for _, p := range problems {
				got = append(got, p.String())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q\nwant %q", got, c.want)
			}
		})
	}
}

func vips(api, applications string) VIP {
	var v VIP
	v.API, _ = netip.ParseAddr(api)
	v.Applications, _ = netip.ParseAddr(applications)
	return v
}

func TestRouterIDsFollowFromTheAddresses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		vip               VIP
		api, applications int
	}{
		"none":                   {VIP{}, 0, 0},
		"last numbers":           {vips("10.0.0.7", "10.0.0.8"), 7, 8},
		"the same last number":   {vips("10.0.0.7", "10.0.1.7"), 7, 8},
		"zero is no id":          {vips("10.0.1.0", "10.0.2.0"), 1, 2},
		"the largest":            {vips("10.0.1.255", "10.0.2.255"), 255, 1},
		"configured":             {VIP{API: netip.MustParseAddr("10.0.0.7"), APIRouterID: 70}, 70, 0},
		"configured over there":  {VIP{API: netip.MustParseAddr("10.0.0.7"), Applications: netip.MustParseAddr("10.0.0.9"), ApplicationsRouterID: 7}, 8, 7},
		"configured, not wanted": {VIP{APIRouterID: 70}, 0, 0},
	} {
		api, applications := virtualAddresses(c.vip)
		if api.RouterID != c.api || applications.RouterID != c.applications {
			t.Errorf("%s: %d and %d, want %d and %d", name, api.RouterID, applications.RouterID, c.api, c.applications)
		}
	}
}
