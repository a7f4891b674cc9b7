package config

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// names judges labels, taints and domains.
func (j *judge) names(c Config) {
	for _, key := range slices.Sorted(maps.Keys(c.Node.Labels)) {
		path := "node.labels[" + key + "]"
		switch value := c.Node.Labels[key]; {
		case !isLabelKey(key):
			j.refuse(path, "use an optional DNS prefix and a name, such as example.com/rack", "not a label key: %q", key)
		case !isLabelValue(value):
			j.refuse(path, "use at most 63 letters, digits, dashes, dots and underscores", "not a label value: %q", value)
		case key == "topology.kubernetes.io/zone":
			j.refuse(path, "set site.zone instead", "set by the platform")
		case reservedLabel(key):
			j.refuse(path, "use a prefix of your own, such as example.com/rack", "the kubelet may not set labels of kubernetes.io and k8s.io")
		}
	}
	for i, taint := range c.Node.Taints {
		if slices.Contains(c.Node.Taints[:i], taint) {
			j.refuse(indexed("node.taints", i), "keep one of them", "given twice: %q", taint)
		}
	}
	domain, cluster := c.Gateway.Domain, c.Network.ClusterDomain
	if domain != "" && (domain == cluster || strings.HasSuffix(domain, "."+cluster)) {
		j.refuse("gateway.domain", "use a domain of the site, such as apps.site.internal", "inside network.clusterDomain %s, which only answers for services", cluster)
	}
	if strings.HasSuffix(domain, ".local") {
		j.warn("gateway.domain", "prefer .internal, which is reserved for private use", ".local belongs to multicast DNS: some clients will not ask a DNS server for it")
	}
	if c.Security.PodSecurity == PodSecurityPrivileged {
		j.warn("security.podSecurity", "use baseline, and privileged on the few namespaces that need it", "pods may take over the machine")
	}
}

// reservedLabel follows the kubelet, which refuses to start with labels of the Kubernetes domains
// but for those under node.kubernetes.io and kubelet.kubernetes.io, and the region
// (k8s.io/kubernetes/pkg/kubelet/apis/well_known_labels.go).
func reservedLabel(key string) bool {
	prefix, _, found := strings.Cut(key, "/")
	if !found || key == "topology.kubernetes.io/region" {
		return false
	}
	within := func(domain string) bool { return prefix == domain || strings.HasSuffix(prefix, "."+domain) }
	if within("node.kubernetes.io") || within("kubelet.kubernetes.io") {
		return false
	}
	return within("kubernetes.io") || within("k8s.io")
}

// network judges the addressing plan as far as the file alone shows it; Derive adds the machine.
func (j *judge) network(c Config) {
	pods, services := c.Network.PodCIDR, c.Network.ServiceCIDR
	// The controller manager gives each node a /24 and refuses more than 16 bits of nodes.
	podsOK := j.cidr("network.podCIDR", pods, 8, 24)
	// The API server refuses more than 20 bits; the tenth address has to exist for the cluster DNS.
	servicesOK := j.cidr("network.serviceCIDR", services, 12, 28)
	if podsOK && servicesOK && pods.Overlaps(services) {
		j.refuse("network.serviceCIDR", "choose networks that share no address", "%s overlaps with network.podCIDR %s", services, pods)
	}
	if podsOK && pods.Bits() > 22 {
		j.warn("network.podCIDR", "it cannot be enlarged later; a /16 has room for 256 nodes", "%s has room for %d nodes only", pods, 1<<(24-pods.Bits()))
	}
	j.address("node.address", c.Node.Address, pods, services)
	j.address("gateway.bind", c.Gateway.Bind, pods, services)
	for i, server := range c.Network.DNS {
		path := indexed("network.dns", i)
		switch {
		case !server.IsValid():
			j.refuse(path, "fill it in or remove the line", "empty")
		case slices.Contains(c.Network.DNS[:i], server):
			j.refuse(path, "keep one of them", "given twice: %s", server)
		default:
			j.address(path, server, pods, services)
		}
	}
}

// cidr judges one network of the cluster; the bits are the largest and smallest size allowed.
func (j *judge) cidr(path string, p netip.Prefix, largest, smallest int) bool {
	switch private := netip.MustParsePrefix; {
	case !p.IsValid():
		return false // reported as empty
	case !p.Addr().Is4():
		j.refuse(path, "use an IPv4 network, such as 10.42.0.0/16", "%s is not IPv4, and IPv6 is not supported yet", p)
	case p != p.Masked():
		j.refuse(path, "write "+p.Masked().String(), "%s has bits set after its first %d", p, p.Bits())
	case p.Bits() < largest:
		j.refuse(path, "use /"+itoa(largest)+" to /"+itoa(smallest), "%s is too large", p)
	case p.Bits() > smallest:
		j.refuse(path, "use /"+itoa(largest)+" to /"+itoa(smallest), "%s is too small", p)
	case !p.Addr().IsPrivate() && !private("100.64.0.0/10").Contains(p.Addr()) && !private("198.18.0.0/15").Contains(p.Addr()):
		j.warn(path, "prefer a part of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16", "%s is not a private network: real hosts there become unreachable", p)
		return true
	default:
		return true
	}
	return false
}

// address judges an optional address of this machine or its surroundings.
func (j *judge) address(path string, a netip.Addr, pods, services netip.Prefix) {
	switch {
	case !a.IsValid():
	case !a.Is4():
		j.refuse(path, "use an IPv4 address", "%s is not IPv4, and IPv6 is not supported yet", a)
	case a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		j.refuse(path, "use an address of one machine", "%s is not the address of a machine", a)
	case a.IsLoopback():
		j.refuse(path, "use an address that others can reach", "%s is a loopback address: it means another machine to everyone else", a)
	case pods.IsValid() && pods.Contains(a):
		j.refuse(path, "change one of them", "%s is inside network.podCIDR %s", a, pods)
	case services.IsValid() && services.Contains(a):
		j.refuse(path, "change one of them", "%s is inside network.serviceCIDR %s", a, services)
	}
}
