package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

// ensureHost makes the machine forward packets, and gives it a route to service addresses: without
// a default route a service address would be unreachable before kube-proxy's rules ever see it. The
// route points at loopback; the rules rewrite the destination and the kernel routes again. Another
// route keeps what is meant for pods that are gone inside.
func (c Config) ensureHost(device *net.Interface) error {
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("enable forwarding: %w", err)
	}
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	route := &netlink.Route{
		LinkIndex: loopback.Attrs().Index,
		Dst:       &net.IPNet{IP: c.ServiceCIDR.Addr().AsSlice(), Mask: net.CIDRMask(c.ServiceCIDR.Bits(), 32)},
		Src:       c.Address.AsSlice(),
		Scope:     netlink.SCOPE_HOST,
	}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("add route to %s: %w", c.ServiceCIDR, err)
	}
	// Each pod has a route of its own, and takes it along. What is still sent to its address must end
	// here, with an answer, and not leave by the site's default route.
	gone := &netlink.Route{
		Type: unix.RTN_UNREACHABLE,
		Dst:  &net.IPNet{IP: c.PodCIDR.Addr().AsSlice(), Mask: net.CIDRMask(c.PodCIDR.Bits(), 32)},
	}
	if err := netlink.RouteReplace(gone); err != nil {
		return fmt.Errorf("add unreachable route for %s: %w", c.PodCIDR, err)
	}
	return nil
}

// keepHost restores what someone else may undo: a network manager that flushes routes, a pulled and
// replugged cable.
func (c Config) keepHost(ctx context.Context, device *net.Interface) error {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		// The source address of the route is gone while the interface is down.
		if err := c.ensureHost(device); err != nil && !errors.Is(err, syscall.EINVAL) {
			klog.ErrorS(err, "Host network settings not restored")
		}
	}
}
