// Package controlplane is the Kubernetes control plane of a server: the API server, the controller
// manager and the scheduler, as stock programs with the settings of this platform.
package controlplane

import (
	"net/netip"

	"islet/appliance/component"
	"islet/appliance/layout"
	"islet/appliance/pki"
)

// The names under which the supervisor knows the control plane.
const (
	APIServerName         = "kube-apiserver"
	ControllerManagerName = "kube-controller-manager"
	SchedulerName         = "kube-scheduler"
)

// SecurePort is where the Kubernetes API is served. BalancerPort is where a server that is one of several finds the API of
// any of them, on its loopback address.
const (
	SecurePort   = 6443
	BalancerPort = 6444
)

// Params is what the control plane is told about the site and the node.
type Params struct {
	Layout        layout.Layout
	NodeName      string
	Address       netip.Addr
	PodCIDR       netip.Prefix
	ServiceCIDR   netip.Prefix
	ServiceIP     netip.Addr // the API's own service address, the first of ServiceCIDR
	ClusterDomain string
	NodePortRange string
	ExtraSANs     []string
	DatastoreURL  string // as --etcd-servers takes it
	Datastore     string // name of the component to wait for
	DatastoreLeaf string // certificate towards the datastore; empty where that is a socket
	// Several is whether there are several servers: the controller manager and the scheduler then work on one at a time.
	Several     bool
	PodSecurity string // default level: privileged, baseline or restricted
	Audit       Audit
	// Child makes the process spec of a program of the kube engine: path, environment, control
	// group and log.
	Child func(name string, args ...string) component.Spec
	PKI   *pki.Store
}

// Audit bounds the audit log.
type Audit struct {
	MaxSizeMiB, MaxBackups, MaxAgeDays int
}

// Leaf names of the control plane.
const (
	leafAPIServer         = "kube-apiserver"
	leafKubeletClient     = "kube-apiserver-kubelet-client"
	leafFrontProxy        = "front-proxy-client"
	leafControllerManager = "kube-controller-manager"
	leafControllerServing = "kube-controller-manager-serving"
	leafScheduler         = "kube-scheduler"
	leafSchedulerServing  = "kube-scheduler-serving"
	// LeafAdmin is the operator's certificate, LeafDaemon the node daemon's own.
	LeafAdmin  = "admin"
	LeafDaemon = "daemon"
)

// Leaves lists the certificates that the control plane and its operators use.
func Leaves(p Params) []pki.Leaf {
	loopback := netip.MustParseAddr("127.0.0.1")
	domain := p.ClusterDomain
	serving := func(name, usedBy string) pki.Leaf {
		return pki.Leaf{Name: name, Authority: pki.ClusterCA, CommonName: name, Server: true,
			DNSNames: []string{"localhost"}, Addresses: []netip.Addr{loopback}, UsedBy: usedBy}
	}
	api := pki.Leaf{
		Name: leafAPIServer, Authority: pki.ClusterCA, CommonName: "kube-apiserver", Server: true,
		DNSNames: []string{"localhost", p.NodeName, "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc." + domain},
		Addresses: []netip.Addr{loopback, p.Address, p.ServiceIP},
		UsedBy:    "serves the Kubernetes API",
	}
	for _, san := range p.ExtraSANs {
		if addr, err := netip.ParseAddr(san); err == nil {
			api.Addresses = append(api.Addresses, addr)
		} else {
			api.DNSNames = append(api.DNSNames, san)
		}
	}
	client := func(name, user, usedBy string, groups ...string) pki.Leaf {
		return pki.Leaf{Name: name, Authority: pki.ClientCA, CommonName: user, Organizations: groups, Client: true, UsedBy: usedBy}
	}
	return []pki.Leaf{
		api,
		serving(leafControllerServing, "serves the controller manager's metrics"),
		serving(leafSchedulerServing, "serves the scheduler's metrics"),
		client(leafKubeletClient, "kube-apiserver-kubelet-client", "logs, exec and port-forward", "islet:kubelet-api"),
		{Name: leafFrontProxy, Authority: pki.FrontProxyCA, CommonName: "front-proxy-client", Client: true, UsedBy: "kubectl top and other extension APIs"},
		client(leafControllerManager, "system:kube-controller-manager", "the controller manager"),
		client(leafScheduler, "system:kube-scheduler", "the scheduler"),
		client(LeafAdmin, "islet:admin", "the operator's kubectl", "system:masters"),
		client(LeafDaemon, "islet:daemon", "the node daemon", "system:masters"),
	}
}
