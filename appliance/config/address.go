package config

import (
	"net/netip"
	"strings"

	"islet/appliance/host"
)

// Candidate is an address this node could be known by.
type Candidate struct {
	Link    host.Interface
	Address netip.Prefix
	Dynamic bool // a lease, which may end
}

// nodeAddress takes the configured address, or finds the one that is beyond doubt: that of the
// default route's interface, else the only one on a physical interface, else the only one.
// It never guesses between several: a wrong choice is in certificates and peers from then on.
func (j *judge) nodeAddress(c Config, facts host.Facts) (host.Interface, netip.Prefix) {
	if want := c.Node.Address; want.IsValid() {
		link, address, found := facts.Holder(want)
		if !found {
			j.refuse("node.address", "correct it, or configure the interface first; this machine has "+listed(Candidates(facts)), "no interface has the address %s", want)
		}
		return link, address.Prefix
	}
	all := Candidates(facts)
	narrowed := all
	if route := facts.DefaultRoute; route != nil {
		if via := filter(all, func(c Candidate) bool { return c.Link.Name == route.Interface }); len(via) > 0 {
			return via[0].Link, via[0].Address
		}
	}
	if physical := filter(all, func(c Candidate) bool { return c.Link.Physical }); len(physical) > 0 {
		narrowed = physical
	}
	switch {
	case len(narrowed) == 0:
		j.refuse("node.address", "give an interface a static IPv4 address", "this machine has no address that other nodes could reach")
		return host.Interface{}, netip.Prefix{}
	case !sameLink(narrowed):
		j.refuse("node.address", "set node.address to one of them", "this machine has several addresses and no default route: %s", listed(narrowed))
	}
	return narrowed[0].Link, narrowed[0].Address
}

// Candidates are the IPv4 addresses of interfaces that are up and not made by container networks.
// A /32 is left out: it is a virtual address that moves between machines.
func Candidates(facts host.Facts) []Candidate {
	var all []Candidate
	for _, link := range facts.Interfaces {
		if !link.Up || link.Loopback || ownLink(link) || foreignLink(link) {
			continue
		}
		for _, a := range link.Addresses {
			if addr := a.Prefix.Addr(); addr.Is4() && addr.IsGlobalUnicast() && a.Prefix.Bits() < 32 {
				all = append(all, Candidate{link, a.Prefix, a.Dynamic})
			}
		}
	}
	return all
}

// ownLink tells the interfaces that the platform's own network makes.
func ownLink(link host.Interface) bool {
	return strings.HasPrefix(link.Name, "flannel") || link.Name == "cni0" || link.Kind == "veth" && strings.HasPrefix(link.Name, "veth")
}

// foreignLink tells the bridges of container and virtual machine software.
func foreignLink(link host.Interface) bool {
	for _, prefix := range []string{"docker", "br-", "virbr", "lxcbr", "lxdbr", "podman", "cali", "kube-"} {
		if strings.HasPrefix(link.Name, prefix) {
			return true
		}
	}
	return false
}

func sameLink(list []Candidate) bool {
	return len(filter(list, func(c Candidate) bool { return c.Link.Index != list[0].Link.Index })) == 0
}

func filter(list []Candidate, keep func(Candidate) bool) []Candidate {
	var kept []Candidate
	for _, c := range list {
		if keep(c) {
			kept = append(kept, c)
		}
	}
	return kept
}

func listed(list []Candidate) string {
	if len(list) == 0 {
		return "none"
	}
	names := make([]string, len(list))
	for i, c := range list {
		names[i] = c.Address.Addr().String() + " (" + c.Link.Name + ")"
	}
	return strings.Join(names, ", ")
}
