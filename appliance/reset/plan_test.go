package reset

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"islet/appliance/layout"
	"islet/systemd"
)

func testTarget() Target {
	return Target{
		NodeName: "node1", Layout: layout.Default(), Storage: "/var/lib/appliance/storage",
		PodCIDR: netip.MustParsePrefix("10.42.0.0/16"), ServiceCIDR: netip.MustParsePrefix("10.43.0.0/16"),
		VIPs: [2]netip.Addr{netip.MustParseAddr("192.0.2.100")},
	}
}

// here makes the paths of a state.
func here(paths ...string) map[string]Path {
	all := map[string]Path{}
	for _, p := range paths {
		dir, entries, _ := strings.Cut(p, ":")
		all[dir] = Path{Exists: true, Entries: strings.Fields(entries)}
	}
	return all
}

// TestBuild checks what a reset does (kind and object) and what it keeps, for a state before and a state now.
func TestBuild(t *testing.T) {
	t.Parallel()
	prefix := netip.MustParsePrefix
	for name, c := range map[string]struct {
		lost        bool // there is no journal
		before, now State
		target      func(*Target)
		options     Options
		want, kept  []string
	}{
		"nothing is left": {},
		"pods and programs end before the shims": {
			now:  State{Groups: []string{"appliance", "kubepods"}},
			want: []string{"process /appliance", "process /kubepods", "process /appliance/shims", "cgroup /appliance", "cgroup /kubepods"},
		},
		"another kubelet's pods": {
			before: State{Groups: []string{"kubepods"}}, now: State{Groups: []string{"kubepods"}},
			kept: []string{"control group /kubepods"},
		},
		"mounts go newest first, others' stay": {
			before: State{Mounts: []Mount{{Point: "/"}, {Point: "/var/lib/appliance", Type: "ext4"}, {Point: "/run/netns/cni-old", Type: "nsfs"}}},
			now: State{Mounts: []Mount{
				{Point: "/"},
				{Point: "/var/lib/appliance", Type: "ext4"},
				{Point: "/run/netns/cni-old", Type: "nsfs"},
				{Point: "/var/lib/appliance/kubelet/pods/1/volumes/a", Type: "tmpfs"},
				{Point: "/var/lib/appliance/kubelet/pods/1/volumes/a/sub", Type: "ext4"},
				{Point: "/run/appliance/containerd/x/rootfs", Type: "overlay"},
				{Point: "/run/netns/cni-1", Type: "nsfs"},
				{Point: "/run/netns/vpn", Type: "nsfs"},
				{Point: "/var/lib/appliance/storage", Type: "xfs", Source: "/dev/sdb1"},
				{Point: "/srv/data", Type: "xfs"},
			}},
			want: []string{
				"namespace /run/netns/cni-1", "mount /run/appliance/containerd/x/rootfs",
				"mount /var/lib/appliance/kubelet/pods/1/volumes/a/sub", "mount /var/lib/appliance/kubelet/pods/1/volumes/a",
			},
			kept: []string{"/var/lib/appliance/storage"},
		},
		"devices and routes": {
			before: State{
				Links:  []Link{{Name: "eth0", Type: "device"}, {Name: "flannel.9", Type: "vxlan"}},
				Routes: []Route{{Destination: prefix("10.42.200.0/24"), Gateway: "10.0.0.1", Link: "eth0"}},
			},
			now: State{
				Links: []Link{
					{Name: "eth0", Type: "device", Addresses: []netip.Prefix{prefix("10.42.1.1/24")}},
					{Name: "flannel.9", Type: "vxlan"}, {Name: "flannel.1", Type: "vxlan"}, {Name: "flannel.2", Type: "dummy"},
					{Name: "veth1", Type: "veth", Addresses: []netip.Prefix{prefix("10.42.0.1/32")}},
					{Name: "veth2", Type: "veth", Addresses: []netip.Prefix{prefix("172.17.0.1/32")}},
					{Name: "veth3", Type: "veth"},
				},
				Routes: []Route{
					{Destination: prefix("10.42.200.0/24"), Gateway: "10.0.0.1", Link: "eth0"},
					{Destination: prefix("10.42.0.2/32"), Link: "veth1"},
					{Destination: prefix("10.42.3.0/24"), Gateway: "10.0.0.3", Link: "eth0"},
					{Destination: prefix("10.43.0.0/16"), Link: "lo"},
					{Destination: prefix("10.0.0.0/8"), Link: "eth0"},
				},
			},
			want: []string{"link flannel.1", "link veth1", "route 10.42.3.0/24 via 10.0.0.3 dev eth0", "route 10.43.0.0/16 dev lo"},
		},
		"virtual addresses that a killed program left behind": {
			before: State{Links: []Link{{Name: "eth0", Addresses: []netip.Prefix{prefix("192.0.2.2/24")}}}},
			now: State{Links: []Link{
				{Name: "eth0", Addresses: []netip.Prefix{prefix("192.0.2.2/24"), prefix("192.0.2.100/32"), prefix("192.0.2.101/32")}},
				{Name: "eth1", Addresses: []netip.Prefix{prefix("192.0.2.100/24")}},
			}},
			want: []string{"address 192.0.2.100/32 dev eth0"},
		},
		"virtual address that was there before": {
			before: State{Links: []Link{{Name: "eth0", Addresses: []netip.Prefix{prefix("192.0.2.100/32")}}}},
			now:    State{Links: []Link{{Name: "eth0", Addresses: []netip.Prefix{prefix("192.0.2.100/32")}}}},
		},
		"tables of ours, of others, and shared ones": {
			before: State{Tables: []Table{{Family: unix.NFPROTO_IPV6, Name: "kube-proxy"}, {Family: unix.NFPROTO_IPV4, Name: "nat", Chains: []Chain{{Name: "KUBE-OLD"}}}}},
			now: State{Tables: []Table{
				{Family: unix.NFPROTO_IPV4, Name: "kube-proxy"},
				{Family: unix.NFPROTO_IPV6, Name: "kube-proxy"},
				{Family: unix.NFPROTO_INET, Name: "filter", Chains: []Chain{{Name: "KUBE-X"}}},
				{Family: unix.NFPROTO_IPV4, Name: "firewall"},
				{Family: unix.NFPROTO_IPV4, Name: "mangle", Chains: []Chain{{Name: "KUBE-KUBELET-CANARY"}, {Name: "OUTPUT", Base: true, Jumps: []Jump{{1, "KUBE-KUBELET-CANARY"}}}}},
				{Family: unix.NFPROTO_IPV6, Name: "mangle", Chains: []Chain{{Name: "KUBE-HINT"}, {Name: "INPUT", Base: true, Drop: true}}},
				{Family: unix.NFPROTO_IPV4, Name: "filter", Chains: []Chain{{Name: "KUBE-FORWARD"}, {Name: "FORWARD", Base: true, Others: 1, Jumps: []Jump{{7, "KUBE-FORWARD"}}}}},
				{Family: unix.NFPROTO_IPV6, Name: "filter", Chains: []Chain{{Name: "FORWARD", Base: true, Others: 1}}},
				{Family: unix.NFPROTO_IPV4, Name: "nat", Chains: []Chain{{Name: "KUBE-OLD"}}},
			}},
			want: []string{"nftables ip kube-proxy", "nftables ip mangle", "nftables ip6 mangle", "nftables ip filter"},
			kept: []string{"nftables table ip6 kube-proxy"},
		},
		"ip sets": {
			before: State{Sets: []string{"KUBE-OLD"}}, now: State{Sets: []string{"KUBE-OLD", "KUBE-DST-1", "inet6:KUBE-SRC-1", "TMP-1", "blocklist"}},
			want: []string{"ipset KUBE-DST-1", "ipset inet6:KUBE-SRC-1", "ipset TMP-1"},
		},
		"settings that we change go back, forwarding first": {
			before: State{Settings: map[string]string{"net/ipv4/conf/all/forwarding": "0", "net/ipv4/ip_forward": "0", "kernel/panic": "10", "net/ipv4/conf/gone/forwarding": "0", "net/ipv4/other": "1"}},
			now:    State{Settings: map[string]string{"net/ipv4/conf/all/forwarding": "1", "net/ipv4/ip_forward": "1", "kernel/panic": "10", "net/ipv4/other": "2"}},
			want:   []string{"setting net/ipv4/ip_forward", "setting net/ipv4/conf/all/forwarding"},
		},
		"files in shared directories": {
			before: State{Paths: here("/etc/cni", "/var/lib/cni/results:islet-old", "/run/containerd")},
			now: State{
				Paths: here("/etc/cni", "/etc/cni/net.d", "/etc/cni/net.d/00-islet.conflist", "/run/containerd", "/run/containerd/s:a",
					"/var/lib/cni/results:islet-old islet-1 lo-1 lo-2 other-1", "/var/log/containers:ours.log theirs.log",
					"/run/netns:cni-1 cni-2 vpn", "/run/containerd/runc/k8s.io", systemd.LinkPath),
				Results: map[string]Result{
					"/var/lib/cni/results/islet-old": {Network: "islet"}, "/var/lib/cni/results/islet-1": {Network: "islet"},
					"/var/lib/cni/results/lo-1": {Network: "cni-loopback", Netns: "/var/run/netns/cni-1"}, "/var/lib/cni/results/lo-2": {Network: "cni-loopback", Netns: "/proc/1/ns/net"},
					"/var/lib/cni/results/other-1": {Network: "bridge"},
				},
				LogLinks: map[string]string{"/var/log/containers/ours.log": "/var/lib/appliance/logs/pods/a/0.log", "/var/log/containers/theirs.log": "/var/log/pods/b/0.log"},
				Mounts:   []Mount{{Point: "/run/netns/cni-2", Type: "nsfs"}},
			},
			want: []string{
				"namespace /run/netns/cni-2",
				"file /etc/cni/net.d/00-islet.conflist", "file " + systemd.LinkPath, "file /run/netns/cni-1",
				"file /var/lib/cni/results/islet-1", "file /var/lib/cni/results/lo-1", "file /var/log/containers/ours.log", "file /run/containerd/s/a",
				"file /run/containerd/runc/k8s.io",
				"directory /etc/cni/net.d", "directory /var/log/containers", "directory /run/containerd/s", "directory /run/netns",
			},
		},
		"own directories, the journal and the lock last": {
			now: State{Paths: here("/var/lib/appliance:engines journal storage", "/var/lib/appliance/storage:pvc-1", "/run/appliance:api.sock server.lock",
				"/etc/appliance:config.yaml trust.d", systemd.Executable)},
			want: []string{
				"file /var/lib/appliance/storage/pvc-1", "file /var/lib/appliance/engines", "file /run/appliance/api.sock",
				"directory /var/lib/appliance/storage", "file /etc/appliance/config.yaml", "file /etc/appliance/trust.d", "directory /etc/appliance",
				"file " + systemd.Executable, "file /var/lib/appliance/journal", "directory /var/lib/appliance",
				"file /run/appliance/server.lock", "directory /run/appliance",
			},
		},
		"what was in our directories before stays": {
			before: State{Paths: here("/var/lib/appliance:lost+found", "/etc/appliance:config.yaml", systemd.Executable)},
			now:    State{Paths: here("/var/lib/appliance:journal lost+found", "/etc/appliance:admin.kubeconfig config.yaml", systemd.Executable)},
			want:   []string{"file /etc/appliance/admin.kubeconfig", "file /var/lib/appliance/journal"},
			kept:   []string{"/var/lib/appliance/lost+found", "/etc/appliance/config.yaml"},
		},
		"keep configuration and volumes": {
			options: Options{KeepConfig: true, KeepVolumes: true},
			now:     State{Paths: here("/var/lib/appliance:storage pki", "/var/lib/appliance/storage:pvc-1", "/etc/appliance:config.yaml trust.d admin.kubeconfig")},
			want:    []string{"file /var/lib/appliance/pki", "file /etc/appliance/admin.kubeconfig", "directory /etc/appliance", "directory /var/lib/appliance"},
			kept:    []string{"/var/lib/appliance/storage", "/etc/appliance/config.yaml"},
		},
		"volumes outside are kept": {
			target: func(t *Target) { t.Storage = "/data/volumes" },
			now:    State{Paths: here("/data/volumes:pvc-1")}, kept: []string{"/data/volumes"},
		},
		"an empty directory of volumes outside goes, with those made for it": {
			target: func(t *Target) { t.Storage = "/data/site/volumes" },
			before: State{Paths: here("/data")},
			now:    State{Paths: here("/data", "/data/site", "/data/site/volumes")}, want: []string{"directory /data/site/volumes", "directory /data/site"},
		},
		"volumes outside are deleted when told so, and nothing from before": {
			target: func(t *Target) { t.Storage = "/data/volumes" }, options: Options{DeleteVolumes: true},
			before: State{Paths: here("/data/volumes:photos")},
			now:    State{Paths: here("/data/volumes:photos pvc-1")}, want: []string{"file /data/volumes/pvc-1"}, kept: []string{"/data/volumes/photos"},
		},
		"volumes in a directory of the state directory": {
			target: func(t *Target) { t.Storage = "/var/lib/appliance/a/b" }, options: Options{KeepVolumes: true},
			now:  State{Paths: here("/var/lib/appliance:a pki", "/var/lib/appliance/a/b:pvc-1")},
			want: []string{"file /var/lib/appliance/pki", "directory /var/lib/appliance"}, kept: []string{"/var/lib/appliance/a/b", "/var/lib/appliance/a"},
		},
		"without a journal only what bears our names goes": {
			lost: true,
			now: State{
				Settings: map[string]string{"net/ipv4/ip_forward": "1"},
				Tables:   []Table{{Family: unix.NFPROTO_IPV4, Name: "nat", Chains: []Chain{{Name: "KUBE-HINT"}}}},
				Paths: here("/etc/cni/net.d", "/etc/cni/net.d/00-islet.conflist", systemd.Executable, "/var/lib/appliance:engines notes storage",
					"/var/lib/appliance/storage:pvc-1 photos", "/etc/appliance:config.yaml notes", "/run/appliance:server.lock", "/run/containerd/runc/k8s.io"),
			},
			want: []string{
				"nftables ip nat", "file /etc/cni/net.d/00-islet.conflist", "file /var/lib/appliance/storage/pvc-1", "file /var/lib/appliance/engines",
				"directory /var/lib/appliance/storage", "file /etc/appliance/config.yaml", "directory /etc/appliance", "directory /var/lib/appliance",
				"file /run/appliance/server.lock", "directory /run/appliance",
			},
			kept: []string{"/proc/sys", "/var/lib/appliance/storage/photos", "/var/lib/appliance/notes", "/etc/appliance/notes"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := testTarget()
			if c.target != nil {
				c.target(&target)
			}
			var plan Plan
			builder{target: target, past: past{known: !c.lost, State: c.before}, now: c.now, options: c.options, plan: &plan}.build()
			plan.sort()
			var got, kept []string
			for _, s := range plan.Steps {
				got = append(got, string(s.Kind)+" "+s.Object)
			}
			for _, k := range plan.Kept {
				kept = append(kept, k.Object)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("steps\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
			}
			if !slices.Equal(kept, c.kept) {
				t.Errorf("kept %q, want %q", kept, c.kept)
			}
		})
	}
}
