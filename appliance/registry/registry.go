// Package registry is the node daemon's side of the image registry: the engine as a component of a server, the certificates
// that it and its clients use, and where the container runtime of each node looks for images.
package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"islet/appliance/atomicfile"
	"islet/appliance/component"
	"islet/appliance/layout"
	"islet/appliance/pki"
	"islet/appliance/registry/client"
	"islet/appliance/registry/content"
	"islet/appliance/registry/serve"
)

// Name is the registry's name in the supervisor.
const Name = "registry"

// Port is where every server's registry listens.
const Port = 5000

// The certificates of a server: towards clients, and towards other servers' registries.
const (
	LeafServer = "registry"
	LeafPeer   = "registry-peer"
)

// Params is what the registry is told about the server.
type Params struct {
	Layout  layout.Layout
	Address netip.Addr
	// Bundle names the file whose images are served, and the digest of the bundle in it. It is asked at each start.
	Bundle func() (path string, d digest.Digest)
	// ServerGroup and AgentGroup are the organizations in the certificates of nodes.
	ServerGroup, AgentGroup string
	Child                   func(name string, args ...string) component.Spec
}

// Leaves lists the certificates of a server's registry. domain is that of the site's applications, group the organization in
// the certificates of servers.
func Leaves(node string, address netip.Addr, domain, group string) []pki.Leaf {
	return []pki.Leaf{
		{Name: LeafServer, Authority: pki.SiteCA, CommonName: content.SiteHost, Server: true,
			DNSNames:  []string{content.SiteHost, "registry." + domain, node, "localhost"},
			Addresses: []netip.Addr{address, loopback}, UsedBy: "pushing and pulling images"},
		{Name: LeafPeer, Authority: pki.NodeCA, CommonName: node, Organizations: []string{group}, Client: true,
			UsedBy: "this server towards registries"},
	}
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// Local is where a server finds its own registry.
func Local() netip.AddrPort { return netip.AddrPortFrom(loopback, Port) }

// Unit returns the registry's unit. It is ready when it answers.
func Unit(p Params) component.Unit {
	return component.Unit{New: func() component.Component {
		path := filepath.Join(p.Layout.Generated(), Name, "config.json")
		spec := p.Child(Name, "--config", path)
		spec.Prepare = func(context.Context) error { return p.writeSettings(path) }
		spec.Probe = func(ctx context.Context) error {
			_, err := Status(ctx, p.Layout)
			return err
		}
		return component.NewProcess(spec)
	}}
}

func (p Params) writeSettings(path string) error {
	cert := func(name string) string { return filepath.Join(p.Layout.PKI(), name+".crt") }
	key := func(name string) string { return filepath.Join(p.Layout.PKI(), name+".key") }
	bundle, sum := p.Bundle()
	s := serve.Settings{
		Listen: []netip.AddrPort{netip.AddrPortFrom(p.Address, Port), Local()},
		Dir:    p.Layout.Registry(), Bundle: bundle, Digest: sum,
		Cert: cert(LeafServer), Key: key(LeafServer), PeerCert: cert(LeafPeer), PeerKey: key(LeafPeer),
		ServerCA: cert(pki.SiteCA), NodeCA: cert(pki.NodeCA),
		Peers: peersFile(p.Layout), Users: usersFile(p.Layout),
		Groups: map[string]serve.Right{p.ServerGroup: serve.RightServer, p.AgentGroup: serve.RightPull},
	}
	return writeJSON(path, s)
}

func peersFile(l layout.Layout) string { return filepath.Join(l.Generated(), Name, "peers.json") }
func usersFile(l layout.Layout) string { return filepath.Join(l.Generated(), Name, "users.json") }

func writeJSON(path string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteIfChanged(path, append(data, '\n'), 0o600)
}

// WritePeers tells the registry of this server about those of the others. It may be called at any time.
func WritePeers(l layout.Layout, peers []netip.Addr) error {
	list := []netip.AddrPort{}
	for _, p := range peers {
		list = append(list, netip.AddrPortFrom(p, Port))
	}
	return writeJSON(peersFile(l), list)
}

// WriteUsers tells the registry of this server who has a password. It may be called at any time.
func WriteUsers(l layout.Layout, users serve.Users) error { return writeJSON(usersFile(l), users) }

// Dial returns a client of this server's own registry, with all rights. The caller closes it.
func Dial(l layout.Layout) (*client.Client, error) {
	file := func(name string) string { return filepath.Join(l.PKI(), name) }
	config, err := serve.ClientTLS(file(pki.SiteCA+".crt"), file(LeafPeer+".crt"), file(LeafPeer+".key"))
	if err != nil {
		return nil, fmt.Errorf("the way to this server's registry: %w", err)
	}
	return client.New(Local(), config), nil
}

// Status asks this server's registry how it is.
func Status(ctx context.Context, l layout.Layout) (client.Status, error) {
	c, err := Dial(l)
	if err != nil {
		return client.Status{}, err
	}
	defer c.Close()
	return c.Status(ctx)
}
