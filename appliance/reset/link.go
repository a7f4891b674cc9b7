package reset

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Link is a network device.
type Link struct {
	Name      string         `json:"name"`
	Type      string         `json:"type"`
	Addresses []netip.Prefix `json:"addresses,omitempty"` // IPv4
}

// Route is an IPv4 route of the main table to a network that is not directly ours.
type Route struct {
	Destination netip.Prefix `json:"destination"`
	Gateway     string       `json:"gateway,omitempty"`
	Link        string       `json:"link"`
}

func (r Route) String() string {
	text := r.Destination.String()
	if r.Gateway != "" {
		text += " via " + r.Gateway
	}
	return text + " dev " + r.Link
}

func observeLinks() ([]Link, error) {
	list, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	var links []Link
	for _, l := range list {
		link := Link{Name: l.Attrs().Name, Type: l.Type()}
		addrs, err := netlink.AddrList(l, netlink.FAMILY_V4)
		if err != nil && !errors.Is(err, unix.ENODEV) { // it went away meanwhile
			return nil, fmt.Errorf("addresses of %s: %w", link.Name, err)
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.IPNet.String()); err == nil {
				link.Addresses = append(link.Addresses, p)
			}
		}
		links = append(links, link)
	}
	return links, nil
}

func observeRoutes() ([]Route, error) {
	list, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, err
	}
	var routes []Route
	for _, r := range list {
		if r.Dst == nil {
			continue
		}
		destination, err := netip.ParsePrefix(r.Dst.String())
		if err != nil {
			continue
		}
		route := Route{Destination: destination}
		if r.Gw != nil {
			route.Gateway = r.Gw.String()
		}
		if link, err := netlink.LinkByIndex(r.LinkIndex); err == nil {
			route.Link = link.Attrs().Name
		}
		routes = append(routes, route)
	}
	return routes, nil
}

// oursLink tells flannel's devices by their name and type, and the host's end of a pod by its address.
func (t Target) oursLink(l Link) bool {
	if l.Type == "vxlan" && strings.HasPrefix(l.Name, "flannel.") {
		return true
	}
	return l.Type == "veth" && slices.ContainsFunc(l.Addresses, func(p netip.Prefix) bool { return t.PodCIDR.Contains(p.Addr()) })
}

func (b builder) planLinks() {
	gone := map[string]bool{}
	for _, l := range b.now.Links {
		had := slices.ContainsFunc(b.past.Links, func(o Link) bool { return o.Name == l.Name && o.Type == l.Type })
		if had || !b.target.oursLink(l) {
			continue
		}
		gone[l.Name] = true
		b.step(phaseUndo, KindLink, l.Name, "delete "+l.Type+" device", func(context.Context) error { return deleteLink(l.Name) })
	}
	b.planAddresses()
	for _, r := range b.now.Routes {
		if gone[r.Link] || slices.Contains(b.past.Routes, r) {
			continue // a route goes with its device
		}
		if within(r.Destination, b.target.PodCIDR) || within(r.Destination, b.target.ServiceCIDR) {
			b.step(phaseUndo, KindRoute, r.String(), "delete route", func(context.Context) error { return deleteRoute(r) })
		}
	}
}

// planAddresses takes the virtual addresses off the machine, which keepalived does itself unless it is killed.
func (b builder) planAddresses() {
	for _, l := range b.now.Links {
		for _, a := range l.Addresses {
			had := slices.ContainsFunc(b.past.Links, func(o Link) bool { return o.Name == l.Name && slices.Contains(o.Addresses, a) })
			if a.Bits() == 32 && slices.Contains(b.target.VIPs[:], a.Addr()) && !had {
				b.step(phaseUndo, KindAddress, a.String()+" dev "+l.Name, "delete virtual address", func(context.Context) error { return deleteAddress(l.Name, a) })
			}
		}
	}
}

func deleteAddress(link string, a netip.Prefix) error {
	l, err := netlink.LinkByName(link)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return err
	}
	address, err := netlink.ParseAddr(a.String())
	if err != nil {
		return err
	}
	if err := netlink.AddrDel(l, address); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return err
	}
	return nil
}

func within(inner, outer netip.Prefix) bool {
	return outer.IsValid() && inner.Bits() >= outer.Bits() && outer.Contains(inner.Addr())
}

func deleteLink(name string) error {
	link, err := netlink.LinkByName(name)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
		return err
	}
	return nil
}

func deleteRoute(r Route) error {
	list, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for _, route := range list {
		if route.Dst == nil || route.Dst.String() != r.Destination.String() {
			continue
		}
		var name string // an unreachable route has no device
		if link, err := netlink.LinkByIndex(route.LinkIndex); err == nil {
			name = link.Attrs().Name
		}
		if name != r.Link {
			continue
		}
		if err := netlink.RouteDel(&route); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}
