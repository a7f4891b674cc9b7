package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/flannel-io/flannel/pkg/backend"
	_ "github.com/flannel-io/flannel/pkg/backend/hostgw" // registers host-gw
	_ "github.com/flannel-io/flannel/pkg/backend/vxlan"  // registers vxlan
	"github.com/flannel-io/flannel/pkg/ip"
	"github.com/flannel-io/flannel/pkg/subnet/kube"
	"github.com/flannel-io/flannel/pkg/trafficmngr/nftables"
)

const (
	annotationPrefix   = "flannel.alpha.coreos.com"
	rulesResyncSeconds = 10
)

// runFlannel keeps the routes to the other nodes' pods and the masquerading of what leaves.
func (c Config) runFlannel(ctx context.Context, device *net.Interface, s Status) error {
	netConf, err := c.writeFlannelConfig(s)
	if err != nil {
		return err
	}
	if err := os.Setenv("NODE_NAME", c.NodeName); err != nil { // the only way the library takes it
		return err
	}
	subnets, err := kube.NewSubnetManager(ctx, "", c.Kubeconfig, annotationPrefix, netConf, true)
	if err != nil {
		return fmt.Errorf("start flannel: %w", err)
	}
	config, err := subnets.GetNetworkConfig(ctx)
	if err != nil {
		return fmt.Errorf("flannel's configuration: %w", err)
	}
	be, err := backend.NewManager(ctx, subnets, &backend.ExternalInterface{
		Iface: device, IfaceName: device.Name, IfaceAddr: c.Address.AsSlice(), ExtAddr: c.Address.AsSlice(),
	}).GetBackend(config.BackendType)
	if err != nil {
		return fmt.Errorf("flannel's backend %s: %w", config.BackendType, err)
	}
	var running sync.WaitGroup
	defer running.Wait()
	network, err := be.RegisterNetwork(ctx, &running, config)
	if err != nil {
		return fmt.Errorf("register with flannel: %w", err)
	}
	rules := &nftables.NFTablesManager{}
	if err := rules.Init(ctx); err != nil {
		return fmt.Errorf("flannel's rules: %w", err)
	}
	if err := rules.SetupAndEnsureMasqRules(ctx, config.Network, ip.IP4Net{}, ip.IP4Net{}, ip.IP6Net{}, ip.IP6Net{}, ip.IP6Net{},
		network.Lease(), rulesResyncSeconds, false); err != nil {
		return fmt.Errorf("flannel's masquerading: %w", err)
	}
	rules.SetupAndEnsureForwardRules(ctx, config.Network, ip.IP6Net{}, rulesResyncSeconds)
	running.Go(func() { network.Run(ctx) })
	return subnets.CompleteLease(ctx, network.Lease(), &running)
}

func (c Config) writeFlannelConfig(s Status) (string, error) {
	backendConfig := map[string]any{"Type": s.Backend}
	if s.Backend == "vxlan" {
		backendConfig["DirectRouting"] = c.DirectRouting
		backendConfig["MTU"] = s.MTU
	}
	data, err := json.Marshal(map[string]any{"Network": c.PodCIDR.String(), "EnableNFTables": true, "Backend": backendConfig})
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(c.StatusFile), "flannel.json")
	return path, os.WriteFile(path, data, 0o600)
}
