package config

import (
	"net/netip"
	"strings"

	"islet/appliance/host"
)

// VXLANOverhead is what encapsulation takes of a link's MTU over IPv4: 14 Ethernet, 20 IP, 8 UDP, 8 VXLAN.
const VXLANOverhead = 50

// Derived is what follows from the configuration and the machine together. Everything that needs a
// node name, an address or an MTU takes it from here.
type Derived struct {
	NodeName         string       `json:"nodeName"`
	Address          netip.Addr   `json:"address"`
	Interface        string       `json:"interface"`     // that has Address
	NodeNetwork      netip.Prefix `json:"nodeNetwork"`   // of Address on Interface
	Backend          Backend      `json:"backend"`       // host-gw or vxlan
	DirectRouting    bool         `json:"directRouting"` // with vxlan: no encapsulation between nodes on one link
	MTU              int          `json:"mtu"`           // of pods, in bytes
	APIServerAddress netip.Addr   `json:"apiServerAddress"`
	ClusterDNS       netip.Addr   `json:"clusterDNS"`
	Domain           string       `json:"domain"` // of applications

	APIVIP          VirtualAddress `json:"apiVIP"`          // zero when there is none
	ApplicationsVIP VirtualAddress `json:"applicationsVIP"` // the same
}

// Derive is pure: the same configuration and facts give the same result on every start. The
// configuration must be valid. The error is of type Problems.
func Derive(c Config, facts host.Facts) (Derived, error) {
	d := Derived{
		APIServerAddress: nth(c.Network.ServiceCIDR, 1),
		ClusterDNS:       nth(c.Network.ServiceCIDR, 10),
		Domain:           c.Gateway.Domain,
	}
	if d.Domain == "" {
		d.Domain = "apps." + c.Site.Name + ".internal"
	}
	j := &judge{}
	d.NodeName = j.nodeName(c, facts)
	link, address := j.nodeAddress(c, facts)
	d.Interface, d.Address, d.NodeNetwork = link.Name, address.Addr(), address.Masked()
	d.Backend, d.DirectRouting = j.backend(c, facts)
	d.MTU = j.mtu(c, d.Backend, link)
	d.APIVIP, d.ApplicationsVIP = virtualAddresses(c.Network.VIP)
	j.overlaps(c, facts)
	j.reserved(c, facts)
	j.virtual(c, d, facts)
	return d, j.problems.orNil()
}

func (j *judge) nodeName(c Config, facts host.Facts) string {
	if c.Node.Name != "" {
		return c.Node.Name
	}
	name, _, _ := strings.Cut(strings.ToLower(facts.Hostname), ".")
	if !isLabel(name) || name == "localhost" {
		j.refuse("node.name", "set node.name, or give the machine a hostname", "the hostname %q cannot be the name of a node", facts.Hostname)
	}
	return name
}

// backend chooses what works between any two nodes, now and after more have joined.
func (j *judge) backend(c Config, facts host.Facts) (_ Backend, direct bool) {
	switch hasVXLAN := facts.Features.VXLAN != host.No; {
	case c.Network.Backend == BackendHostGW, c.Network.Backend == BackendAuto && !hasVXLAN:
		return BackendHostGW, false
	case c.Network.Backend == BackendVXLAN && !hasVXLAN:
		j.refuse("network.backend", "use auto or host-gw, and keep all nodes on one link", "this kernel has no vxlan")
	}
	return BackendVXLAN, c.Network.Backend == BackendAuto
}

func (j *judge) mtu(c Config, backend Backend, link host.Interface) int {
	largest := link.MTU
	if backend == BackendVXLAN {
		largest -= VXLANOverhead
	}
	if c.Network.MTU == 0 {
		return largest
	}
	if link.MTU > 0 && c.Network.MTU > largest {
		j.refuse("network.mtu", "use at most "+itoa(largest)+", or 0 to derive it", "%d does not fit through %s, whose MTU is %d", c.Network.MTU, link.Name, link.MTU)
	}
	return c.Network.MTU
}

// overlaps compares the cluster's networks with every network this machine is on.
func (j *judge) overlaps(c Config, facts host.Facts) {
	cluster := []struct {
		path   string
		prefix netip.Prefix
	}{{"network.podCIDR", c.Network.PodCIDR}, {"network.serviceCIDR", c.Network.ServiceCIDR}}
	for _, link := range facts.Interfaces {
		if ownLink(link) {
			continue
		}
		for _, a := range link.Addresses {
			for _, n := range cluster {
				if n.prefix.Overlaps(a.Prefix.Masked()) {
					j.refuse(n.path, "choose a network that the site does not use", "%s overlaps with %s of interface %s", n.prefix, a.Prefix, link.Name)
				}
			}
		}
	}
}

// reserved compares what is kept from pods with what the machine has.
func (j *judge) reserved(c Config, facts host.Facts) {
	k := c.Kubelet
	memory := k.SystemReserved.Memory + k.KubeReserved.Memory + k.Eviction.Memory
	if facts.MemoryBytes > 0 && int64(memory) >= facts.MemoryBytes {
		j.refuse("kubelet.kubeReserved.memory", "reserve less, or add memory", "reserved memory and the eviction threshold add up to %s of the machine's %s", memory, Size(facts.MemoryBytes))
	}
	cpu := k.SystemReserved.CPU + k.KubeReserved.CPU
	if facts.CPUs > 0 && cpu >= CPU(facts.CPUs*1000) {
		j.refuse("kubelet.kubeReserved.cpu", "reserve less, or add processors", "reserved processor time adds up to %s of the machine's %s", cpu, CPU(facts.CPUs*1000))
	}
}

// nth returns the n-th address after the first of a network.
func nth(p netip.Prefix, n int) netip.Addr {
	addr := p.Masked().Addr()
	for range n {
		addr = addr.Next()
	}
	return addr
}
