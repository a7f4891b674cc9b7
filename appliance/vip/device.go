package vip

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"islet/appliance/arp"
)

// probeWait is how long answers of other machines are waited for.
const probeWait = 300 * time.Millisecond

// Link is the network as the keeper needs it.
type Link interface {
	// Has tells which of the addresses this machine has.
	Has(addresses []netip.Addr) (map[netip.Addr]bool, error)
	// Release takes the addresses off this machine.
	Release(addresses []netip.Addr) error
	// Probe asks who else has the addresses. It returns soon after ctx ends.
	Probe(ctx context.Context, addresses []netip.Addr) (arp.Answers, error)
}

// Device is the Link of a network interface.
type Device struct{ Name string }

// Has implements Link.
func (d Device) Has(addresses []netip.Addr) (map[netip.Addr]bool, error) {
	held := map[netip.Addr]bool{}
	return held, eachAddress(addresses, func(_ netlink.Addr, a netip.Addr) error {
		held[a] = true
		return nil
	})
}

// Release implements Link.
func (d Device) Release(addresses []netip.Addr) error {
	return eachAddress(addresses, func(own netlink.Addr, a netip.Addr) error {
		l, err := netlink.LinkByIndex(own.LinkIndex)
		if err == nil {
			err = netlink.AddrDel(l, &own)
		}
		if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("take %s off the machine: %w", a, err)
		}
		return nil
	})
}

// eachAddress calls do for those of the addresses that are on any interface.
func eachAddress(addresses []netip.Addr, do func(own netlink.Addr, a netip.Addr) error) error {
	all, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list the addresses of this machine: %w", err)
	}
	for _, own := range all {
		for _, a := range addresses {
			if own.IP.Equal(a.AsSlice()) {
				if err := do(own, a); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Probe implements Link.
func (d Device) Probe(ctx context.Context, addresses []netip.Addr) (arp.Answers, error) {
	return arp.Probe(ctx, d.Name, probeWait, addresses...)
}
