package server

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"islet/appliance/addon"
	"islet/appliance/config"
	"islet/appliance/host"
	"islet/appliance/layout"
	"islet/appliance/pki"
	"islet/bundle"
)

// ErrNoAddon is returned for a name that the bundle does not carry.
var ErrNoAddon = errors.New("the bundle carries no add-on of that name")

// Render fills in the manifests of one add-on for the node that c describes, without a daemon.
func Render(ctx context.Context, c config.Config, etcDir string, b *bundle.Reader, name string) ([]*unstructured.Unstructured, error) {
	facts, err := host.Gather(ctx)
	if err != nil {
		return nil, err
	}
	derived, err := config.Derive(c, facts)
	if err != nil {
		return nil, err
	}
	components, err := addon.Load(ctx, b)
	if err != nil {
		return nil, err
	}
	ca, err := clusterCA(c.Layout(etcDir))
	if err != nil {
		return nil, err
	}
	values := addonValues(c, derived, ca)
	for _, component := range components {
		if component.Name == name {
			objects, err := component.Render(values)
			if err != nil {
				err = fmt.Errorf("add-on %s: %w", name, err)
			}
			return objects, err
		}
	}
	return nil, fmt.Errorf("%w: %q; see `appliance addon list`", ErrNoAddon, name)
}

// CheckAddons renders every add-on of a platform's bundle for an imaginary node and reports all that
// could not be applied on a real one, without a daemon.
func CheckAddons(ctx context.Context, b *bundle.Reader) error {
	address := netip.MustParseAddr("192.0.2.1") // of a network for documentation
	c := config.Default()
	c.Gateway.Bind = address
	d := config.Derived{Address: address, ClusterDNS: address, Domain: "apps.example"}
	return addon.Check(ctx, b, addonValues(c, d, nil))
}

// clusterCA is the certificate of the cluster's authority, empty on a machine that has none yet.
func clusterCA(l layout.Layout) ([]byte, error) {
	ca, err := os.ReadFile(filepath.Join(l.PKI(), pki.ClusterCA+".crt"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return ca, err
}

// addonValues is what manifests may ask for.
func addonValues(c config.Config, d config.Derived, ca []byte) map[string]string {
	bind := ""
	if c.Gateway.Bind.IsValid() {
		bind = ", hostIP: " + c.Gateway.Bind.String()
	}
	return map[string]string{
		"SITE_NAME":         c.Site.Name,
		"NODE_ADDRESS":      d.ApplicationsAddress().String(),
		"GATEWAY_ADDRESS":   d.ApplicationsAddress().String(),
		"CLUSTER_DOMAIN":    c.Network.ClusterDomain,
		"CLUSTER_DNS":       d.ClusterDNS.String(),
		"CLUSTER_CA_BASE64": base64.StdEncoding.EncodeToString(ca),
		"APP_DOMAIN":        d.Domain,
		"HTTP_PORT":         strconv.Itoa(c.Gateway.HTTPPort),
		"HTTPS_PORT":        strconv.Itoa(c.Gateway.HTTPSPort),
		"GATEWAY_BIND":      bind,
		"STORAGE_PATH":      c.StoragePath(),
		"DNS_UPSTREAM":      dnsUpstream(c),
	}
}

// dnsUpstream is the CoreDNS plug-in for names outside the cluster. Without servers such a name does
// not exist; waiting for a server that is not there would make every typo take seconds. It is the
// empty zone's file rather than a template: CoreDNS asks its plug-ins in an order of its own, in which
// a template comes before the cluster's names and would deny those too.
func dnsUpstream(c config.Config) string {
	if len(c.Network.DNS) == 0 {
		return "file /etc/coredns/nothing.zone ."
	}
	var servers []string
	for _, a := range c.Network.DNS {
		servers = append(servers, a.String())
	}
	return "forward . " + strings.Join(servers, " ")
}
