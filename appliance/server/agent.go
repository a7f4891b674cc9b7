package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"islet/appliance/component"
	"islet/appliance/config"
	"islet/appliance/join"
	"islet/appliance/kube"
	"islet/appliance/kubelet"
	"islet/appliance/layout"
	"islet/appliance/network"
	"islet/appliance/pki"
	"islet/appliance/runtime"
)

// ErrNotJoined is returned on a machine that is to be an agent but that no site has let in.
var ErrNotJoined = errors.New("this machine has not joined a site")

func (n *node) isAgent() bool { return n.Config.Node.Role == config.RoleAgent }

// openMembership reads what an agent was given when it joined.
func (n *node) openMembership(built time.Time) error {
	store, err := pki.OpenJoined(n.layout.PKI(), built, nil)
	if err == nil {
		n.pki = store
		n.servers, err = join.ReadServers(n.layout.Servers())
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: run `appliance join --token ...` (%w)", ErrNotJoined, err)
	}
	return err
}

// agentUnits is everything that an agent runs, and what each waits for.
func (n *node) agentUnits() ([]component.Unit, error) {
	net := n.networkParams()
	client, err := kube.NewClient(kube.Config(n.access(kubelet.LeafClient)))
	if err != nil {
		return nil, err
	}
	n.pods = client
	n.balancer = n.newBalancer()
	units := []component.Unit{
		n.witnessUnit(),
		n.balancerUnit(),
		n.imageSourcesUnit(client),
		runtime.Containerd(n.runtimeParams()),
		n.images.Unit(),
		kubelet.Unit(n.kubeletParams()),
		network.Agent(net),
		network.Proxy(net),
		n.nodeUnit(client),
		n.membershipUnit(n.refresh, membershipInterval),
		n.backups.unit(),
	}
	return append(units, n.moveUnits(n.reportDone, nil)...), nil
}

// refresh brings the list of servers and the certificates up to date, and tells all servers how this node is.
func (n *node) refresh(ctx context.Context) error {
	client, _, err := n.dial(ctx, n.knownServers().Node...)
	if err != nil {
		return err
	}
	defer client.Close()
	servers, err := client.Servers(ctx)
	if errors.Is(err, join.ErrRemoved) {
		return errors.Join(err, n.leave(func() error { return client.Left(ctx) }))
	}
	if err == nil {
		err = n.keepServers(servers)
	}
	if err == nil {
		err = client.Report(ctx, n.Status())
	}
	if err != nil {
		return err
	}
	if err := n.followAuthorities(ctx, client); err != nil {
		return err
	}
	n.reportTo(ctx, slices.DeleteFunc(n.otherServers(), func(a netip.Addr) bool { return a == client.Server.Addr() }))
	if err := n.renew(ctx, client); err != nil {
		return err
	}
	if err := n.dropAuthorities(); err != nil {
		return err
	}
	return n.follow(ctx, client, func(ctx context.Context) error { return n.renew(ctx, client) })
}

// leave cleans the machine as `appliance reset` does, which stops this daemon. A process of its own does it. The site is
// told before.
func (n *node) leave(tell func() error) error {
	if n.EtcDir != layout.Default().EtcDir {
		return fmt.Errorf("this node's answer file is in %s, where `appliance reset` does not look: clean the machine by hand", n.EtcDir)
	}
	n.Log.Warn("the site has removed this node: its machine is cleaned now")
	if err := tell(); err != nil {
		return err
	}
	reset := exec.Command("/proc/self/exe", "reset", "--yes") //nolint:noctx // it outlives this daemon
	reset.Stdout, reset.Stderr = os.Stderr, os.Stderr
	reset.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := reset.Start(); err != nil {
		return fmt.Errorf("clean the machine: %w", err)
	}
	go func() { _ = reset.Wait() }() // it has told its error itself
	return nil
}

// renew replaces the certificates that are due.
func (n *node) renew(ctx context.Context, client *join.Client) error {
	due, err := n.pki.Due(n.allLeaves())
	if err != nil || len(due) == 0 {
		return err
	}
	pending, asked := map[string]pki.Request{}, map[string][]byte{}
	for _, d := range due {
		r, err := pki.NewRequest(d.Leaf)
		if err != nil {
			return err
		}
		pending[d.Leaf.Name], asked[d.Leaf.Name] = r, r.CSR
	}
	renewed, err := client.Renew(ctx, join.Renewal{Requests: asked})
	if err != nil {
		return err
	}
	for _, d := range due {
		if err := n.pki.Install(pending[d.Leaf.Name], renewed.Certificates[d.Leaf.Name]); err != nil {
			return err
		}
		n.Log.Info("certificate issued", "certificate", d.Leaf.Name, "reason", string(d.Reason), "by", client.Server)
		n.noteIssued()
	}
	return nil
}

func (n *node) nodePair() (tls.Certificate, error) { return n.pki.Pair(join.NodeLeaf) }
