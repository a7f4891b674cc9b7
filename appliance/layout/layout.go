// Package layout names every path the appliance uses on a machine. All of them derive from four
// roots, so tests put a whole node under one temporary directory.
package layout

import "path/filepath"

// Layout holds the roots. Its methods are pure; nothing here touches the disk.
type Layout struct {
	EtcDir   string // configuration and kubeconfigs an operator reads
	StateDir string // everything that must survive a power cut
	RunDir   string // sockets and pid files; a tmpfs, gone after a boot
	CNIDir   string // where containerd looks for the network's conflist
}

// Default is the layout of an installed node.
func Default() Layout {
	return Layout{EtcDir: "/etc/appliance", StateDir: "/var/lib/appliance", RunDir: "/run/appliance", CNIDir: "/etc/cni/net.d"}
}

func (l Layout) state(elem ...string) string {
	return filepath.Join(append([]string{l.StateDir}, elem...)...)
}
func (l Layout) run(elem ...string) string {
	return filepath.Join(append([]string{l.RunDir}, elem...)...)
}

// Config is the answer file of the node.
func (l Layout) Config() string { return filepath.Join(l.EtcDir, "config.yaml") }

// Installing is what an installation notes that has begun and is not through.
func (l Layout) Installing() string { return filepath.Join(l.EtcDir, "installing.json") }

// Joining is what a machine notes that was let in and is not a node yet. It is beside the answer file, which says where
// everything else is.
func (l Layout) Joining() string { return filepath.Join(l.EtcDir, "joining.json") }

// TrustDir holds the bundle signing keys that the site added.
func (l Layout) TrustDir() string { return filepath.Join(l.EtcDir, "trust.d") }

// Engines holds staged engines, one folder per digest, and Bin the links to those in use.
func (l Layout) Engines() string { return l.state("engines") }

// Bin is the folder of programs of the engines in use; it is the PATH of every child.
func (l Layout) Bin() string { return l.state("engines", "current", "bin") }

// CNIBin is the folder of the CNI plug-ins in use.
func (l Layout) CNIBin() string { return l.state("engines", "current", "cni") }

// Containerd is containerd's root (content, snapshots, metadata).
func (l Layout) Containerd() string { return l.state("containerd") }

// Kubelet is the kubelet's root directory.
func (l Layout) Kubelet() string { return l.state("kubelet") }

// Datastore holds the SQLite file or the etcd data directory.
func (l Layout) Datastore() string { return l.state("datastore") }

// PKI holds CAs, leaves and keys; mode 0700.
func (l Layout) PKI() string { return l.state("pki") }

// Generated holds configuration written for the engines; rewritten at each start.
func (l Layout) Generated() string { return l.state("generated") }

// Kubeconfigs holds one kubeconfig per component; mode 0700.
func (l Layout) Kubeconfigs() string { return l.state("generated", "kubeconfig") }

// AdminKubeconfig is the operator's kubeconfig with embedded certificates; mode 0600.
func (l Layout) AdminKubeconfig() string { return filepath.Join(l.EtcDir, "admin.kubeconfig") }

// Backups holds datastore snapshots.
func (l Layout) Backups() string { return l.state("backups") }

// Registry holds pushed registry content.
func (l Layout) Registry() string { return l.state("registry") }

// Journal records what was created on the machine, for reset.
func (l Layout) Journal() string { return l.state("journal") }

// Plans holds the journals of what was done to the machine, plan by plan.
func (l Layout) Plans() string { return l.state("journal", "plans") }

// Servers is what a node that joined knows of the site's servers.
func (l Layout) Servers() string { return l.state("servers.json") }

// AddressChange tells how far the last change of the node's address has come.
func (l Layout) AddressChange() string { return l.state("address.json") }

// Fetched is where a machine that joins puts together what it fetches from the site's servers.
func (l Layout) Fetched() string { return l.state("fetched") }

// Logs holds a rotated log per component, and the audit log.
func (l Layout) Logs() string { return l.state("logs") }

// Audit holds this server's record of what people did, and how far the API server's log has been read for it.
func (l Layout) Audit() string { return l.state("audit") }

// Storage is the default root of local volumes.
func (l Layout) Storage() string { return l.state("storage") }

// APISocket is the local API of the daemon.
func (l Layout) APISocket() string { return l.run("api.sock") }

// View is the directory of the socket that everybody on the machine may look through. It is beside RunDir, which is
// root's alone, and holds nothing else.
func (l Layout) View() string { return l.RunDir + "-view" }

// ViewSocket is the part of the local API that only tells, for everybody on the machine.
func (l Layout) ViewSocket() string { return filepath.Join(l.View(), "view.sock") }

// Lock is held by the running daemon.
func (l Layout) Lock() string { return l.run("server.lock") }

// KineSocket is where kine serves the etcd API.
func (l Layout) KineSocket() string { return l.run("kine.sock") }

// VIP holds keepalived's pid files, and what tells it which virtual addresses this node may have.
func (l Layout) VIP() string { return l.run("keepalived") }

// ContainerdSocket is containerd's GRPC address.
func (l Layout) ContainerdSocket() string { return l.run("containerd", "containerd.sock") }

// ContainerdState is containerd's volatile state.
func (l Layout) ContainerdState() string { return l.run("containerd") }

// NetworkEnv is where the network agent writes the lease of this node.
func (l Layout) NetworkEnv() string { return l.run("network.json") }

// PodLogs holds the logs of containers.
func (l Layout) PodLogs() string { return l.state("logs", "pods") }

// Manifests holds what the daemon last applied, for reading.
func (l Layout) Manifests() string { return l.state("generated", "manifests") }

// Tmp is the temporary directory of the node's own programs; the machine's /tmp may be small.
func (l Layout) Tmp() string { return l.state("tmp") }
