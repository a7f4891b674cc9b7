package cli

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"

	"islet/appliance/config"
	"islet/appliance/controlplane"
	"islet/appliance/datastore"
	"islet/appliance/install"
	"islet/appliance/join"
	"islet/appliance/kubelet"
	"islet/appliance/registry"
	"islet/appliance/reset"
)

// apply asks the site whether it would take this machine, while the ports that the site must reach are open.
func (f *joinFlags) apply(ctx context.Context, client *join.Client, a join.Application, own config.Config, o *install.Options) (config.Config, error) {
	listeners := listenForSite(ctx, &a)
	probes, err := join.Receive(netip.AddrPortFrom(a.Address, vxlanPort))
	if err == nil {
		a.ProbePort = vxlanPort
		defer func() { _ = probes.Close() }()
	}
	answer, err := client.Consult(ctx, a)
	for _, l := range listeners {
		_ = l.Close()
	}
	if err != nil {
		return config.Config{}, err
	}
	if err := probes.Check(ctx, answer.Probe, client.Server.Addr(), a.Address); err != nil {
		return config.Config{}, Advise(err, "open 8472/udp between the machines; where large ones get lost, let the switches between carry them, or set a smaller network.mtu for the site")
	}
	if err := join.CheckReached(client.Server.Addr(), a.Address, answer.Unreached); err != nil {
		return config.Config{}, Advise(err, "open these ports in this machine's firewall, and in those between")
	}
	c, _, err := config.Decode(bytes.NewReader(answer.Config))
	if err != nil {
		return c, fmt.Errorf("the site's answer file for this machine: %w", err)
	}
	ports := []uint16{registry.Port}
	if c.Datastore.Store == config.StoreEtcd {
		ports = append(serverPorts(a.Role), ports...)
	}
	warnings, err := join.CheckPorts(ctx, client.Server.Addr(), answer.Servers, ports...)
	for _, w := range warnings {
		f.note("warning: another server of the site cannot be reached: %s", w)
	}
	if err != nil {
		return config.Config{}, Advise(err, "open the port towards that server in the firewalls between")
	}
	if f.config != "" {
		if c, err = withOwn(c, own); err != nil {
			return c, Exit(CodeConfig, fmt.Errorf("%s does not go with the site's answer file: %w", f.config, err))
		}
	}
	if o.Config, err = config.Marshal(c, false); err != nil {
		return c, err
	}
	o.Target = reset.NewTarget(c, filepath.Dir(o.ConfigPath))
	return c, nil
}

// serverPorts are those by which only servers know each other, for a node that is to be one.
func serverPorts(role config.Role) []uint16 {
	if role == config.RoleServer {
		return []uint16{datastore.ClientPort, datastore.PeerPort}
	}
	return nil
}

// listenForSite opens the ports that the site must reach. One that is taken is for preflight to tell of.
func listenForSite(ctx context.Context, a *join.Application) []net.Listener {
	ports := append([]uint16{kubelet.Port}, serverPorts(a.Role)...)
	if a.Role == config.RoleServer {
		ports = append(ports, controlplane.SecurePort, join.DefaultPort, registry.Port)
	}
	var listeners []net.Listener
	for _, port := range ports {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", netip.AddrPortFrom(a.Address, port).String())
		if err == nil {
			listeners, a.Ports = append(listeners, l), append(a.Ports, port)
		}
	}
	return listeners
}

const vxlanPort = 8472
