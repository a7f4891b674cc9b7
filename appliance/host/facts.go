// Package host looks at the machine: what it is, what its kernel can do, and what already runs on
// it. It decides nothing. The daemon adapts to these facts, preflight judges them, and config
// derives addresses and sizes from them. It links nothing of Kubernetes.
package host

import (
	"net/netip"
	"slices"
)

// Facts is what one look at the machine found. It is a plain value: readers may keep and copy it.
type Facts struct {
	Hostname       string         `json:"hostname"`
	OS             string         `json:"os"` // PRETTY_NAME of os-release, empty when there is none
	Kernel         Kernel         `json:"kernel"`
	CPUs           int            `json:"cpus"` // those this process may be scheduled on
	MemoryBytes    int64          `json:"memoryBytes"`
	AvailableBytes int64          `json:"availableBytes"` // memory usable without swapping
	SwapBytes      int64          `json:"swapBytes"`
	Cgroup         Cgroup         `json:"cgroup"`
	Capabilities   Capabilities   `json:"capabilities"`
	UID            int            `json:"uid"`
	OpenFiles      uint64         `json:"openFiles"` // hard RLIMIT_NOFILE
	Interfaces     []Interface    `json:"interfaces"`
	DefaultRoute   *Route         `json:"defaultRoute,omitempty"` // nil: none, which is a supported base case
	Features       Features       `json:"features"`
	Virtualization Virtualization `json:"virtualization"`
	LSM            []string       `json:"lsm,omitempty"` // active security modules, such as apparmor, selinux
	// Volumes are there where somebody has asked for them: Gather measures no disks.
	Volumes []Volume `json:"-"`
}

// Route is the way out of the machine.
type Route struct {
	Interface string     `json:"interface"`
	Gateway   netip.Addr `json:"gateway"`
}

// Interface is one network link and its addresses.
type Interface struct {
	Name      string    `json:"name"`
	Index     int       `json:"index"`
	Kind      string    `json:"kind"` // the kernel's link type: device, veth, bridge, vxlan, bond, vlan ...
	MTU       int       `json:"mtu"`
	Up        bool      `json:"up"`      // administratively up
	Carrier   bool      `json:"carrier"` // a cable or peer is there
	Loopback  bool      `json:"loopback"`
	Physical  bool      `json:"physical"` // backed by a device, not made by software
	Addresses []Address `json:"addresses,omitempty"`
}

// Address is an address of an interface with the length of its network.
type Address struct {
	Prefix  netip.Prefix `json:"prefix"`
	Dynamic bool         `json:"dynamic"` // it has a lifetime: a DHCP lease or an IPv6 autoconfigured address
}

// Interface returns the link with this name.
func (f Facts) Interface(name string) (Interface, bool) {
	i := slices.IndexFunc(f.Interfaces, func(l Interface) bool { return l.Name == name })
	if i < 0 {
		return Interface{}, false
	}
	return f.Interfaces[i], true
}

// Holder returns the interface that has addr, and addr as it is configured there.
func (f Facts) Holder(addr netip.Addr) (Interface, Address, bool) {
	for _, link := range f.Interfaces {
		for _, a := range link.Addresses {
			if a.Prefix.Addr() == addr {
				return link, a, true
			}
		}
	}
	return Interface{}, Address{}, false
}
