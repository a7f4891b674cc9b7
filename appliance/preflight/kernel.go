package preflight

import (
	"strings"

	"islet/appliance/config"
	"islet/appliance/host"
)

// kernelChecks ask what the kernel can do and what this process may ask of it.
func kernelChecks(in Input) []Check {
	f := in.Facts.Features
	no := func(id, title string, support host.Support, status Status, advice string) Check {
		return check[host.Support]{id: id, title: title, probe: known(support), judge: judgeFeature(status, advice)}
	}
	vxlan := Warned
	if in.Config.Network.Backend == config.BackendVXLAN {
		vxlan = Failed
	}
	return []Check{
		check[host.Kernel]{id: "kernel", title: "Kernel version", probe: known(in.Facts.Kernel), judge: judgeKernel},
		check[host.Cgroup]{id: "cgroup", title: "Control groups", probe: known(in.Facts.Cgroup), judge: judgeCgroup},
		check[host.Capabilities]{id: "capabilities", title: "Capabilities", probe: known(in.Facts.Capabilities), judge: judgeCapabilities},
		no("kernel-overlay", "Kernel: overlay filesystem", f.Overlay, Failed, "containers need it: modprobe overlay, or boot a kernel with CONFIG_OVERLAY_FS"),
		no("kernel-veth", "Kernel: veth", f.Veth, Failed, "pods need it: modprobe veth, or boot a kernel with CONFIG_VETH"),
		no("kernel-bridge", "Kernel: bridge", f.Bridge, Failed, "pods need it: modprobe bridge, or boot a kernel with CONFIG_BRIDGE"),
		no("kernel-nftables", "Kernel: nftables with NAT", both(f.NFTables, f.NFTablesNAT), Failed, "services need it: modprobe nf_tables nft_chain_nat nft_masq nft_fib_ipv4 nft_numgen, or boot a kernel that has them"),
		no("kernel-conntrack", "Kernel: connection tracking", f.Conntrack, Failed, "services need it: modprobe nf_conntrack"),
		no("kernel-ipset", "Kernel: ip sets", f.IPSet, Warned, "network policies cannot be enforced without: modprobe ip_set"),
		no("kernel-vxlan", "Kernel: vxlan", f.VXLAN, vxlan, "nodes must share one link without it, and backend auto becomes host-gw: modprobe vxlan to lift that"),
		no("kernel-br-netfilter", "Kernel: filtering of bridged packets", f.BrNetfilter, Warned, "a pod may not reach a service whose pod is on the same node: modprobe br_netfilter"),
		check[[]string]{id: "lsm", title: "Security modules", probe: known(in.Facts.LSM), judge: judgeLSM},
	}
}

func judgeFeature(otherwise Status, advice string) func(host.Support) verdict {
	return func(s host.Support) verdict {
		v := verdict{status: Passed, found: string(s), threshold: "yes"}
		switch s {
		case host.Yes:
		case host.No:
			v.status, v.advice = otherwise, advice
		default:
			v.status, v.advice = Warned, "it could not be tried; run appliance preflight as root"
		}
		return v
	}
}

func both(a, b host.Support) host.Support {
	switch {
	case a == host.No || b == host.No:
		return host.No
	case a == host.Yes && b == host.Yes:
		return host.Yes
	default:
		return host.Unknown
	}
}

// judgeKernel: kube-proxy's nftables mode wants 5.13.
func judgeKernel(k host.Kernel) verdict {
	v := verdict{status: Passed, found: k.Release, threshold: "5.13 or newer"}
	if !k.AtLeast(5, 13) {
		v.status, v.advice = Failed, "services need nftables of Linux 5.13: install a newer kernel of the distribution"
	}
	return v
}

// judgeCgroup: without one of these controllers the kubelet refuses to start.
func judgeCgroup(c host.Cgroup) verdict {
	v := verdict{status: Passed, found: string(c.Mode), threshold: "v2 with cpu, cpuset, memory and pids"}
	missing := c.Missing("cpu", "cpuset", "memory", "pids")
	switch {
	case c.Mode == host.CgroupNone:
		v.status, v.found, v.advice = Failed, "none are mounted", "mount -t cgroup2 none /sys/fs/cgroup"
	case c.ReadOnly:
		v.status, v.found, v.advice = Failed, v.found+", mounted read-only", "mount them writable; in a container it has to be a privileged one"
	case len(missing) > 0:
		v.status, v.found = Failed, v.found+" without "+strings.Join(missing, ", ")
		v.advice = "remove cgroup_disable from the kernel command line, and add cgroup_enable=memory where the distribution switches it off"
	case !c.Unified():
		v.status = Warned
		v.advice = "the platform adapts, but a coming Kubernetes will refuse cgroup v1: boot with systemd.unified_cgroup_hierarchy=1 before that upgrade"
	}
	return v
}

// judgeCapabilities: without CAP_SYS_RESOURCE the platform lets containers keep their OOM score.
func judgeCapabilities(c host.Capabilities) verdict {
	v := verdict{status: Passed, found: "all that are needed", threshold: "CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_SYS_RESOURCE"}
	var missing []string
	for _, need := range []struct {
		number int
		name   string
	}{{host.CapSysAdmin, "CAP_SYS_ADMIN"}, {host.CapNetAdmin, "CAP_NET_ADMIN"}} {
		if !c.Has(need.number) {
			missing = append(missing, need.name)
		}
	}
	switch {
	case len(missing) > 0:
		v.status, v.found, v.advice = Failed, "without "+strings.Join(missing, ", "), "run as root, outside of containers or in a privileged one"
	case !c.Has(host.CapSysResource):
		v.status, v.found = Warned, "without CAP_SYS_RESOURCE"
		v.advice = "the platform adapts: containers keep the OOM score they start with, so under memory pressure the kernel chooses less well"
	}
	return v
}

func judgeLSM(modules []string) verdict {
	if len(modules) == 0 {
		return verdict{status: Info, found: "none visible"}
	}
	return verdict{status: Info, found: strings.Join(modules, ", ")}
}
