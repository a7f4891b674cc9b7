package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"islet/appliance/component"
	"islet/appliance/config"
	"islet/appliance/health"
	"islet/appliance/vip"
)

// gatewayTimeout is longer than the keeper waits: its own limit counts.
const gatewayTimeout = 5 * time.Second

// vipUnits runs keepalived, where there is a virtual address. apiReady says whether this server's own API server is ready.
func (n *node) vipUnits(apiReady func(context.Context) error) []component.Unit {
	var addresses []vip.Address
	add := func(p vip.Purpose, a config.VirtualAddress, serves func(context.Context) error) {
		if a.Address.IsValid() {
			addresses = append(addresses, vip.Address{Purpose: p, IP: a.Address, RouterID: a.RouterID, Serves: serves})
		}
	}
	add(vip.API, n.derived.APIVIP, apiReady)
	add(vip.Applications, n.derived.ApplicationsVIP, n.gatewayAnswers)
	if len(addresses) == 0 {
		return nil
	}
	n.vips = vip.New(vip.Params{
		Layout: n.layout, NodeName: n.derived.NodeName, IP: n.derived.Address, Interface: n.derived.Interface,
		Addresses: addresses, Peers: n.otherServers, Child: n.child, Log: n.Log,
	})
	return []component.Unit{n.vips.Unit()}
}

// gatewayAnswers complains while the gateway on this machine does not answer HTTP. What it answers does not matter: there may
// be no application yet. Without a gateway the address is for node ports, which any server has.
func (n *node) gatewayAnswers(ctx context.Context) error {
	if !n.Config.Gateway.Enabled {
		return nil
	}
	url := fmt.Sprintf("http://%s:%d/", n.derived.Address, n.Config.Gateway.HTTPPort)
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{
		Timeout: gatewayTimeout, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("the gateway does not answer: %w", errors.Unwrap(err))
	}
	return response.Body.Close()
}

// apiNames are what the API server's certificate covers beside this server's own name and addresses.
func (n *node) apiNames() []string {
	names := n.Config.Network.VIP.APINames
	for _, v := range []config.VirtualAddress{n.derived.APIVIP, n.derived.ApplicationsVIP} {
		if v.Address.IsValid() {
			names = append(slices.Clip(names), v.Address.String())
		}
	}
	return names
}

// vipStatus says who holds the virtual addresses.
func (n *node) vipStatus() []vip.Status {
	if n.vips == nil {
		return nil
	}
	return n.vips.Snapshot()
}

// judgeVIPs reports addresses that nobody holds, or somebody who may not.
func (n *node) judgeVIPs(all []vip.Status) {
	for _, s := range all {
		n.set(health.VIPDuplicate, s.Address.String(), s.Duplicate != "", s.Duplicate)
		n.set(health.VIPMissing, s.Address.String(), s.Missing(), s.Reason)
	}
}
