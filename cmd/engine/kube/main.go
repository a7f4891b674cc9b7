// Command kube is the Kubernetes engine: every upstream Kubernetes program that a node runs, chosen
// by the name it is started under (argv[0]). The mains are the stock ones; nothing is patched. The network
// agent and the platform's controllers are here too: they share almost all of their code with them.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
	_ "time/tzdata" // CronJob time zones on machines without zoneinfo

	"github.com/spf13/cobra"
	"k8s.io/client-go/transport"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	"islet/appliance/footprint"
	"islet/appliance/network/agent"
	"islet/appliance/paas"
)

// commands holds constructors, not commands: upstream installs signal handlers and registers
// metrics at construction, so only the one that runs may be built.
var commands = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kube-proxy":              proxy.NewProxyCommand,
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
}

// certificateReload is how often clients of the API look for a new certificate of theirs. Upstream's five minutes would be
// five in which an authority that is rotated must be trusted for nothing else.
const certificateReload = 10 * time.Second

func main() {
	transport.CertCallbackRefreshDuration = certificateReload
	name := filepath.Base(os.Args[0])
	switch name {
	case "kubectl":
		if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
			kubectlutil.CheckErr(err)
		}
		return
	case "islet-network":
		footprint.AfterStart()
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		if err := agent.Run(ctx, os.Args[1:]); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			os.Exit(1)
		}
		return
	case "tenancy":
		footprint.AfterStart()
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		if err := paas.Main(ctx, os.Args[1:], os.Stderr); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			os.Exit(1)
		}
		return
	}
	newCommand, ok := commands[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "kube: no program named %q; start it under a Kubernetes program's name\n", name)
		os.Exit(2)
	}
	footprint.AfterStart()
	os.Exit(cli.Run(newCommand()))
}
