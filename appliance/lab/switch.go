package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	bridgeName = "br0"
	hostDevice = "eth0"
)

// makeSwitch makes the lab's switch: a network namespace of its own with a bridge that hosts are plugged into. The
// machine's network namespace is not involved. The bridge has an address for clients, and forwards nowhere.
func makeSwitch(path string, rec record) error {
	return pinNetns(path, func() error {
		if err := stopForwarding(); err != nil {
			return err
		}
		handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return fmt.Errorf("open netlink: %w", err)
		}
		defer handle.Close()
		if err := setUp(handle, "lo", netip.Prefix{}); err != nil {
			return err
		}
		addr := netip.PrefixFrom(offset(rec.Subnet, 1), rec.Subnet.Bits())
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU, attrs.HardwareAddr = bridgeName, rec.MTU, macOf(addr.Addr())
		if err := handle.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return fmt.Errorf("make bridge: %w", err)
		}
		return setUp(handle, bridgeName, addr)
	})
}

// stopForwarding is for a new network namespace: it may have inherited the machine's setting.
func stopForwarding() error {
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0o644); err != nil {
		return fmt.Errorf("switch off forwarding: %w", err)
	}
	return nil
}

// setUp gives a device an address, if it is valid, and switches it on.
func setUp(handle *netlink.Handle, name string, addr netip.Prefix) error {
	link, err := handle.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	if addr.IsValid() {
		bits := net.CIDRMask(addr.Bits(), addr.Addr().BitLen())
		if err := handle.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: addr.Addr().AsSlice(), Mask: bits}}); err != nil {
			return fmt.Errorf("give %s address %s: %w", name, addr, err)
		}
	}
	if err := handle.LinkSetUp(link); err != nil {
		return fmt.Errorf("switch %s on: %w", name, err)
	}
	return nil
}

// switchHandle opens netlink in the switch. The caller closes it.
func switchHandle(path string) (*netlink.Handle, error) {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return nil, fmt.Errorf("open switch %s: %w", path, err)
	}
	defer ns.Close()
	handle, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink in switch %s: %w", path, err)
	}
	return handle, nil
}

// plug connects a new host, of which only PID 1 exists, to the switch: a veth pair whose one end is a port named after
// the host and whose other end is eth0 in the host. A cut cable stays cut.
func plug(switchPath string, rec record, host hostRecord, pid int, cut bool) error {
	handle, err := switchHandle(switchPath)
	if err != nil {
		return err
	}
	defer handle.Close()
	if err := unplug(handle, host.Name); err != nil { // of an earlier boot, if the kernel is still at it
		return err
	}
	bridge, err := handle.LinkByName(bridgeName)
	if err != nil {
		return fmt.Errorf("find bridge: %w", err)
	}
	mac, err := net.ParseMAC(host.MAC)
	if err != nil {
		return fmt.Errorf("hardware address of %s: %w", host.Name, err)
	}
	veth := netlink.NewVeth(netlink.NewLinkAttrs())
	veth.Name, veth.MTU, veth.MasterIndex = host.Name, rec.MTU, bridge.Attrs().Index
	veth.PeerName, veth.PeerHardwareAddr, veth.PeerMTU = hostDevice, mac, uint32(rec.MTU)
	veth.PeerNamespace = netlink.NsPid(pid)
	if err := handle.LinkAdd(veth); err != nil {
		return fmt.Errorf("plug %s into the switch: %w", host.Name, err)
	}
	if !cut {
		if err := setUp(handle, host.Name, netip.Prefix{}); err != nil {
			return err
		}
	}
	return configureHost(pid, netip.PrefixFrom(host.Addr, rec.Subnet.Bits()))
}

// configureHost sets up the network of a host: loopback and eth0, no route but that of the subnet.
func configureHost(pid int, addr netip.Prefix) error {
	ns, err := netns.GetFromPid(pid)
	if err != nil {
		return fmt.Errorf("open network namespace of process %d: %w", pid, err)
	}
	defer ns.Close()
	handle, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink in network namespace of process %d: %w", pid, err)
	}
	defer handle.Close()
	if err := setUp(handle, "lo", netip.Prefix{}); err != nil {
		return err
	}
	return setUp(handle, hostDevice, addr)
}

// unplug removes a host's port, and with it the host's eth0. It is no error if there is none.
func unplug(handle *netlink.Handle, port string) error {
	link, err := handle.LinkByName(port)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err == nil {
		err = handle.LinkDel(link)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove switch port %s: %w", port, err)
	}
	return nil
}

// setCable pulls or plugs in the cable of a host at the switch: the host's eth0 loses or regains its carrier. A host that
// is off has no port; its cable is seen to at its next start.
func setCable(switchPath, port string, cut bool) error {
	handle, err := switchHandle(switchPath)
	if err != nil {
		return err
	}
	defer handle.Close()
	link, err := handle.LinkByName(port)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find switch port %s: %w", port, err)
	}
	set := handle.LinkSetUp
	if cut {
		set = handle.LinkSetDown
	}
	if err := set(link); err != nil {
		return fmt.Errorf("set cable of %s: %w", port, err)
	}
	return nil
}
