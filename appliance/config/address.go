package config

import (
	"net/netip"
	"strings"

	"islet/appliance/host"
)

// candidate is an address this node could be known by.
type candidate struct {
	link    host.Interface
	address netip.Prefix
}

// nodeAddress takes the configured address, or finds the one that is beyond doubt: that of the
// default route's interface, else the only one on a physical interface, else the only one.
// It never guesses between several: a wrong choice is in certificates and peers from then on.
func (j *judge) nodeAddress(c Config, facts host.Facts) (host.Interface, netip.Prefix) {
	if want := c.Node.Address; want.IsValid() {
		link, address, found := facts.Holder(want)
		if !found {
			j.refuse("node.address", "correct it, or configure the interface first; this machine has "+listed(candidates(facts)), "no interface has the address %s", want)
		}
		return link, address.Prefix
	}
	all := candidates(facts)
	narrowed := all
	if route := facts.DefaultRoute; route != nil {
		if via := filter(all, func(c candidate) bool { return c.link.Name == route.Interface }); len(via) > 0 {
			return via[0].link, via[0].address
		}
	}
	if physical := filter(all, func(c candidate) bool { return c.link.Physical }); len(physical) > 0 {
		narrowed = physical
	}
	switch {
	case len(narrowed) == 0:
		j.refuse("node.address", "give an interface a static IPv4 address", "this machine has no address that other nodes could reach")
		return host.Interface{}, netip.Prefix{}
	case !sameLink(narrowed):
		j.refuse("node.address", "set node.address to one of them", "this machine has several addresses and no default route: %s", listed(narrowed))
	}
	return narrowed[0].link, narrowed[0].address
}

// candidates are the IPv4 addresses of interfaces that are up and not made by container networks.
// A /32 is left out: it is a virtual address that moves between machines.
func candidates(facts host.Facts) []candidate {
	var all []candidate
	for _, link := range facts.Interfaces {
		if !link.Up || link.Loopback || ownLink(link) || foreignLink(link) {
			continue
		}
		for _, a := range link.Addresses {
			if addr := a.Prefix.Addr(); addr.Is4() && addr.IsGlobalUnicast() && a.Prefix.Bits() < 32 {
				all = append(all, candidate{link, a.Prefix})
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

func sameLink(list []candidate) bool {
	return len(filter(list, func(c candidate) bool { return c.link.Index != list[0].link.Index })) == 0
}

func filter(list []candidate, keep func(candidate) bool) []candidate {
	var kept []candidate
	for _, c := range list {
		if keep(c) {
			kept = append(kept, c)
		}
	}
	return kept
}

func listed(list []candidate) string {
	if len(list) == 0 {
		return "none"
	}
	names := make([]string, len(list))
	for i, c := range list {
		names[i] = c.address.Addr().String() + " (" + c.link.Name + ")"
	}
	return strings.Join(names, ", ")
}
