package datastore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"islet/appliance/component"
	"islet/appliance/layout"
	"islet/appliance/pki"
)

// The programs of etcd in the store engine: the server, and the tool that the daemon asks.
const (
	EtcdName     = "etcd"
	EtcdToolName = "etcd-tool"
)

// Where etcd listens on a server, besides its address for clients and for the other members.
const (
	ClientPort   = 2379
	PeerPort     = 2380
	MetricsPort  = 2381
	localClients = "127.0.0.1:2379"
)

// Leaves of a server whose datastore is etcd.
const (
	leafEtcdServer = "etcd-server"
	leafEtcdPeer   = "etcd-peer"
	LeafEtcdClient = "etcd-client"
)

// Etcd is what a member of the cluster is told.
type Etcd struct {
	NodeName string
	Address  netip.Addr
	PKI      *pki.Store
	// Others lists the site's other servers, as far as this one knows: a member that has nothing gets everything from them.
	Others func() []netip.Addr
	// Newest is the latest generation of the other servers' copies, as far as they can be asked now; 0 when they cannot.
	Newest func(context.Context) int
	// Standby is told whether this server holds a copy without a vote, because a second one would do harm.
	Standby func(bool)
}

// EtcdLeaves lists the certificates of a member.
func EtcdLeaves(address netip.Addr) []pki.Leaf {
	loopback := netip.MustParseAddr("127.0.0.1")
	return []pki.Leaf{
		{Name: leafEtcdServer, Authority: pki.EtcdCA, CommonName: leafEtcdServer, Server: true,
			DNSNames: []string{"localhost"}, Addresses: []netip.Addr{loopback, address}, UsedBy: "serves the datastore"},
		{Name: leafEtcdPeer, Authority: pki.EtcdCA, CommonName: leafEtcdPeer, Server: true, Client: true,
			Addresses: []netip.Addr{address}, UsedBy: "the datastore's members towards each other"},
		{Name: LeafEtcdClient, Authority: pki.EtcdCA, CommonName: LeafEtcdClient, Client: true, UsedBy: "the API server towards the datastore"},
	}
}

// EtcdDir is etcd's data directory.
func EtcdDir(l layout.Layout) string { return filepath.Join(l.Datastore(), "etcd") }

// EtcdServer returns the unit of etcd. A member that has nothing, or something damaged, gets everything from the site's other
// servers; one that is alone does what kine does.
func EtcdServer(p Params) component.Unit {
	config := filepath.Join(p.Layout.Generated(), EtcdName, "etcd.yaml")
	return component.Unit{New: func() component.Component {
		spec := p.Child(EtcdName, "--config-file", config)
		spec.Prepare = func(ctx context.Context) error { return p.prepareEtcd(ctx, config) }
		spec.Probe, spec.Check = etcdReady, etcdReady
		return component.NewProcess(spec)
	}}
}

func (p Params) prepareEtcd(ctx context.Context, config string) error {
	if err := os.MkdirAll(p.Layout.Datastore(), 0o700); err != nil {
		return err
	}
	start, err := p.beginning(ctx)
	if err != nil {
		return err
	}
	p.announceSeat(ctx, config)
	return p.writeEtcdConfig(config, start)
}

// beginning says what etcd starts from, after putting it in place. Etcd itself reads it only where it finds no log.
func (p Params) beginning(ctx context.Context) (initial, error) {
	alone := initial{cluster: p.Etcd.NodeName + "=" + peerURL(p.Etcd.Address), state: "new"}
	if err := p.inherit(ctx); err != nil {
		return initial{}, err
	}
	report, err := p.store().check(ctx)
	_, log := os.Stat(filepath.Join(EtcdDir(p.Layout), "member", "wal"))
	newest, outdated, failed := p.outdated(ctx)
	switch {
	case failed != nil:
		return initial{}, failed
	case err == nil && outdated == nil && (log == nil || report.Rows > 0):
		return alone, nil
	case outdated != nil, len(p.Etcd.Others()) > 0 && (err == nil || errors.Is(err, ErrDamaged)):
		return p.rejoin(ctx, errors.Join(err, outdated), newest)
	}
	found, err := p.examine(ctx)
	if err == nil && found != "" {
		err = p.restore(ctx, found)
	}
	return alone, err
}

// rejoin makes this server a member that gets everything from the others.
func (p Params) rejoin(ctx context.Context, found error, generation int) (initial, error) {
	added, err := tool[Addition](ctx, p, p.otherMembers(), "add", p.seat()...)
	if err != nil {
		return initial{}, fmt.Errorf("become a member of the datastore of the site's other servers: %w", err)
	}
	if found != nil {
		r, err := p.putAside(Restoration{Found: found.Error()})
		if err != nil {
			return initial{}, err
		}
		p.Log.Error("datastore put aside, this server gets a copy from the others", "found", found, "kept", r.Kept)
	}
	return initial{cluster: added.InitialCluster, state: "existing"}, p.setGeneration(generation)
}

// tool asks etcd's tool, which talks to the members at these endpoints.
func tool[T any](ctx context.Context, p Params, endpoints []string, verb string, args ...string) (T, error) {
	keys := p.Etcd.PKI
	flags := []string{
		verb, "--endpoints", strings.Join(endpoints, ","), "--cacert", keys.Authority(pki.EtcdCA).CertFile(),
		"--cert", keys.CertFile(LeafEtcdClient), "--key", keys.KeyFile(LeafEtcdClient),
	}
	return ask[T](ctx, p, EtcdToolName, append(flags, args...)...)
}

// thisMember is the own endpoint only, otherMembers all but that.
func thisMember() []string { return []string{"https://" + localClients} }

func (p Params) otherMembers() []string {
	var endpoints []string
	for _, a := range p.Etcd.Others() {
		endpoints = append(endpoints, fmt.Sprintf("https://%s:%d", a, ClientPort))
	}
	return endpoints
}

func (p Params) allMembers() []string { return append(thisMember(), p.otherMembers()...) }

// seat is this server among the members.
func (p Params) seat() []string {
	return []string{"--name", p.Etcd.NodeName, "--peer", peerURL(p.Etcd.Address)}
}

// TakeSeat has the other members find this one at its node's address. One that has had no other is found there.
func (p Params) TakeSeat(ctx context.Context) error {
	_, err := tool[Member](ctx, p, p.allMembers(), "seat", p.seat()...)
	return err
}

// announceSeat does so before etcd listens at another address than when it last ran, if the others can be asked. A server that
// is alone, or whose others are away, does it once it runs.
func (p Params) announceSeat(ctx context.Context, config string) {
	last, err := os.ReadFile(config)
	if err != nil || len(p.Etcd.Others()) == 0 || bytes.Contains(last, []byte("listen-peer-urls: "+peerURL(p.Etcd.Address)+"\n")) {
		return
	}
	if _, err := tool[Member](ctx, p, p.otherMembers(), "seat", p.seat()...); err != nil {
		p.Log.Warn("the other members of the datastore have not heard of this one's address yet", "error", err)
	}
}

func peerURL(a netip.Addr) string { return fmt.Sprintf("https://%s:%d", a, PeerPort) }

// etcdStore is a directory; a snapshot of it is a file.
type etcdStore struct{ p Params }

func (s etcdStore) path() string { return EtcdDir(s.p.Layout) }

func (s etcdStore) endings() []string { return []string{""} }

func (s etcdStore) check(ctx context.Context) (Report, error) {
	return ask[Report](ctx, s.p, EtcdToolName, "check", s.path())
}

func (s etcdStore) snapshot(ctx context.Context, copy string) (Report, error) {
	return tool[Report](ctx, s.p, thisMember(), "snapshot", copy)
}

func (s etcdStore) candidate(ctx context.Context, snapshot, path string) error {
	_, err := ask[Report](ctx, s.p, EtcdToolName, append([]string{"restore", "--snapshot", snapshot, "--data-dir", path, "--bump", revisionBump}, s.p.seat()...)...)
	return err
}

// revisionBump is more than a site writes between two snapshots: what has seen the lost revisions must not take later ones
// for them. (etcd's own advice is a thousand million per week; 20 writes a second are 1.2 million in the longest interval.)
const revisionBump = "1000000000"
