// Package kubelet is the node's kubelet: its configuration, its certificates and its child process.
package kubelet

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"islet/appliance/atomicfile"
	"islet/appliance/component"
	"islet/appliance/kubeconfig"
	"islet/appliance/layout"
	"islet/appliance/pki"
)

// Name is the kubelet's name in the supervisor.
const Name = "kubelet"

// Port is where the kubelet listens for the API server: upstream's default.
const Port = 10250

// RoleLabel says on a node of Kubernetes whether it is a server or an agent.
const RoleLabel = "node.islet.dev/role"

// PoolLabel names the group of machines that a node belongs to.
const PoolLabel = "node.islet.dev/pool"

// LeafClient is the name of the kubelet's own certificate, with which the node speaks to the API.
const LeafClient = "kubelet"

const (
	leafServing = "kubelet-serving"
	healthzPort = 10248
)

// Params is what the kubelet is told about the node and the site.
type Params struct {
	Layout        layout.Layout
	NodeName      string
	Address       netip.Addr
	ClusterDNS    netip.Addr
	ClusterDomain string
	Labels        map[string]string
	Taints        []string // key=value:Effect
	MaxPods       int
	// Reserved amounts and thresholds as Kubernetes quantities, by resource name or signal.
	SystemReserved, KubeReserved, EvictionHard map[string]string
	LogMaxSizeMiB, LogMaxFiles                 int
	Access                                     func(leaf string) kubeconfig.Access
	Child                                      func(name string, args ...string) component.Spec
	PKI                                        *pki.Store
	// Needs are the components that must be ready first.
	Needs []string
}

// Leaves lists the kubelet's certificates.
func Leaves(p Params) []pki.Leaf {
	return []pki.Leaf{
		{Name: LeafClient, Authority: pki.ClientCA, CommonName: "system:node:" + p.NodeName, Organizations: []string{"system:nodes"},
			Client: true, UsedBy: "the kubelet"},
		{Name: leafServing, Authority: pki.ClusterCA, CommonName: "system:node:" + p.NodeName, Organizations: []string{"system:nodes"},
			Server: true, DNSNames: []string{p.NodeName}, Addresses: []netip.Addr{p.Address}, UsedBy: "logs, exec and metrics of this node"},
	}
}

// Unit returns the kubelet's unit. It is ready when its health endpoint answers; whether the node is
// Ready is for the API to say.
func Unit(p Params) component.Unit {
	return component.Unit{New: func() component.Component {
		args := []string{
			"--config=" + p.generated("config.yaml"),
			"--kubeconfig=" + p.kubeconfig(),
			"--root-dir=" + p.Layout.Kubelet(),
			"--cert-dir=" + p.Layout.PKI(),
			"--hostname-override=" + p.NodeName,
			"--node-ip=" + p.Address.String(),
		}
		if len(p.Labels) > 0 {
			args = append(args, "--node-labels="+joinLabels(p.Labels))
		}
		if len(p.Taints) > 0 {
			args = append(args, "--register-with-taints="+strings.Join(p.Taints, ","))
		}
		spec := p.Child(Name, args...)
		spec.Needs = p.Needs
		spec.Prepare = func(context.Context) error { return p.prepare() }
		spec.Probe, spec.Check = healthy, healthy
		return component.NewProcess(spec)
	}}
}

func joinLabels(labels map[string]string) string {
	var out []string
	for k, v := range labels {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

func (p Params) generated(name string) string {
	return filepath.Join(p.Layout.Generated(), Name, name)
}

func (p Params) kubeconfig() string {
	return filepath.Join(p.Layout.Kubeconfigs(), LeafClient+".kubeconfig")
}

func (p Params) prepare() error {
	if err := kubeconfig.WriteReference(p.kubeconfig(), p.Access(LeafClient)); err != nil {
		return err
	}
	if err := atomicfile.WriteIfChanged(p.generated("resolv.conf"), resolvConf("/etc/resolv.conf"), 0o644); err != nil {
		return err
	}
	config, err := yaml.Marshal(p.config())
	if err != nil {
		return err
	}
	return atomicfile.WriteIfChanged(p.generated("config.yaml"), config, 0o600)
}

type object = map[string]any

func (p Params) config() object {
	off := object{"enabled": false}
	return object{
		"apiVersion":               "kubelet.config.k8s.io/v1beta1",
		"kind":                     "KubeletConfiguration",
		"containerRuntimeEndpoint": "unix://" + p.Layout.ContainerdSocket(),
		"cgroupDriver":             "cgroupfs",
		"failCgroupV1":             false,
		"failSwapOn":               false,
		"authentication": object{
			"anonymous": off,
			"webhook":   object{"enabled": true},
			"x509":      object{"clientCAFile": p.PKI.Authority(pki.ClientCA).CertFile()},
		},
		"authorization":          object{"mode": "Webhook"},
		"tlsCertFile":            p.PKI.CertFile(leafServing),
		"tlsPrivateKeyFile":      p.PKI.KeyFile(leafServing),
		"tlsMinVersion":          "VersionTLS12",
		"clusterDomain":          p.ClusterDomain,
		"clusterDNS":             []string{p.ClusterDNS.String()},
		"resolvConf":             p.generated("resolv.conf"),
		"maxPods":                p.MaxPods,
		"systemReserved":         p.SystemReserved,
		"kubeReserved":           p.KubeReserved,
		"evictionHard":           p.EvictionHard,
		"containerLogMaxSize":    fmt.Sprintf("%dMi", p.LogMaxSizeMiB),
		"containerLogMaxFiles":   max(p.LogMaxFiles, 2),
		"podLogsDir":             p.Layout.PodLogs(),
		"volumePluginDir":        filepath.Join(p.Layout.Kubelet(), "volume-plugins"),
		"healthzBindAddress":     "127.0.0.1",
		"healthzPort":            healthzPort,
		"enableProfilingHandler": false,
	}
}

// resolvConf is the site's name servers for pods with dnsPolicy Default, CoreDNS among them. A
// server on a loopback address is this machine's own stub, which a pod cannot reach; a machine
// without any name server is the base case, and gives an empty file.
func resolvConf(path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var out []byte
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if addr, err := netip.ParseAddr(fields[1]); err == nil && !addr.IsLoopback() {
			out = append(out, "nameserver "+fields[1]+"\n"...)
		}
	}
	return out
}

func healthy(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/healthz", healthzPort), nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("kubelet is not healthy: %s", resp.Status)
	}
	return nil
}
