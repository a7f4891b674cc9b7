// Package reset takes a node off a machine again and leaves the machine as it was. It knows what that
// was from a journal, which is written once, before the platform changes anything; what it removes is
// what is there now, was not there then, and bears a name that only the platform gives.
package reset

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"islet/appliance/config"
	"islet/appliance/layout"
	"islet/systemd"
)

// Target is all that a reset has to know about a node. The journal holds a copy, so that a node can be
// reset when its configuration is damaged.
type Target struct {
	NodeName    string        `json:"nodeName"`
	Layout      layout.Layout `json:"layout"`
	Storage     string        `json:"storage"` // directory of the local volumes
	PodCIDR     netip.Prefix  `json:"podCIDR"`
	ServiceCIDR netip.Prefix  `json:"serviceCIDR"`
	VIPs        [2]netip.Addr `json:"vips"` // virtual addresses that this machine may hold; zero where there is none
}

// NewTarget is the target that a configuration describes; etcDir is where its file is.
func NewTarget(c config.Config, etcDir string) Target {
	name := c.Node.Name
	if hostname, err := os.Hostname(); name == "" && err == nil {
		name, _, _ = strings.Cut(strings.ToLower(hostname), ".")
	}
	return Target{
		NodeName: name, Layout: c.Layout(etcDir), Storage: c.StoragePath(),
		PodCIDR: c.Network.PodCIDR, ServiceCIDR: c.Network.ServiceCIDR,
		VIPs: [2]netip.Addr{c.Network.VIP.API, c.Network.VIP.Applications},
	}
}

// ownVolumes says whether the volumes are in the state directory, and go with it.
func (t Target) ownVolumes() bool { return under(t.Storage, t.Layout.StateDir) }

// under says whether path is strictly below dir. Both are clean.
func under(path, dir string) bool {
	return path != dir && strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// roots are the directories that belong to the node alone.
func (t Target) roots() []string {
	return []string{t.Layout.StateDir, t.Layout.RunDir, t.Layout.EtcDir, t.Storage}
}

// above lists the directories that lead to the roots, the deepest first. Those that were missing were made.
func (t Target) above() []string {
	var dirs []string
	for _, dir := range t.roots() {
		for dir = filepath.Dir(dir); dir != "/" && dir != "."; dir = filepath.Dir(dir) {
			if !slices.Contains(dirs, dir) && !slices.Contains(t.roots(), dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	slices.SortFunc(dirs, func(a, b string) int { return len(b) - len(a) })
	return dirs
}

// single are files of ours in directories that others use, too.
func (t Target) single() []string {
	return []string{
		filepath.Join(t.Layout.CNIDir, "00-islet.conflist"),
		"/var/lib/kubelet/device-plugins/kubelet.sock", // the kubelet has this path compiled in
		"/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint",
		systemd.LinkPath,
		systemd.ConsoleLink, systemd.ConsoleUnit, systemd.Logins()[0], systemd.Logins()[1],
		t.Layout.ViewSocket(),
	}
}

// shimState is runc's state of our containers; like the sockets of the shims its place is compiled in.
const (
	shimState   = "/run/containerd/runc/k8s.io"
	shimSockets = "/run/containerd/s"
	cniResults  = "/var/lib/cni/results"
	podLogLinks = "/var/log/containers"
	netnsDir    = "/run/netns"
)

// shared are the directories that our programs make for themselves where they are missing, and that
// others may use, deepest first. They are removed when they were not there before and are empty.
func (t Target) shared() []string {
	return []string{
		t.Layout.CNIDir, filepath.Dir(t.Layout.CNIDir),
		"/var/lib/kubelet/device-plugins", "/var/lib/kubelet",
		podLogLinks,
		cniResults, "/var/lib/cni",
		filepath.Dir(shimState), shimSockets, "/run/containerd",
		"/opt/containerd/bin", "/opt/containerd/lib", "/opt/containerd", "/opt",
		netnsDir, "/run/mount",
		filepath.Dir(systemd.LinkPath), filepath.Dir(systemd.ConsoleLink),
		filepath.Dir(systemd.Logins()[0]), filepath.Dir(systemd.Logins()[1]),
		t.Layout.View(),
	}
}
