package config

import (
	"net/netip"
	"slices"

	"islet/appliance/host"
)

// VirtualAddress is an address that moves between the servers.
type VirtualAddress struct {
	Address  netip.Addr `json:"address"`
	RouterID int        `json:"routerID"` // of VRRP, the same on every server
}

// ApplicationsAddress is where the site's applications are: the virtual address if there is one, else this node's.
func (d Derived) ApplicationsAddress() netip.Addr {
	if d.ApplicationsVIP.Address.IsValid() {
		return d.ApplicationsVIP.Address
	}
	return d.Address
}

// placed is an address and its field.
type placed struct {
	path    string
	address netip.Addr
}

func (v VIP) addresses() []placed {
	return []placed{{"network.vip.api", v.API}, {"network.vip.applications", v.Applications}}
}

// vip judges the virtual addresses as far as the file alone shows them; Derive adds the machine.
func (j *judge) vip(c Config) {
	v, pods, services := c.Network.VIP, c.Network.PodCIDR, c.Network.ServiceCIDR
	for _, of := range v.addresses() {
		j.address(of.path, of.address, pods, services)
		if of.address.IsValid() && of.address == c.Node.Address {
			j.refuse(of.path, "choose an address that no machine has", "%s is node.address", of.address)
		}
	}
	if v.API.IsValid() && v.API == v.Applications {
		j.refuse("network.vip.applications", "choose another address, or leave one of them out", "%s is network.vip.api", v.API)
	}
	if v.APIRouterID != 0 && v.APIRouterID == v.ApplicationsRouterID {
		j.refuse("network.vip.applicationsRouterID", "choose another number", "%d is network.vip.apiRouterID", v.APIRouterID)
	}
	if v.Applications.IsValid() && c.Gateway.Bind.IsValid() {
		j.refuse("gateway.bind", "remove one of them", "the gateway would not answer at network.vip.applications %s", v.Applications)
	}
	for i, name := range v.APINames {
		path := indexed("network.vip.apiNames", i)
		switch form := formats["domain"]; {
		case !form.accepts(name):
			j.refuse(path, form.advice, "%s: %q", form.missed, name)
		case slices.Contains(v.APINames[:i], name):
			j.refuse(path, "keep one of them", "given twice: %s", name)
		}
	}
}

// virtualAddresses fills in the router ids that are not configured.
func virtualAddresses(v VIP) (api, applications VirtualAddress) {
	api = VirtualAddress{v.API, routerID(v.APIRouterID, v.API, v.ApplicationsRouterID)}
	return api, VirtualAddress{v.Applications, routerID(v.ApplicationsRouterID, v.Applications, api.RouterID)}
}

// routerID follows from the address, so that all servers agree on it and two sites on one link rarely do.
func routerID(configured int, a netip.Addr, taken int) int {
	if !a.IsValid() {
		return 0
	}
	id := configured
	if id == 0 {
		id = int(a.As4()[3])
		for id == 0 || id == taken {
			id = id%255 + 1
		}
	}
	return id
}

// virtual compares the virtual addresses with this machine, if it is one that may get them.
func (j *judge) virtual(c Config, d Derived, facts host.Facts) {
	if c.Node.Role != RoleServer {
		return
	}
	for _, v := range c.Network.VIP.addresses() {
		link, own, found := facts.Holder(v.address)
		switch n := d.NodeNetwork; {
		case !v.address.IsValid() || !n.IsValid():
		case v.address == d.Address:
			j.refuse(v.path, "choose an address that no machine has", "%s is the address of this node", v.address)
		case !n.Contains(v.address):
			j.refuse(v.path, "choose a free address of that network", "%s is not in %s, the network of this node", v.address, n)
		case v.address == n.Addr() || v.address == broadcast(n):
			j.refuse(v.path, "choose another address of that network", "%s is not for a machine: it is the first or the last of %s", v.address, n)
		case found && own.Prefix.Bits() < 32: // one that a killed daemon left behind is a /32
			j.refuse(v.path, "take it off the interface, or choose another", "%s is configured on %s", own.Prefix, link.Name)
		}
	}
}

// broadcast is the last address of an IPv4 network.
func broadcast(n netip.Prefix) netip.Addr {
	a := n.Masked().Addr().As4()
	for bit := n.Bits(); bit < 32; bit++ {
		a[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(a)
}
