package controlplane

import (
	"context"
	"fmt"
	"path/filepath"

	"islet/appliance/component"
	"islet/appliance/kubeconfig"
	"islet/appliance/pki"
)

const (
	controllerManagerPort = 10257
	schedulerPort         = 10259
)

// kubeconfigFor writes the kubeconfig of a component and returns its path.
func (p Params) kubeconfigFor(leaf string) (string, error) {
	path := p.kubeconfigPath(leaf)
	return path, kubeconfig.WriteReference(path, p.Access(leaf))
}

func (p Params) kubeconfigPath(leaf string) string {
	return filepath.Join(p.Layout.Kubeconfigs(), leaf+".kubeconfig")
}

// Access is how the holder of a client leaf reaches the API on this server.
func (p Params) Access(leaf string) kubeconfig.Access { return p.AccessAt(SecurePort, leaf) }

// AccessAt is how the holder of a client leaf reaches the API at another port of this machine.
func (p Params) AccessAt(port int, leaf string) kubeconfig.Access {
	return kubeconfig.Access{
		Server:   fmt.Sprintf("https://127.0.0.1:%d", port),
		CAFile:   p.PKI.Authority(pki.ClusterCA).CertFile(),
		CertFile: p.PKI.CertFile(leaf),
		KeyFile:  p.PKI.KeyFile(leaf),
	}
}

// ControllerManager returns the controller manager's unit. It waits for the API server: upstream
// gives up when the API is not healthy within ten seconds. There is no leader election on a single
// server: losing a lease on a slow disk would end the process for nothing (LESSONS 24). With several,
// each talks to the API server beside it, so that the lease goes where both are well.
func ControllerManager(p Params, ready func(ctx context.Context) error) component.Unit {
	ca := p.PKI.Authority(pki.ClusterCA).CertFile()
	return p.client(ControllerManagerName, leafControllerManager, ready,
		fmt.Sprintf("--leader-elect=%t", p.Several),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", controllerManagerPort),
		"--tls-cert-file="+p.PKI.CertFile(leafControllerServing),
		"--tls-private-key-file="+p.PKI.KeyFile(leafControllerServing),
		"--use-service-account-credentials=true",
		"--service-account-private-key-file="+p.PKI.KeyFile("service-account"),
		"--root-ca-file="+ca,
		"--allocate-node-cidrs=true",
		"--cluster-cidr="+p.PodCIDR.String(),
		"--service-cluster-ip-range="+p.ServiceCIDR.String(),
		"--controllers=*,-certificatesigningrequest-signing-controller,-certificatesigningrequest-approving-controller",
		"--flex-volume-plugin-dir="+filepath.Join(p.Layout.Kubelet(), "volume-plugins"),
		// Every controller first asks for a token of its own, one after the other: upstream's 20
		// requests a second would make that seconds of every start.
		"--kube-api-qps=200",
		"--kube-api-burst=400",
		"--profiling=false",
	)
}

// Scheduler returns the scheduler's unit.
func Scheduler(p Params, ready func(ctx context.Context) error) component.Unit {
	return p.client(SchedulerName, leafScheduler, ready,
		fmt.Sprintf("--leader-elect=%t", p.Several),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", schedulerPort),
		"--tls-cert-file="+p.PKI.CertFile(leafSchedulerServing),
		"--tls-private-key-file="+p.PKI.KeyFile(leafSchedulerServing),
		"--profiling=false",
	)
}

func (p Params) client(name, leaf string, ready func(ctx context.Context) error, args ...string) component.Unit {
	path := p.kubeconfigPath(leaf)
	args = append([]string{
		"--kubeconfig=" + path,
		"--authentication-kubeconfig=" + path,
		"--authorization-kubeconfig=" + path,
	}, args...)
	return component.Unit{New: func() component.Component {
		spec := p.Child(name, args...)
		spec.Needs = []string{APIServerName}
		spec.Prepare = func(context.Context) error {
			_, err := p.kubeconfigFor(leaf)
			return err
		}
		spec.Probe, spec.Check = ready, ready
		return component.NewProcess(spec)
	}}
}
