// Package agent is the network agent of a node, linked into the kube engine: flannel's routes
// between nodes, the CNI configuration of the pods, the host's route to service addresses, and the
// enforcement of NetworkPolicy. It is stopped and started like any engine; the network it set up
// goes on without it.
package agent

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// Config is the agent's configuration file, JSON.
type Config struct {
	NodeName      string       `json:"nodeName"`
	Address       netip.Addr   `json:"address"`
	PodCIDR       netip.Prefix `json:"podCIDR"`     // of the cluster
	ServiceCIDR   netip.Prefix `json:"serviceCIDR"` // of the cluster
	NodePortRange string       `json:"nodePortRange"`
	Backend       string       `json:"backend"`       // host-gw or vxlan
	DirectRouting bool         `json:"directRouting"` // with vxlan: nodes on one link route straight
	MTU           int          `json:"mtu"`           // of pods, in bytes
	CNIDir        string       `json:"cniDir"`
	StatusFile    string       `json:"statusFile"`
	Kubeconfig    string       `json:"kubeconfig"`
}

// Status is what the agent settled on, written to Config.StatusFile once pods can be connected.
type Status struct {
	Backend   string       `json:"backend"`
	Interface string       `json:"interface"`
	PodCIDR   netip.Prefix `json:"podCIDR"` // of this node
	MTU       int          `json:"mtu"`     // of pods
}

// Run is the agent's program: islet-network --config FILE. It returns when ctx is cancelled.
func Run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("islet-network", flag.ContinueOnError)
	file := flags.String("config", "", "configuration file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	data, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	var c Config
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("decode %s: %w", *file, err)
	}
	rest, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return err
	}
	return c.run(ctx, client)
}

func (c Config) run(ctx context.Context, client kubernetes.Interface) error {
	device, err := interfaceOf(c.Address)
	if err != nil {
		return err
	}
	subnet, err := c.awaitSubnet(ctx, client)
	if err != nil {
		return err
	}
	status := Status{Interface: device.Name, PodCIDR: subnet, Backend: c.Backend, MTU: c.MTU}
	if err := c.ensureHost(device); err != nil {
		return err
	}
	if err := c.writeCNI(status); err != nil {
		return err
	}
	if err := writeJSON(c.StatusFile, status); err != nil {
		return err
	}
	klog.InfoS("Pods can be connected", "backend", status.Backend, "subnet", subnet, "mtu", status.MTU)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.runFlannel(ctx, device, status) })
	group.Go(func() error { return c.runPolicy(ctx, client) })
	group.Go(func() error { return c.keepHost(ctx, device) })
	err = group.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// awaitSubnet waits until the node is registered at its address and has its part of the pod network. One that had another
// address is there under that until the kubelet has said otherwise, and the policy engine takes it from there.
func (c Config) awaitSubnet(ctx context.Context, client kubernetes.Interface) (netip.Prefix, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		node, err := client.CoreV1().Nodes().Get(ctx, c.NodeName, metav1.GetOptions{})
		if err == nil && node.Spec.PodCIDR != "" && c.isAt(node) {
			return netip.ParsePrefix(node.Spec.PodCIDR)
		}
		select {
		case <-ctx.Done():
			return netip.Prefix{}, ctx.Err()
		case <-tick.C:
		}
	}
}

func (c Config) isAt(node *corev1.Node) bool {
	return slices.Contains(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: c.Address.String()})
}

// interfaceOf finds the device that has the node's address.
func interfaceOf(address netip.Addr) (*net.Interface, error) {
	devices, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for i := range devices {
		addrs, err := devices[i].Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr() == address {
				return &devices[i], nil
			}
		}
	}
	return nil, fmt.Errorf("no interface has the node's address %s", address)
}
