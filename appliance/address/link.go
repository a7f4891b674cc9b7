package address

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// arrange gives the interface the addresses to keep and takes the others off it. Of several in one network the kernel speaks
// from the one that came first, the primary: that will be the first of those to keep.
func arrange(device string, keep []netip.Prefix, drop []netip.Addr) (err error) {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("look for interface %s: %w", device, err)
	}
	back, err := promote(device)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, back()) }()
	for _, p := range keep {
		if err := netlink.AddrAdd(link, addrOf(p)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("give %s the address %s: %w", device, p, err)
		}
	}
	for _, a := range drop {
		if err := take(link, a); err != nil {
			return err
		}
	}
	return prefer(link, keep)
}

// prefer takes those of the other addresses to keep off that stand before the first, and puts them behind it.
func prefer(link netlink.Link, keep []netip.Prefix) error {
	all, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list the addresses of %s: %w", link.Attrs().Name, err)
	}
	first := slices.IndexFunc(all, func(a netlink.Addr) bool { return a.IP.Equal(keep[0].Addr().AsSlice()) })
	if first < 0 || all[first].Flags&unix.IFA_F_SECONDARY == 0 {
		return nil
	}
	for _, p := range keep[1:] {
		if err := take(link, p.Addr()); err != nil {
			return err
		}
		if err := netlink.AddrAdd(link, addrOf(p)); err != nil {
			return fmt.Errorf("put %s back: %w", p, err)
		}
	}
	return nil
}

// take takes an address off the interface; one that it does not have is no error.
func take(link netlink.Link, address netip.Addr) error {
	all, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list the addresses of %s: %w", link.Attrs().Name, err)
	}
	for _, a := range all {
		if !a.IP.Equal(address.AsSlice()) {
			continue
		}
		if err := netlink.AddrDel(link, &a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("take %s off %s: %w", address, link.Attrs().Name, err)
		}
	}
	return nil
}

func addrOf(p netip.Prefix) *netlink.Addr {
	return &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}}
}

// promote has the kernel keep the other addresses of a network when the primary one goes, which by default it does not. What
// it returns puts the setting back.
func promote(device string) (back func() error, err error) {
	path := "/proc/sys/net/ipv4/conf/" + device + "/promote_secondaries"
	before, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	before = bytes.TrimSpace(before)
	if err := os.WriteFile(path, []byte("1"), 0o644); err != nil {
		return nil, fmt.Errorf("keep the addresses of %s while one goes: %w", device, err)
	}
	return func() error { return os.WriteFile(path, before, 0o644) }, nil
}
