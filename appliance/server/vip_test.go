package server

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"islet/appliance/config"
	"islet/appliance/vip"
)

// withVIPs gives an imagined node both virtual addresses and a further name.
func withVIPs(n *node) *node {
	n.derived.APIVIP = config.VirtualAddress{Address: netip.MustParseAddr("192.0.2.100"), RouterID: 100}
	n.derived.ApplicationsVIP = config.VirtualAddress{Address: netip.MustParseAddr("192.0.2.101"), RouterID: 101}
	n.Config.Network.VIP.APINames = []string{"api.example.com"}
	return n
}

func TestCertificatesCoverVirtualAddresses(t *testing.T) {
	t.Parallel()
	n := imagined(t)
	if _, err := n.ensureCertificates(); err != nil {
		t.Fatal(err)
	}
	if changed, err := withVIPs(n).ensureCertificates(); err != nil || !changed {
		t.Errorf("new addresses: changed %t (%v)", changed, err)
	}
	for leaf, names := range map[string][]string{
		"kube-apiserver": {"192.0.2.100", "192.0.2.101", "api.example.com", "192.0.2.11", "node1"}, leafSite: {"192.0.2.101", "192.0.2.11"},
	} {
		pair, err := n.pki.Pair(leaf)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if err := pair.Leaf.VerifyHostname(name); err != nil {
				t.Errorf("%s: %v", leaf, err)
			}
		}
	}
}

func TestNoVirtualAddressesNoKeeper(t *testing.T) {
	t.Parallel()
	n := imagined(t)
	if units := n.vipUnits(nil); units != nil || n.vipStatus() != nil || len(n.apiNames()) != 0 {
		t.Errorf("units %v, status %v, names %v", units, n.vipStatus(), n.apiNames())
	}
}

func TestGatewayAnswers(t *testing.T) {
	t.Parallel()
	gateway := httptest.NewServer(http.RedirectHandler("https://elsewhere.invalid/", http.StatusMovedPermanently))
	defer gateway.Close()
	at := netip.MustParseAddrPort(strings.TrimPrefix(gateway.URL, "http://"))
	n := imagined(t)
	n.derived.Address, n.Config.Gateway.HTTPPort = at.Addr(), int(at.Port())
	if err := n.gatewayAnswers(t.Context()); err != nil {
		t.Error(err)
	}
	gateway.Close()
	if err := n.gatewayAnswers(t.Context()); err == nil {
		t.Error("a gateway that is gone answers")
	}
	n.Config.Gateway.Enabled = false
	if err := n.gatewayAnswers(t.Context()); err != nil {
		t.Errorf("without a gateway: %v", err)
	}
}

func TestJudgeVIPs(t *testing.T) {
	t.Parallel()
	address, looked := netip.MustParseAddr("192.0.2.100"), time.Now()
	for name, c := range map[string]struct {
		status vip.Status
		want   []string
	}{
		"held":             {vip.Status{State: vip.Held, Holder: "192.0.2.11"}, nil},
		"standby":          {vip.Status{State: vip.Standby, Holder: "192.0.2.12"}, nil},
		"unfit, but held":  {vip.Status{State: vip.Unfit, Holder: "192.0.2.12", Reason: "not ready"}, nil},
		"missing":          {vip.Status{State: vip.Unfit, Reason: "not ready"}, []string{"vip-missing 192.0.2.100: not ready"}},
		"held by a second": {vip.Status{State: vip.Held, Holder: "192.0.2.11", Duplicate: "02:00:00:00:00:99"}, []string{"vip-duplicate 192.0.2.100: 02:00:00:00:00:99"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.status.Address, c.status.Looked = address, looked
			if got := judge(t, func(n *node) { n.judgeVIPs([]vip.Status{c.status}) }); !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
			gone := judge(t, func(n *node) {
				n.judgeVIPs([]vip.Status{c.status})
				n.judgeVIPs([]vip.Status{{Address: address, State: vip.Held, Holder: "192.0.2.11"}})
			})
			if len(gone) > 0 {
				t.Errorf("%q stays", gone)
			}
		})
	}
	if got := judge(t, func(n *node) { n.judgeVIPs([]vip.Status{{Address: address, State: vip.Unfit}}) }); got != nil {
		t.Errorf("before the first look: %q", got)
	}
}

func TestApplicationsAreAtTheVirtualAddress(t *testing.T) {
	t.Parallel()
	n := imagined(t)
	before := addonValues(n.Config, n.derived, nil)["NODE_ADDRESS"]
	after := addonValues(n.Config, withVIPs(n).derived, nil)["NODE_ADDRESS"]
	if before != "192.0.2.11" || after != "192.0.2.101" {
		t.Errorf("names lead to %s, and to %s with a virtual address", before, after)
	}
}

// A change of the gateway's manifest starts every gateway anew: who applies it must make no difference.
func TestEveryServerPublishesTheSameAddress(t *testing.T) {
	t.Parallel()
	all := []string{"192.0.2.9", "192.0.2.11", "192.0.2.100"}
	for _, own := range all {
		n := imagined(t)
		n.derived.Address = netip.MustParseAddr(own)
		var addresses []netip.Addr
		for _, a := range all {
			addresses = append(addresses, netip.MustParseAddr(a))
		}
		n.servers = serversAt(addresses...)
		if got := n.publishedAddress().String(); got != "192.0.2.9" {
			t.Errorf("%s publishes %s", own, got)
		}
		if got := withVIPs(n).publishedAddress().String(); got != "192.0.2.101" {
			t.Errorf("%s publishes %s with a virtual address", own, got)
		}
	}
}
