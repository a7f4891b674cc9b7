// Package network is the node's network as the supervisor sees it: the network agent and
// kube-proxy, both programs of the kube engine. The agent's own code is in package agent, which
// only that engine links.
package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"

	"islet/appliance/atomicfile"
	"islet/appliance/component"
	"islet/appliance/kubeconfig"
	"islet/appliance/layout"
	"islet/appliance/pki"
)

// Names in the supervisor.
const (
	AgentName = "islet-network"
	ProxyName = "kube-proxy"
)

// AgentUser is who the agent is to the Kubernetes API.
const AgentUser = "islet:network"

// Params is what the network is told about the node and the site.
type Params struct {
	Layout        layout.Layout
	NodeName      string
	Address       netip.Addr
	PodCIDR       netip.Prefix
	ServiceCIDR   netip.Prefix
	NodePortRange string
	Backend       string
	DirectRouting bool
	MTU           int
	// NodePortsAnywhere makes node ports answer at all addresses of the machine, those that come and go included, rather
	// than at Address alone.
	NodePortsAnywhere bool
	Access            func(leaf string) kubeconfig.Access
	Child             func(name string, args ...string) component.Spec
	Needs             []string
}

// Leaves lists the network's certificates.
func Leaves() []pki.Leaf {
	return []pki.Leaf{
		{Name: AgentName, Authority: pki.ClientCA, CommonName: AgentUser, Client: true, UsedBy: "pod network and network policies"},
		{Name: ProxyName, Authority: pki.ClientCA, CommonName: "system:kube-proxy", Client: true, UsedBy: "services"},
	}
}

// Agent returns the network agent's unit. It is ready when pods can be connected.
func Agent(p Params) component.Unit {
	status := p.Layout.NetworkEnv()
	return component.Unit{New: func() component.Component {
		spec := p.Child(AgentName, "--config", p.generated(AgentName, "config.json"))
		spec.Needs = p.Needs
		spec.Prepare = func(context.Context) error {
			if err := os.Remove(status); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return p.prepareAgent()
		}
		spec.Probe = func(context.Context) error {
			_, err := os.Stat(status)
			return err
		}
		return component.NewProcess(spec)
	}}
}

func (p Params) generated(name, file string) string {
	return filepath.Join(p.Layout.Generated(), name, file)
}

func (p Params) kubeconfig(name string) string {
	return filepath.Join(p.Layout.Kubeconfigs(), name+".kubeconfig")
}

func (p Params) prepareAgent() error {
	if err := kubeconfig.WriteReference(p.kubeconfig(AgentName), p.Access(AgentName)); err != nil {
		return err
	}
	config, err := json.MarshalIndent(map[string]any{
		"nodeName": p.NodeName, "address": p.Address, "podCIDR": p.PodCIDR, "serviceCIDR": p.ServiceCIDR,
		"nodePortRange": p.NodePortRange, "backend": p.Backend, "directRouting": p.DirectRouting, "mtu": p.MTU,
		"cniDir": p.Layout.CNIDir, "statusFile": p.Layout.NetworkEnv(), "kubeconfig": p.kubeconfig(AgentName),
	}, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteIfChanged(p.generated(AgentName, "config.json"), config, 0o600)
}

// Proxy returns kube-proxy's unit.
func Proxy(p Params) component.Unit {
	return component.Unit{New: func() component.Component {
		spec := p.Child(ProxyName, "--config="+p.generated(ProxyName, "config.yaml"), "--hostname-override="+p.NodeName)
		spec.Needs = p.Needs
		spec.Prepare = func(context.Context) error { return p.prepareProxy() }
		return component.NewProcess(spec)
	}}
}

type object = map[string]any

func (p Params) prepareProxy() error {
	if err := kubeconfig.WriteReference(p.kubeconfig(ProxyName), p.Access(ProxyName)); err != nil {
		return err
	}
	nodePorts := []string{"primary"}
	if p.NodePortsAnywhere {
		nodePorts = []string{"0.0.0.0/0"}
	}
	config, err := yaml.Marshal(object{
		"apiVersion":         "kubeproxy.config.k8s.io/v1alpha1",
		"kind":               "KubeProxyConfiguration",
		"mode":               "nftables",
		"clientConnection":   object{"kubeconfig": p.kubeconfig(ProxyName)},
		"clusterCIDR":        p.PodCIDR.String(),
		"detectLocalMode":    "ClusterCIDR",
		"healthzBindAddress": "127.0.0.1:10256",
		"metricsBindAddress": "127.0.0.1:10249",
		"nodePortAddresses":  nodePorts,
		// The table's size belongs to the machine, not to us: changing it would outlive a reset.
		"conntrack": object{"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
	})
	if err != nil {
		return err
	}
	return atomicfile.WriteIfChanged(p.generated(ProxyName, "config.yaml"), config, 0o600)
}

// Status is what the agent settled on.
type Status struct {
	Backend   string       `json:"backend"`
	Interface string       `json:"interface"`
	PodCIDR   netip.Prefix `json:"podCIDR"`
	MTU       int          `json:"mtu"`
}

// ReadStatus reads the agent's status file; fs.ErrNotExist while pods cannot be connected yet.
func ReadStatus(l layout.Layout) (Status, error) {
	var s Status
	data, err := os.ReadFile(l.NetworkEnv())
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("decode %s: %w", l.NetworkEnv(), err)
	}
	return s, nil
}
