package host

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
)

// readInterfaces lists links with their addresses over netlink, in the order of their index.
func readInterfaces(root string) ([]Interface, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	interfaces := make([]Interface, 0, len(links))
	for _, link := range links {
		attrs := link.Attrs()
		addresses, err := readAddresses(link)
		if err != nil {
			return nil, fmt.Errorf("list addresses of %s: %w", attrs.Name, err)
		}
		_, statErr := os.Stat(filepath.Join(root, "sys/class/net", attrs.Name, "device"))
		interfaces = append(interfaces, Interface{
			Name:      attrs.Name,
			Index:     attrs.Index,
			Kind:      link.Type(),
			MTU:       attrs.MTU,
			Up:        attrs.Flags&net.FlagUp != 0,
			Carrier:   attrs.Flags&net.FlagRunning != 0,
			Loopback:  attrs.Flags&net.FlagLoopback != 0,
			Physical:  statErr == nil,
			Addresses: addresses,
		})
	}
	return interfaces, nil
}

func readAddresses(link netlink.Link) ([]Address, error) {
	list, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	addresses := make([]Address, 0, len(list))
	for _, a := range list {
		prefix, ok := prefixOf(a.IPNet)
		if !ok {
			continue
		}
		// The kernel reports 0xffffffff, which netlink returns as the largest value, for "for ever".
		forever := a.ValidLft <= 0 || uint32(a.ValidLft) == 1<<32-1
		addresses = append(addresses, Address{Prefix: prefix, Dynamic: !forever})
	}
	return addresses, nil
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), ones), ok
}

// readDefaultRoute returns the preferred IPv4 default route, nil when there is none.
func readDefaultRoute() (*Route, error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var best *netlink.Route
	for i, r := range routes {
		prefix, ok := prefixOf(r.Dst)
		isDefault := r.Dst == nil || ok && prefix.Bits() == 0
		if isDefault && (best == nil || r.Priority < best.Priority) {
			best = &routes[i]
		}
	}
	if best == nil {
		return nil, nil
	}
	link, err := netlink.LinkByIndex(best.LinkIndex)
	if err != nil {
		return nil, fmt.Errorf("find the interface of the default route: %w", err)
	}
	gateway, _ := netip.AddrFromSlice(best.Gw)
	return &Route{Interface: link.Attrs().Name, Gateway: gateway.Unmap()}, nil
}
