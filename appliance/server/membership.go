package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"time"

	"islet/appliance/api"
	"islet/appliance/balancer"
	"islet/appliance/component"
	"islet/appliance/config"
	"islet/appliance/controlplane"
	"islet/appliance/datastore"
	"islet/appliance/join"
	"islet/appliance/kube"
	"islet/appliance/kubelet"
	"islet/appliance/pki"
)

const (
	balancerName       = "api-balancer"
	membershipName     = "membership"
	membershipInterval = 30 * time.Second
	serverInterval     = 5 * time.Second // keepalived's peers must know of each other before they are fit
	membershipRetry    = 2 * time.Second // after a failure: the servers may be back
)

// replicated says whether this is a server of a site that may have several.
func (n *node) replicated() bool { return !n.isAgent() && n.Config.Datastore.Store == config.StoreEtcd }

// several says whether this is a server of a site that may have more of them.
func (n *node) several() bool { return !n.isAgent() && n.Config.Datastore.Store.Several() }

// balanced says whether this node finds the Kubernetes API through its balancer.
func (n *node) balanced() bool { return n.isAgent() || n.several() }

// apiPort is where this node's own programs find the Kubernetes API.
func (n *node) apiPort() int {
	if n.several() {
		return controlplane.BalancerPort
	}
	return controlplane.SecurePort
}

// openServers reads which servers the site has. The first one knows of itself only.
func (n *node) openServers() error {
	known, err := join.ReadServers(n.layout.Servers())
	if errors.Is(err, fs.ErrNotExist) {
		known, err = serversAt(n.derived.Address), nil
	}
	n.servers = known
	return err
}

// knownServers are those of the site, this one included.
func (n *node) knownServers() join.Servers {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.servers
}

// keepServers takes note of a new list, for now and for the time when nobody can be asked.
func (n *node) keepServers(servers join.Servers) error {
	if err := join.WriteServers(n.layout.Servers(), servers); err != nil {
		return err
	}
	n.mu.Lock()
	n.servers = servers
	n.mu.Unlock()
	if n.balancer != nil {
		n.balancer.SetServers(servers.API)
	}
	return nil
}

// otherServers are the addresses of the site's servers but for this one.
func (n *node) otherServers() []netip.Addr {
	var out []netip.Addr
	for _, at := range n.knownServers().Node {
		if at.Addr() != n.derived.Address && at.Addr() != n.otherAddress() {
			out = append(out, at.Addr())
		}
	}
	return out
}

func serversAt(addresses ...netip.Addr) join.Servers {
	var s join.Servers
	for _, a := range addresses {
		s.API = append(s.API, netip.AddrPortFrom(a, controlplane.SecurePort))
		s.Node = append(s.Node, netip.AddrPortFrom(a, join.DefaultPort))
	}
	return s
}

// newBalancer puts the site's API servers where everything on this node finds them.
func (n *node) newBalancer() *balancer.Balancer {
	ca := n.pki.Authority(pki.ClusterCA).CertFile()
	pair := func() (tls.Certificate, error) { return n.pki.Pair(kubelet.LeafClient) }
	return balancer.New(balancer.Options{
		Listen: fmt.Sprintf("127.0.0.1:%d", n.apiPort()),
		Check: func(ctx context.Context, server netip.AddrPort) error {
			return kube.Probe(ca, fmt.Sprintf("https://%s/readyz", server), pair)(ctx)
		},
		Log: n.Log,
	}, n.knownServers().API)
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

// membership keeps a node's place in the site, and its list of servers.
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

// membershipUnit refreshes again and again. That nobody can be asked is no reason to stop anything: the node goes on with
// what it has.
func (n *node) membershipUnit(refresh func(context.Context) error, interval time.Duration) component.Unit {
	return component.Unit{New: func() component.Component {
		m := &membership{component.Task{TaskName: membershipName}, n}
		m.Do = func(ctx context.Context, ready func()) error {
			for {
				err, again := refresh(ctx), interval
				if err != nil || n.rotating() {
					again = membershipRetry
				}
				n.followRecovery(ctx)
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

// refresh keeps a server's own place, the list of the others, and what those know of this one. A server asks Kubernetes
// itself.
func (s *site) refresh(ctx context.Context) error {
	err := s.enroll(ctx)
	if errors.Is(err, join.ErrRemoved) {
		return errors.Join(err, s.leave(func() error { return s.members.Remove(ctx, s.derived.NodeName) }))
	}
	if err != nil {
		return err
	}
	members, err := s.members.List(ctx)
	if err != nil {
		return err
	}
	s.forgetOthers(members)
	if err := s.keepServers(s.serversAmong(members)); err != nil {
		return err
	}
	s.reportTo(ctx, s.otherServers())
	if err := s.carryOn(ctx); err != nil {
		return err
	}
	return errors.Join(s.agreeOnKey(ctx), s.follow(ctx, ownMove{s}, s.certify))
}

// forgetOthers drops what nodes have told that do not belong to the site any more.
func (s *site) forgetOthers(members []join.Member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.reports, func(name string, _ api.Report) bool {
		return !slices.ContainsFunc(members, func(m join.Member) bool { return m.Name == name })
	})
}

// enroll makes sure that the site's list of members has this server with its key.
func (s *site) enroll(ctx context.Context) error {
	name, address := s.derived.NodeName, s.derived.Address
	key, err := s.ownKey()
	if err != nil {
		return err
	}
	member, err := s.members.Find(ctx, name)
	switch {
	case errors.Is(err, join.ErrNotMember) && len(s.otherServers()) == 0:
		return s.members.Put(ctx, join.Member{Name: name, Address: address, Role: config.RoleServer, Admitted: time.Now().UTC(), Keys: []join.Key{key}})
	case err != nil:
		return err
	case member.Role != config.RoleServer || !member.IsAt(address):
		return fmt.Errorf("%w: %s is an %s at %s", join.ErrNotMember, name, member.Role, member.Address)
	case slices.Contains(member.Keys, key):
		return nil
	}
	return s.members.AddKey(ctx, join.Caller{Name: name, Key: member.Keys[len(member.Keys)-1]}, key)
}

func (n *node) ownKey() (join.Key, error) {
	pair, err := n.nodePair()
	if err != nil {
		return "", err
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return "", err
	}
	return join.KeyOf(cert.RawSubjectPublicKeyInfo), nil
}

// currentServers are the site's servers by its list of members.
func (s *site) currentServers(ctx context.Context) (join.Servers, error) {
	members, err := s.members.List(ctx)
	if err != nil {
		return join.Servers{}, err
	}
	return s.serversAmong(members), nil
}

func (s *site) serversAmong(members []join.Member) join.Servers {
	addresses := []netip.Addr{s.derived.Address}
	var former []netip.Addr // of servers that are on their way to another
	for _, m := range members {
		if m.Role != config.RoleServer || m.Removed != nil {
			continue
		}
		at := m.Addresses()
		addresses, former = append(addresses, at[0]), append(former, at[1:]...)
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	addresses = slices.Compact(addresses)
	for _, a := range former {
		if !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
	}
	return serversAt(addresses...)
}

// generationLimit is how long a start waits to hear whether the site was recovered meanwhile.
const generationLimit = 2 * time.Second

// newestGeneration asks the other servers, all at once.
func (n *node) newestGeneration(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, generationLimit)
	defer cancel()
	others := n.otherServers()
	answers := make(chan int, len(others))
	for _, address := range others {
		go func() {
			client, hello, err := n.dial(ctx, netip.AddrPortFrom(address, join.DefaultPort))
			if err == nil {
				client.Close()
			}
			answers <- hello.Generation
		}()
	}
	newest := 0
	for range others {
		newest = max(newest, <-answers)
	}
	return newest
}

// followRecovery starts etcd anew where it is not well because the site was recovered or restored without this server, which
// gets a copy then. An etcd that starts looks for itself.
func (n *node) followRecovery(ctx context.Context) {
	if !n.replicated() {
		return
	}
	unwell := func(c component.Status) bool { return c.Name == datastore.EtcdName && c.State == component.Degraded }
	if !slices.ContainsFunc(n.supervisor.Snapshot(), unwell) {
		return
	}
	own, err := datastore.Generation(n.layout)
	if err != nil || n.newestGeneration(ctx) <= own {
		return
	}
	n.Log.Warn("the site was recovered without this server: its datastore starts anew")
	if err := n.supervisor.Restart(datastore.EtcdName); err != nil {
		n.Log.Error("the datastore cannot be started anew", "error", err)
	}
}

// reportTo tells servers how this node is; one that cannot be told shows what it was told before.
func (n *node) reportTo(ctx context.Context, servers []netip.Addr) {
	for _, address := range servers {
		client, _, err := n.dial(ctx, netip.AddrPortFrom(address, join.DefaultPort))
		if err == nil {
			err = client.Report(ctx, n.Status())
			client.Close()
		}
		if err != nil {
			n.Log.Debug("a server was not told how this node is", "server", address, "error", err)
		}
	}
}

// dial finds one of these servers that answers.
func (n *node) dial(ctx context.Context, servers ...netip.AddrPort) (*join.Client, join.Hello, error) {
	pair, err := n.nodePair()
	if err != nil {
		return nil, join.Hello{}, err
	}
	return join.DialNode(ctx, servers, pair, n.pki.Authority(pki.NodeCA).Trusted)
}
