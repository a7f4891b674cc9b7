package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"

	"islet/appliance/component"
	"islet/appliance/config"
	"islet/appliance/controlplane"
	"islet/appliance/datastore"
	"islet/appliance/host"
	"islet/appliance/kube"
	"islet/appliance/kubeconfig"
	"islet/appliance/kubelet"
	"islet/appliance/network"
	"islet/appliance/pki"
	"islet/appliance/registry"
	"islet/appliance/runtime"
	"islet/appliance/vip"
)

// shimsGroup is the control group of the shims; it outlives the daemon.
const shimsGroup = "shims"

// engineNames lists the components that are child processes, each in a control group of its name.
func engineNames() []string {
	return []string{datastore.KineName, datastore.EtcdName, controlplane.APIServerName, controlplane.ControllerManagerName, controlplane.SchedulerName,
		runtime.Name, kubelet.Name, network.AgentName, network.ProxyName, registry.Name, vip.Name, tenancyName}
}

// generatedDirs are the folders of generated configuration.
func generatedDirs() []string { return append(engineNames(), "kubeconfig") }

// units is everything that the node runs.
func (n *node) units() ([]component.Unit, error) {
	if n.isAgent() {
		return n.agentUnits()
	}
	return n.serverUnits()
}

// serverUnits is everything that a server runs, and what each waits for.
func (n *node) serverUnits() ([]component.Unit, error) {
	var (
		control  = n.controlPlane()
		store    = n.datastoreParams()
		net      = n.networkParams()
		ca       = n.pki.Authority(pki.ClusterCA).CertFile()
		asDaemon = func() (tls.Certificate, error) { return n.pki.Pair(controlplane.LeafDaemon) }
		probe    = func(port int, path string, pair func() (tls.Certificate, error)) func(context.Context) error {
			return kube.Probe(ca, fmt.Sprintf("https://127.0.0.1:%d%s", port, path), pair)
		}
	)
	client, err := kube.NewClient(kube.Config(n.access(controlplane.LeafDaemon)))
	if err != nil {
		return nil, err
	}
	n.pods = client
	apiReady := probe(controlplane.SecurePort, "/readyz", asDaemon)
	s := n.newSite(client)
	units := append(n.datastoreUnits(store),
		controlplane.APIServer(control, apiReady),
		controlplane.ControllerManager(control, probe(10257, "/healthz", nil)),
		controlplane.Scheduler(control, probe(10259, "/healthz", nil)),
		registry.Unit(n.registryParams()),
		n.imageSourcesUnit(client),
		runtime.Containerd(n.runtimeParams()),
		n.images.Unit(),
		kubelet.Unit(n.kubeletParams()),
		network.Agent(net),
		network.Proxy(net),
		n.addonsUnit(client),
		n.tenancyUnit(),
		n.auditUnit(client),
		n.nodeUnit(client),
		n.certificatesUnit(),
		n.backups.unit(),
		n.membershipUnit(s.refresh, serverInterval),
	)
	units = append(units, s.nodeAPIUnits()...)
	units = append(units, n.moveUnits(ownMove{s}.ReportMove, s.seenByAll)...)
	return append(units, n.vipUnits(apiReady)...), nil
}

// datastoreUnits are the datastore and, where a site may have several servers, the way to all of them.
func (n *node) datastoreUnits(store datastore.Params) []component.Unit {
	if n.several() {
		n.balancer = n.newBalancer()
	}
	switch n.Config.Datastore.Store {
	case config.StoreEtcd:
		return []component.Unit{datastore.EtcdServer(store), datastore.EtcdMember(store), n.balancerUnit(), datastore.Snapshots(store)}
	case config.StoreExternal:
		return []component.Unit{datastore.Kine(store), n.balancerUnit()}
	}
	return []component.Unit{datastore.Kine(store), datastore.Snapshots(store)}
}

// child makes the spec of a program of an engine: its environment, control group and log.
func (n *node) child(name string, args ...string) component.Spec {
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	return component.Spec{
		Name:        name,
		Args:        append([]string{filepath.Join(n.layout.Bin(), name)}, args...),
		Env:         []string{"PATH=" + n.layout.Bin() + ":" + path, "HOME=/root", "TMPDIR=" + n.layout.Tmp()},
		Dir:         n.layout.StateDir,
		Cgroup:      n.groups.Group(name),
		Output:      n.logFile(name),
		OOMScoreAdj: -900,
	}
}

// logFile is the log of a component, the same through all its restarts: each opens the file once.
func (n *node) logFile(name string) io.Writer {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.logs == nil {
		n.logs = map[string]*lumberjack.Logger{}
	}
	if n.logs[name] == nil {
		n.logs[name] = &lumberjack.Logger{
			Filename: filepath.Join(n.layout.Logs(), name+".log"), MaxSize: n.Config.Logs.MaxSizeMiB, MaxBackups: n.Config.Logs.MaxFiles - 1,
		}
	}
	return n.logs[name]
}

// access is how the holder of a client leaf reaches the Kubernetes API from this node.
func (n *node) access(leaf string) kubeconfig.Access {
	return n.controlPlane().AccessAt(n.apiPort(), leaf)
}

func (n *node) controlPlane() controlplane.Params {
	c, store := n.Config, n.datastoreParams()
	p := controlplane.Params{
		Layout: n.layout, NodeName: n.derived.NodeName, Address: n.derived.Address,
		PodCIDR: c.Network.PodCIDR, ServiceCIDR: c.Network.ServiceCIDR, ServiceIP: n.derived.APIServerAddress,
		ClusterDomain: c.Network.ClusterDomain, NodePortRange: c.Network.NodePortRange.String(), ExtraSANs: n.apiNames(),
		DatastoreURL: store.URL(), Datastore: store.Name(), Several: n.several(),
		PodSecurity: string(c.Security.PodSecurity), Reschedule: time.Duration(c.Site.RescheduleAfter),
		Audit: controlplane.Audit{MaxSizeMiB: c.Security.Audit.MaxSizeMiB, MaxBackups: c.Security.Audit.MaxBackups, MaxAgeDays: c.Security.Audit.MaxAgeDays},
		Child: n.child, PKI: n.pki,
	}
	if n.replicated() {
		p.Datastore, p.DatastoreLeaf = datastore.EtcdMemberName, datastore.LeafEtcdClient
	}
	return p
}

func (n *node) datastoreParams() datastore.Params {
	c := n.Config.Datastore
	p := datastore.Params{
		Layout: n.layout, Log: n.Log, Child: n.child, Restored: n.afterRestoration,
		Ring: datastore.Ring{
			Dir: filepath.Join(n.layout.Backups(), "datastore"), Store: string(c.Store),
			Interval: time.Duration(c.Snapshots.Interval), Keep: c.Snapshots.Keep, MaxBytes: int64(c.Snapshots.MaxBytes),
		},
	}
	if n.replicated() {
		p.Etcd = &datastore.Etcd{NodeName: n.derived.NodeName, Address: n.derived.Address, PKI: n.pki, Others: n.otherServers, Newest: n.newestGeneration, Standby: n.standby.Store}
	}
	if c.Store == config.StoreExternal && !n.isAgent() {
		p.External = n.database
	}
	return p
}

func (n *node) runtimeParams() runtime.Params {
	return runtime.Params{
		Layout: n.layout, Child: n.child, Shims: n.groups.Group(shimsGroup), PauseImage: n.addons.pause,
		RestrictOOMScoreAdj: !n.facts.Capabilities.Has(host.CapSysResource),
	}
}

func (n *node) kubeletParams() kubelet.Params {
	k := n.Config.Kubelet
	labels := map[string]string{kubelet.RoleLabel: string(n.Config.Node.Role)}
	if n.Config.Site.Zone != "" {
		labels["topology.kubernetes.io/zone"] = n.Config.Site.Zone
	}
	maps.Copy(labels, n.Config.Node.Labels)
	var taints []string
	for _, t := range n.Config.Node.Taints {
		taints = append(taints, t.String())
	}
	disk := k.Eviction.Disk.String()
	return kubelet.Params{
		Layout: n.layout, NodeName: n.derived.NodeName, Address: n.derived.Address,
		ClusterDNS: n.derived.ClusterDNS, ClusterDomain: n.Config.Network.ClusterDomain,
		Labels: labels, Taints: taints, MaxPods: k.MaxPods,
		SystemReserved: quantities(k.SystemReserved), KubeReserved: quantities(k.KubeReserved),
		EvictionHard: map[string]string{
			"memory.available": k.Eviction.Memory.String(), "nodefs.available": disk, "imagefs.available": disk,
			"nodefs.inodesFree": fmt.Sprintf("%d%%", k.Eviction.InodesPercent), "imagefs.inodesFree": fmt.Sprintf("%d%%", k.Eviction.InodesPercent),
		},
		LogMaxSizeMiB: n.Config.Logs.MaxSizeMiB, LogMaxFiles: n.Config.Logs.MaxFiles,
		Access: n.access, Child: n.child, PKI: n.pki,
		// Not the API server: the kubelet keeps its pods without one, and a start side by side takes a third less time. The
		// images: a node that joined gets pods at once, and one whose image is missing then waits through a failed pull.
		Needs: []string{runtime.Name, runtime.ImagesName, imageSourcesName},
	}
}

func (n *node) networkParams() network.Params {
	c := n.Config.Network
	api := controlplane.APIServerName
	if n.balanced() {
		api = balancerName
	}
	return network.Params{
		Layout: n.layout, NodeName: n.derived.NodeName, Address: n.derived.Address,
		PodCIDR: c.PodCIDR, ServiceCIDR: c.ServiceCIDR, NodePortRange: c.NodePortRange.String(),
		Backend: string(n.derived.Backend), DirectRouting: n.derived.DirectRouting, MTU: n.derived.MTU,
		NodePortsAnywhere: n.derived.ApplicationsVIP.Address.IsValid(),
		Access:            n.access, Child: n.child, Needs: []string{api},
	}
}

// quantities is a reservation as the kubelet takes it.
func quantities(r config.Reserved) map[string]string {
	return map[string]string{"cpu": r.CPU.String(), "memory": r.Memory.String(), "ephemeral-storage": r.EphemeralStorage.String()}
}
