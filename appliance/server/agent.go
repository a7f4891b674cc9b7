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
	"syscall"
	"time"

	"islet/appliance/balancer"
	"islet/appliance/component"
	"islet/appliance/config"
	"islet/appliance/controlplane"
	"islet/appliance/join"
	"islet/appliance/kube"
	"islet/appliance/kubelet"
	"islet/appliance/layout"
	"islet/appliance/network"
	"islet/appliance/pki"
	"islet/appliance/runtime"
)

const (
	balancerName       = "api-balancer"
	membershipName     = "membership"
	membershipInterval = 30 * time.Second
	membershipRetry    = 2 * time.Second // after a failure: the servers may be back
)

// ErrNotJoined is returned on a machine that is to be an agent but that no site has let in.
var ErrNotJoined = errors.New("this machine has not joined a site")

func (n *node) isAgent() bool { return n.Config.Node.Role == config.RoleAgent }

// openMembership reads what an agent was given when it joined.
func (n *node) openMembership(built time.Time) error {
	store, err := pki.OpenJoined(n.layout.PKI(), built, nil)
	if err == nil {
		n.pki = store
		n.siteServers, err = join.ReadServers(n.layout.Servers())
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: run `appliance join --token ...` (%w)", ErrNotJoined, err)
	}
	return err
}

// agentUnits is everything that an agent runs, and what each waits for.
func (n *node) agentUnits() ([]component.Unit, error) {
	net := n.networkParams()
	client, err := kube.NewClient(kube.Config(n.controlPlane().Access(kubelet.LeafClient)))
	if err != nil {
		return nil, err
	}
	n.balancer = n.newBalancer()
	return []component.Unit{
		n.balancerUnit(),
		n.imageSourcesUnit(client),
		runtime.Containerd(n.runtimeParams()),
		n.images.Unit(),
		kubelet.Unit(n.kubeletParams()),
		network.Agent(net),
		network.Proxy(net),
		n.nodeUnit(client),
		n.membershipUnit(),
	}, nil
}

// newBalancer puts the site's API servers where a server has its own: everything on a node finds the API there.
func (n *node) newBalancer() *balancer.Balancer {
	ca := n.pki.Authority(pki.ClusterCA).CertFile()
	pair := func() (tls.Certificate, error) { return n.pki.Pair(kubelet.LeafClient) }
	return balancer.New(balancer.Options{
		Listen: fmt.Sprintf("127.0.0.1:%d", controlplane.SecurePort),
		Check: func(ctx context.Context, server netip.AddrPort) error {
			return kube.Probe(ca, fmt.Sprintf("https://%s/readyz", server), pair)(ctx)
		},
		Log: n.Log,
	}, n.siteServers.API)
}

// balancerComponent is ready when it listens: whether a server answers shows in its health.
type balancerComponent struct {
	component.Task
	balancer *balancer.Balancer
}

// Check implements component.Checker.
func (c balancerComponent) Check(context.Context) error { return c.balancer.Ready() }

func (n *node) balancerUnit() component.Unit {
	return component.Unit{New: func() component.Component {
		return balancerComponent{component.Task{TaskName: balancerName, Do: n.balancer.Run}, n.balancer}
	}}
}

// membership keeps an agent's certificates and its list of servers.
type membership struct {
	component.Task
	node *node
}

// Check implements component.Checker.
func (m *membership) Check(context.Context) error { return m.node.membershipError() }

func (n *node) membershipError() error {
	if err := n.refreshed.Load(); err != nil {
		return *err
	}
	return nil
}

// isRemoved says whether the site has told this node that it is none of its own any more.
func (n *node) isRemoved() bool {
	err := n.membershipError()
	return errors.Is(err, join.ErrNotMember) || errors.Is(err, join.ErrRemoved)
}

// membershipUnit asks a server every half minute. That no server answers is no reason to stop anything: the node goes on
// with what it has.
func (n *node) membershipUnit() component.Unit {
	return component.Unit{New: func() component.Component {
		m := &membership{component.Task{TaskName: membershipName}, n}
		m.Do = func(ctx context.Context, ready func()) error {
			for {
				err, again := n.refresh(ctx), membershipInterval
				if err != nil {
					again = membershipRetry
				}
				n.refreshed.Store(&err)
				ready()
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(again):
				}
			}
		}
		return m
	}}
}

// refresh brings the list of servers and the certificates up to date.
func (n *node) refresh(ctx context.Context) error {
	pair, err := n.nodePair()
	if err != nil {
		return err
	}
	client, _, err := join.DialNode(ctx, n.siteServers.Node, pair, n.pki.Authority(pki.NodeCA).Cert)
	if err != nil {
		return err
	}
	defer client.Close()
	servers, err := client.Servers(ctx)
	if errors.Is(err, join.ErrRemoved) {
		return errors.Join(err, n.leave(ctx, client))
	}
	if err != nil {
		return err
	}
	if err := client.Report(ctx, n.Status()); err != nil {
		return err
	}
	if err := join.WriteServers(n.layout.Servers(), servers); err != nil {
		return err
	}
	n.siteServers = servers
	n.balancer.SetServers(servers.API)
	return n.renew(ctx, client)
}

// leave cleans the machine as `appliance reset` does, which stops this daemon. A process of its own does it.
func (n *node) leave(ctx context.Context, client *join.Client) error {
	if n.EtcDir != layout.Default().EtcDir {
		return fmt.Errorf("this node's answer file is in %s, where `appliance reset` does not look: clean the machine by hand", n.EtcDir)
	}
	n.Log.Warn("the site has removed this node: its machine is cleaned now")
	if err := client.Left(ctx); err != nil {
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
	due, err := n.pki.Due(n.leaves)
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
	}
	return nil
}

func (n *node) nodePair() (tls.Certificate, error) { return n.pki.Pair(join.NodeLeaf) }
