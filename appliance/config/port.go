package config

import (
	"fmt"
	"strconv"
)

// Port is a port of the node that the platform listens on.
type Port struct {
	Number   uint16
	Protocol string // tcp or udp
	Purpose  string
	Loopback bool   // for this machine only
	Path     string // the field that sets it; empty when it is fixed
}

// Ports lists what this configuration listens on, for preflight and for firewall requests.
func (c Config) Ports() []Port {
	ports := []Port{
		{Number: 10250, Protocol: "tcp", Purpose: "kubelet"},
		{Number: 10248, Protocol: "tcp", Purpose: "kubelet health", Loopback: true},
		{Number: 10249, Protocol: "tcp", Purpose: "kube-proxy metrics", Loopback: true},
		{Number: 10256, Protocol: "tcp", Purpose: "kube-proxy health", Loopback: true},
	}
	if c.Node.Role == RoleAgent {
		ports = append(ports, Port{Number: 6443, Protocol: "tcp", Purpose: "way to the Kubernetes API", Loopback: true},
			Port{Number: 9443, Protocol: "tcp", Purpose: "node API, for servers"})
	} else {
		ports = append(ports,
			Port{Number: 6443, Protocol: "tcp", Purpose: "Kubernetes API"},
			Port{Number: 9443, Protocol: "tcp", Purpose: "node API and join"},
			Port{Number: 5000, Protocol: "tcp", Purpose: "image registry"},
			Port{Number: 10257, Protocol: "tcp", Purpose: "controller manager", Loopback: true},
			Port{Number: 10259, Protocol: "tcp", Purpose: "scheduler", Loopback: true})
		ports = append(ports, c.etcdPorts()...)
		if c.Datastore.Store.Several() {
			ports = append(ports, Port{Number: 6444, Protocol: "tcp", Purpose: "way to the Kubernetes API of any server", Loopback: true})
		}
	}
	if c.Network.Backend != BackendHostGW {
		ports = append(ports, Port{Number: 8472, Protocol: "udp", Purpose: "vxlan between nodes"})
	}
	if c.Gateway.Enabled {
		ports = append(ports,
			Port{Number: uint16(c.Gateway.HTTPPort), Protocol: "tcp", Purpose: "applications over HTTP", Path: "gateway.httpPort"},
			Port{Number: uint16(c.Gateway.HTTPSPort), Protocol: "tcp", Purpose: "applications over HTTPS", Path: "gateway.httpsPort"})
	}
	return ports
}

// etcdPorts are those of a member of etcd.
func (c Config) etcdPorts() []Port {
	if c.Datastore.Store != StoreEtcd {
		return nil
	}
	return []Port{
		{Number: 2379, Protocol: "tcp", Purpose: "datastore"},
		{Number: 2380, Protocol: "tcp", Purpose: "datastore between servers"},
		{Number: 2381, Protocol: "tcp", Purpose: "datastore health", Loopback: true},
	}
}

// futurePorts are not opened by this configuration but will be when servers join, so nothing else
// may take them.
func futurePorts() []Port {
	return []Port{
		{Number: 2379, Protocol: "tcp", Purpose: "etcd"},
		{Number: 2380, Protocol: "tcp", Purpose: "etcd"},
	}
}

// ports judges every pair of ports, and the range of node ports against all of them.
func (j *judge) ports(c Config) {
	all := append(futurePorts(), c.Ports()...)
	for i, port := range all {
		for _, other := range all[:i] {
			if port.Path != "" && port.Number == other.Number && port.Protocol == other.Protocol {
				j.refuse(port.Path, "choose another port", "%d is taken by %s", port.Number, other.owner())
			}
		}
		switch r := c.Network.NodePortRange; {
		case !r.Contains(port.Number):
		case port.Path != "":
			j.refuse(port.Path, "choose a port outside the range", "%d is in network.nodePortRange %s", port.Number, r)
		default:
			j.refuse("network.nodePortRange", "move the range", "%s contains %d, which is taken by %s", r, port.Number, port.owner())
		}
	}
}

func (p Port) owner() string {
	if p.Path != "" {
		return p.Path
	}
	return "the platform (" + p.Purpose + ")"
}

func indexed(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

func itoa(n int) string { return strconv.Itoa(n) }
