// Package config is the answer file: one versioned YAML document that says everything the appliance
// needs to be told. It is decoded strictly, judged as a whole, and every problem is reported with
// its field, line and column. The doc, enum, min, max, format and empty tags of the fields are the
// one source of the example, the JSON schema and `appliance config explain`.
package config

import (
	"net/netip"
	"slices"

	"islet/appliance/layout"
)

// APIVersion and Kind identify the document; a file with others is refused before it is read further.
const (
	APIVersion = "islet.dev/v1alpha1"
	Kind       = "Site"
)

// Config is the answer file of one node.
type Config struct {
	APIVersion string    `yaml:"apiVersion" enum:"islet.dev/v1alpha1" doc:"Version of this document's format."`
	Kind       string    `yaml:"kind" enum:"Site" doc:"Kind of this document."`
	Site       Site      `yaml:"site" doc:"The place this platform serves."`
	Node       Node      `yaml:"node" doc:"This machine."`
	Network    Network   `yaml:"network" doc:"Addresses and links of the cluster."`
	Datastore  Datastore `yaml:"datastore" doc:"Where the cluster keeps its state."`
	Backup     Backup    `yaml:"backup" doc:"Sealed backups of the site: every server makes them, once the site has a recovery key, and every other node copies them."`
	Gateway    Gateway   `yaml:"gateway" doc:"The way in to applications, for Ingress and HTTPRoute."`
	Storage    Storage   `yaml:"storage" doc:"Local volumes of the default storage class."`
	Kubelet    Kubelet   `yaml:"kubelet" doc:"What pods may take of this machine and what is kept back for the host."`
	Security   Security  `yaml:"security" doc:"Rules for pods, and the audit trail."`
	Logs       Logs      `yaml:"logs" doc:"Logs of the platform's own components and of containers."`
	Paths      Paths     `yaml:"paths" doc:"Where the platform lives on this machine."`
}

// Site names the installation.
type Site struct {
	Name string `yaml:"name" format:"label" doc:"Short name of the site; part of default domain names and shown on every screen."`
	Zone string `yaml:"zone" format:"label" doc:"Network zone, such as intranet or dmz; set as topology.kubernetes.io/zone on the node."`

	RequireApproval bool `yaml:"requireApproval" doc:"Whether a machine with a good join token also waits for appliance node approve. One that takes a dead node's name always does."`

	RescheduleAfter Duration `yaml:"rescheduleAfter" min:"10s" max:"1h" doc:"Time after which the pods of a node that does not answer are started elsewhere, once it has been called unreachable, which takes 50 seconds. Pods that say otherwise themselves keep to that."`
}

// Role is what a node does in the cluster.
type Role string

// The roles. A server runs the control plane and pods; an agent runs pods.
const (
	RoleServer Role = "server"
	RoleAgent  Role = "agent"
)

// Node is this machine's part in the cluster.
type Node struct {
	Name    string            `yaml:"name" format:"label" empty:"the first label of the hostname, in lower case" doc:"Name of this node; it cannot change later."`
	Address netip.Addr        `yaml:"address" empty:"the address of the default route's interface, or the only address there is" doc:"IPv4 address that other nodes and clients reach this node at."`
	Role    Role              `yaml:"role" enum:"server,agent" doc:"What this node does: a server runs the control plane and pods, an agent pods only. What appliance join makes of a machine is for the token to say."`
	Labels  map[string]string `yaml:"labels" doc:"Kubernetes labels of the node."`
	Taints  []Taint           `yaml:"taints" doc:"Kubernetes taints of the node, each as key=value:Effect."`
}

// Backend is how pods of different nodes reach each other.
type Backend string

// The backends. Auto routes directly between nodes on one link and encapsulates to others.
const (
	BackendAuto   Backend = "auto"
	BackendHostGW Backend = "host-gw"
	BackendVXLAN  Backend = "vxlan"
)

// Network is the addressing plan.
type Network struct {
	PodCIDR       netip.Prefix `yaml:"podCIDR" doc:"Network of the pods; each node takes a /24 of it. It must not overlap with any network in use on the site."`
	ServiceCIDR   netip.Prefix `yaml:"serviceCIDR" doc:"Network of the services. The first address is the API server's, the tenth the cluster DNS's."`
	ClusterDomain string       `yaml:"clusterDomain" format:"domain" doc:"DNS domain of services inside the cluster."`
	Backend       Backend      `yaml:"backend" enum:"auto,host-gw,vxlan" doc:"How pods of different nodes reach each other: auto routes between nodes on one link and uses vxlan to others."`
	MTU           int          `yaml:"mtu" min:"1280" max:"65535" empty:"the link's MTU, less 50 bytes where vxlan may be used" doc:"Largest packet of pods, in bytes."`
	NodePortRange PortRange    `yaml:"nodePortRange" doc:"Ports that services of type NodePort may take on every node."`
	DNS           []netip.Addr `yaml:"dns" empty:"names outside the cluster are answered as not existing" doc:"The site's DNS servers, asked for names outside the cluster."`
	VIP           VIP          `yaml:"vip" doc:"Addresses for people that move between the servers by VRRP. The platform itself needs none."`
}

// VIP is the virtual addresses, each on one healthy server at a time.
type VIP struct {
	API                  netip.Addr `yaml:"api" empty:"none" doc:"IPv4 address of the Kubernetes API: a free one of the servers' network."`
	APIRouterID          int        `yaml:"apiRouterID" min:"1" max:"255" empty:"the last number of the address" doc:"VRRP router id of the API's address. Nothing else on the link may use it."`
	Applications         netip.Addr `yaml:"applications" empty:"none" doc:"IPv4 address of the gateway and of node ports: another free one of the servers' network. Names of applications lead there."`
	ApplicationsRouterID int        `yaml:"applicationsRouterID" min:"1" max:"255" empty:"the last number of the address" doc:"VRRP router id of the applications' address. Nothing else on the link may use it."`
	APINames             []string   `yaml:"apiNames" doc:"Further DNS names of the Kubernetes API; its certificate covers them."`
}

// Store is what keeps the cluster's state.
type Store string

// StoreSQLite is the datastore of a single server, StoreEtcd that of three or five, StoreExternal a database of the site's own
// for any number.
const (
	StoreSQLite   Store = "sqlite"
	StoreEtcd     Store = "etcd"
	StoreExternal Store = "external"
)

// Several says whether such a datastore serves more than one server.
func (s Store) Several() bool { return s == StoreEtcd || s == StoreExternal }

// Datastore is the store and its snapshots.
type Datastore struct {
	Store     Store     `yaml:"store" enum:"sqlite,etcd,external" doc:"Kind of datastore: sqlite for a site of one server, which is smaller and simpler; etcd for three or five, any one of which may be lost, where the first may start alone on etcd; external for a database that the site runs itself."`
	External  External  `yaml:"external" doc:"The site's own database, where datastore.store is external. Dumps of it are the site's duty: backups and snapshots hold nothing of it."`
	Snapshots Snapshots `yaml:"snapshots" doc:"Verified copies of the datastore on this machine."`
}

// External is a PostgreSQL, MySQL or MariaDB database. The files are read by every server, under the same names; a server that
// joins gets them from the site.
type External struct {
	Endpoint     string `yaml:"endpoint" format:"database" empty:"none" doc:"Where the database is, without its password: postgres://USER@HOST:PORT/DATABASE or mysql://USER@tcp(HOST:PORT)/DATABASE."`
	PasswordFile string `yaml:"passwordFile" format:"path" empty:"no password" doc:"File with the user's password and nothing else, which only root may read (mode 0600)."`
	CAFile       string `yaml:"caFile" format:"path" empty:"none" doc:"File with the certificates of the authorities that the database's certificate may be of. With it the connection is encrypted, and the name of the database's host is checked."`
	CertFile     string `yaml:"certFile" format:"path" empty:"none" doc:"File with the certificate that the servers show to the database."`
	KeyFile      string `yaml:"keyFile" format:"path" empty:"none" doc:"File with the key of datastore.external.certFile, which only root may read (mode 0600)."`
}

// Files lists the files that are named, each once.
func (e External) Files() []string {
	var files []string
	for _, path := range []string{e.PasswordFile, e.CAFile, e.CertFile, e.KeyFile} {
		if path != "" && !slices.Contains(files, path) {
			files = append(files, path)
		}
	}
	return files
}

// Snapshots is the ring of datastore copies. The newest verified one is never deleted.
type Snapshots struct {
	Interval Duration `yaml:"interval" min:"1m" max:"168h" doc:"Time between two snapshots."`
	Keep     int      `yaml:"keep" min:"1" max:"1000" doc:"Number of snapshots kept."`
	MaxBytes Size     `yaml:"maxBytes" min:"64Mi" doc:"Space that all snapshots together may take; the oldest go first."`
}

// Backup bounds the backups of each server, on that server and on each node that copies them. The newest verified one is
// never deleted.
type Backup struct {
	Interval  Duration `yaml:"interval" min:"10m" max:"720h" doc:"Time between two backups of a server."`
	Keep      int      `yaml:"keep" min:"1" max:"1000" doc:"Number of backups of each server that each node keeps."`
	Recipient string   `yaml:"recipient" format:"recipient" empty:"the installation makes a recovery key and shows it once" doc:"Public half of a recovery key that the site has already, age1...; counts when the site's first server is installed."`
	MaxBytes  Size     `yaml:"maxBytes" min:"64Mi" doc:"Space that the backups of one server may take on each node; the oldest go first. Copies also leave kubelet.eviction.disk free."`
}

// Gateway is the ingress of applications.
type Gateway struct {
	Enabled   bool       `yaml:"enabled" doc:"Whether the gateway runs."`
	HTTPPort  int        `yaml:"httpPort" min:"1" max:"65535" doc:"Port of the node for HTTP."`
	HTTPSPort int        `yaml:"httpsPort" min:"1" max:"65535" doc:"Port of the node for HTTPS."`
	Bind      netip.Addr `yaml:"bind" empty:"all addresses of the node" doc:"IPv4 address that the gateway listens on."`
	Domain    string     `yaml:"domain" format:"domain" empty:"apps.<site.name>.internal" doc:"Domain under which applications get their names; the site's own certificate covers *.domain."`
}

// Storage is the default storage class.
type Storage struct {
	Path    string `yaml:"path" format:"path" empty:"storage below paths.stateDir" doc:"Directory of the local volumes."`
	MinFree Size   `yaml:"minFree" min:"256Mi" doc:"Space that volumes must leave free: a new one is refused when less would remain. At least kubelet.eviction.disk."`
}

// Kubelet divides the machine between the host, the platform and pods.
type Kubelet struct {
	MaxPods        int      `yaml:"maxPods" min:"8" max:"250" doc:"Number of pods this node takes."`
	SystemReserved Reserved `yaml:"systemReserved" doc:"Kept for the operating system."`
	KubeReserved   Reserved `yaml:"kubeReserved" doc:"Kept for the platform's own processes."`
	Eviction       Eviction `yaml:"eviction" doc:"Pods are evicted when less than this is left."`
}

// Reserved is an amount of the machine that pods cannot be given.
type Reserved struct {
	CPU              CPU  `yaml:"cpu" min:"0" doc:"Processor time, such as 250m or 1."`
	Memory           Size `yaml:"memory" min:"0" doc:"Memory."`
	EphemeralStorage Size `yaml:"ephemeralStorage" min:"0" doc:"Space for logs, images and scratch data."`
}

// Eviction holds the kubelet's hard thresholds.
type Eviction struct {
	Memory        Size `yaml:"memory" min:"64Mi" doc:"Available memory."`
	Disk          Size `yaml:"disk" min:"128Mi" doc:"Free space on the state directory."`
	InodesPercent int  `yaml:"inodesPercent" min:"1" max:"50" doc:"Free inodes on the state directory, in percent."`
}

// PodSecurity is a level of the Pod Security Standards.
type PodSecurity string

// The levels, from open to strict.
const (
	PodSecurityPrivileged PodSecurity = "privileged"
	PodSecurityBaseline   PodSecurity = "baseline"
	PodSecurityRestricted PodSecurity = "restricted"
)

// Security is what the API server enforces and records.
type Security struct {
	PodSecurity PodSecurity `yaml:"podSecurity" enum:"privileged,baseline,restricted" doc:"Level enforced on namespaces that set none of their own."`
	Audit       Audit       `yaml:"audit" doc:"Rotation of the API server's audit log."`
}

// Audit bounds the audit log.
type Audit struct {
	MaxSizeMiB int `yaml:"maxSizeMiB" min:"1" max:"10240" doc:"Size at which the audit log is rotated, in MiB."`
	MaxBackups int `yaml:"maxBackups" min:"1" max:"1000" doc:"Number of rotated files kept."`
	MaxAgeDays int `yaml:"maxAgeDays" min:"1" max:"3650" doc:"Age after which rotated files are deleted, in days."`
}

// Logs bounds every component's log and every container's log.
type Logs struct {
	MaxSizeMiB int `yaml:"maxSizeMiB" min:"1" max:"1024" doc:"Size at which a log is rotated, in MiB."`
	MaxFiles   int `yaml:"maxFiles" min:"2" max:"100" doc:"Number of files kept of each log, the current one included."`
}

// Paths are the roots that all other paths derive from.
type Paths struct {
	StateDir string `yaml:"stateDir" format:"path" doc:"What must survive a power cut: engines, images, pods, the datastore, keys. Needs a local filesystem that can execute."`
	RunDir   string `yaml:"runDir" format:"path" doc:"Sockets and pid files."`
}

// Layout derives every path from the roots in this configuration; etcDir is where the answer file is.
func (c Config) Layout(etcDir string) layout.Layout {
	l := layout.Default()
	l.EtcDir, l.StateDir, l.RunDir = etcDir, c.Paths.StateDir, c.Paths.RunDir
	return l
}

// StoragePath is the directory of the local volumes.
func (c Config) StoragePath() string {
	if c.Storage.Path != "" {
		return c.Storage.Path
	}
	return c.Layout("").Storage()
}
