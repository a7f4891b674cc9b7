package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/addon"
	"islet/appliance/api"
	"islet/appliance/component"
	"islet/appliance/config"
	"islet/appliance/datastore"
	"islet/appliance/join"
	"islet/appliance/kube"
	"islet/appliance/kube/client"
	"islet/appliance/kubelet"
	"islet/appliance/network"
	"islet/appliance/pki"
	"islet/bundle"
)

const (
	nodeAPIName = "node-api"
	reachLimit  = 3 * time.Second
	// joiningFor is how long the name and the address of a machine that was let in are kept for it before it has shown
	// itself to Kubernetes.
	joiningFor = 15 * time.Minute
)

// site answers machines that join, and the nodes of the site.
type site struct {
	*node
	client   client.Client
	tokens   join.Registry
	members  join.Members
	waiting  join.Requests
	recovery join.Recovery
}

func (n *node) newSite(c client.Client) *site {
	n.rotations = join.Rotations{Client: c, Namespace: addon.Namespace}
	return &site{node: n, client: c, tokens: Tokens(c), members: Members(c), waiting: Requests(c), recovery: join.Recovery{Client: c, Namespace: addon.Namespace}}
}

// nodeAPIUnits are the node API at each address that this server has as a node.
func (s *site) nodeAPIUnits() []component.Unit {
	addresses := []netip.Addr{s.derived.Address}
	if other := s.otherAddress(); other.IsValid() {
		addresses = append(addresses, other)
	}
	return s.listenAt(addresses, func(ctx context.Context, address string, id join.Identity, ready func()) error {
		return join.Serve(ctx, address, id, s, s.Log, ready)
	})
}

// Tokens is a site's registry of join tokens.
func Tokens(c client.Client) join.Registry {
	return join.Registry{Client: c, Namespace: addon.Namespace}
}

// Members is a site's list of nodes that joined.
func Members(c client.Client) join.Members {
	return join.Members{Client: c, Namespace: addon.Namespace}
}

// Requests is a site's list of machines that wait for approval.
func Requests(c client.Client) join.Requests {
	return join.Requests{Client: c, Namespace: addon.Namespace}
}

// WorkerLeaves lists the certificates of a node that every node has, whatever its role.
func WorkerLeaves(name string, address netip.Addr, role config.Role) []pki.Leaf {
	leaves := append(kubelet.Leaves(kubelet.Params{NodeName: name, Address: address}), network.Leaves()...)
	identity := pki.Leaf{Name: join.NodeLeaf, Authority: pki.NodeCA, CommonName: name, UsedBy: "this node towards other nodes"}
	identity.Organizations, identity.Client = []string{join.GroupAgents}, true
	if role == config.RoleServer {
		identity.Organizations, identity.Server = []string{join.GroupServers}, true
	}
	return append(leaves, identity)
}

// Hello implements join.Site.
func (s *site) Hello() join.Hello {
	generation, err := datastore.Generation(s.layout)
	if err != nil {
		s.Log.Warn("generation of the datastore not readable", "error", err)
	}
	return join.Hello{
		Site: s.Config.Site.Name, Node: s.derived.NodeName, Version: s.Build.Version, Bundle: s.Bundle.Digest().String(), Time: time.Now().UTC(),
		Generation: generation,
	}
}

// Consult implements join.Site.
func (s *site) Consult(ctx context.Context, a join.Application) (join.Consultation, error) {
	answers, _, err := s.judge(ctx, a)
	if err != nil {
		return join.Consultation{}, err
	}
	servers, err := s.currentServers(ctx)
	if err != nil {
		return join.Consultation{}, err
	}
	c := join.Consultation{Config: answers, Servers: servers, Unreached: reach(ctx, a.Address, a.Ports)}
	if a.ProbePort != 0 && s.derived.Backend == config.BackendVXLAN {
		c.Probe, err = join.SendProbe(ctx, netip.AddrPortFrom(a.Address, a.ProbePort), s.derived.MTU+config.VXLANOverhead)
	}
	return c, err
}

// judge says whether the machine may join, what its answer file would be, and whether it takes the place of a node that is
// not ready.
func (s *site) judge(ctx context.Context, a join.Application) (answers []byte, replaces bool, err error) {
	if err := s.tokens.Check(ctx, a.TokenID, a.Secret, a.Role, useOf(a)); err != nil {
		return nil, false, err
	}
	if a.Role == config.RoleServer {
		if err := s.roomForServer(ctx, a.Node); err != nil {
			return nil, false, err
		}
	}
	if replaces, err = s.clash(ctx, a); err != nil {
		return nil, false, err
	}
	c := s.Config
	c.Node = config.Node{Name: a.Node, Address: a.Address, Role: a.Role, Labels: a.Labels, Taints: a.Taints}
	c.Network.MTU = s.derived.MTU           // one for the whole pod network
	c.Gateway.Bind = netip.Addr{}           // an address of the server
	c.Storage.Path = s.Config.StoragePath() // one for all nodes, wherever each keeps its state
	if _, err := c.Validate(); err != nil {
		return nil, false, fmt.Errorf("%w: %w", join.ErrBadRequest, err)
	}
	answers, err = config.Marshal(c, false)
	return answers, replaces, err
}

// maxServers is the most that a site may have: each write waits for more than half of them.
const maxServers = 5

// roomForServer says whether the site can take one more server.
func (s *site) roomForServer(ctx context.Context, name string) error {
	if !s.several() {
		return NoServersError(s.Config)
	}
	members, err := s.members.List(ctx)
	if err != nil {
		return err
	}
	servers := 0
	for _, m := range members {
		if m.Role == config.RoleServer && m.Removed == nil && m.Name != name {
			servers++
		}
	}
	if servers >= maxServers {
		return fmt.Errorf("%w: it has %d servers already, and more make every write slower; others can join as agents", join.ErrNotPossible, servers)
	}
	return nil
}

// NoServersError says why a site with such a configuration takes no further server; nil when it does.
func NoServersError(c config.Config) error {
	if c.Datastore.Store.Several() {
		return nil
	}
	return fmt.Errorf("%w: it keeps its state in %s, which one server alone can hold; others can join as agents", join.ErrNotPossible, c.Datastore.Store)
}

func useOf(a join.Application) join.Use { return join.Use{Node: a.Node, Address: a.Address} }

// clash refuses a name or an address that another node has. The name of a node that is not ready can be taken over, as a
// machine that was installed anew does, if somebody approves.
func (s *site) clash(ctx context.Context, a join.Application) (replaces bool, err error) {
	var nodes corev1.NodeList
	if err := s.client.List(ctx, &nodes); err != nil {
		return false, err
	}
	registered := map[string]bool{}
	for _, node := range nodes.Items {
		registered[node.Name] = true
		if node.Name == a.Node {
			if node.Name == s.derived.NodeName || kube.IsReady(&node) {
				return false, fmt.Errorf("%w: %s, since %s", join.ErrNameTaken, a.Node, node.CreationTimestamp.UTC().Format(time.DateTime))
			}
			replaces = true
			continue
		}
		if hasAddress(&node, a.Address) {
			return false, fmt.Errorf("%w: %s is %s", join.ErrAddressTaken, a.Address, node.Name)
		}
	}
	members, err := s.members.List(ctx)
	if err != nil {
		return false, err
	}
	for _, m := range members {
		if m.Removed == nil && m.Name != a.Node && m.Move.Open() && m.IsAt(a.Address) {
			return false, fmt.Errorf("%w: %s is moving from %s to %s", join.ErrAddressTaken, m.Name, m.Move.From, m.Move.To)
		}
		if registered[m.Name] || m.Removed != nil || time.Since(m.Admitted) > joiningFor {
			continue
		}
		switch sameName, sameAddress := m.Name == a.Node, m.Address == a.Address; {
		case sameName && !sameAddress:
			return false, fmt.Errorf("%w: a machine at %s is joining as %s", join.ErrNameTaken, m.Address, m.Name)
		case sameAddress && !sameName:
			return false, fmt.Errorf("%w: %s is joining from %s", join.ErrAddressTaken, m.Name, m.Address)
		}
	}
	return replaces, nil
}

func hasAddress(node *corev1.Node, a netip.Addr) bool {
	return slices.ContainsFunc(node.Status.Addresses, func(n corev1.NodeAddress) bool { return n.Address == a.String() })
}

// reach tries the machine's ports from here.
func reach(ctx context.Context, address netip.Addr, ports []uint16) map[uint16]string {
	ctx, cancel := context.WithTimeout(ctx, reachLimit)
	defer cancel()
	var (
		mu      sync.Mutex
		trying  sync.WaitGroup
		failed  = map[uint16]string{}
		attempt = func(port uint16) {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", netip.AddrPortFrom(address, port).String())
			if err == nil {
				_ = conn.Close()
				return
			}
			mu.Lock()
			defer mu.Unlock()
			failed[port] = err.Error()
		}
	)
	for _, port := range ports[:min(len(ports), maxReach)] {
		trying.Go(func() { attempt(port) })
	}
	trying.Wait()
	return failed
}

// maxReach is more ports than any node has to ask about.
const maxReach = 8

// Admit implements join.Site. What can fail comes before the token is used.
func (s *site) Admit(ctx context.Context, a join.Application) (join.Admission, error) {
	_, replaces, err := s.judge(ctx, a)
	if err != nil {
		return join.Admission{}, err
	}
	leaves := WorkerLeaves(a.Node, a.Address, a.Role)
	if len(a.Requests) != len(leaves) {
		return join.Admission{}, fmt.Errorf("%w: %d certificates are asked for, a node needs %d", join.ErrBadRequest, len(a.Requests), len(leaves))
	}
	certificates, err := s.sign(leaves, a.Requests)
	if err != nil {
		return join.Admission{}, err
	}
	key, err := keyOf(a.Requests[join.NodeLeaf])
	if err != nil {
		return join.Admission{}, err
	}
	if replaces || s.Config.Site.RequireApproval {
		if err := s.approved(ctx, a, key, replaces); err != nil {
			return join.Admission{}, err
		}
	}
	if _, err := s.tokens.Redeem(ctx, a.TokenID, a.Secret, a.Role, useOf(a)); err != nil {
		return join.Admission{}, err
	}
	member := join.Member{Name: a.Node, Address: a.Address, Role: a.Role, Token: a.TokenID.String(), Admitted: time.Now().UTC(), Keys: []join.Key{key}}
	if err := s.members.Put(ctx, member); err != nil {
		return join.Admission{}, err
	}
	if replaces { // its pods are started elsewhere, or on the new one
		old := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: a.Node}}
		if err := client.IgnoreNotFound(s.client.Delete(ctx, old)); err != nil {
			return join.Admission{}, err
		}
	}
	if err := s.waiting.Remove(ctx, a.Node); err != nil {
		return join.Admission{}, err
	}
	s.Log.Info("machine let in", "node", a.Node, "address", a.Address, "role", a.Role, "token", member.Token)
	return s.admission(ctx, a.Role, certificates)
}

// admission is what a machine gets that was let in. A server gets the keys of the site, too.
func (s *site) admission(ctx context.Context, role config.Role, certificates map[string][]byte) (join.Admission, error) {
	servers, err := s.currentServers(ctx)
	out := join.Admission{Authorities: s.pki.Authorities(), Certificates: certificates, Servers: servers}
	if err == nil && role == config.RoleServer {
		out.Keys, err = s.pki.Keys()
		if err == nil && s.database != nil {
			out.Database, err = datastore.ReadCredentials(s.layout.PKI())
		}
	}
	return out, err
}

// approved asks whether somebody has approved of the machine, and puts it on the list of those that wait if not.
func (s *site) approved(ctx context.Context, a join.Application, key join.Key, replaces bool) error {
	r, err := s.waiting.Ask(ctx, join.Request{Name: a.Node, Address: a.Address, Role: a.Role, Key: key, Token: a.TokenID.String(), Replaces: replaces})
	if err != nil {
		return err
	}
	return r.Verdict()
}

func keyOf(csr []byte) (join.Key, error) {
	info, err := pki.PublicKey(csr)
	if err != nil {
		return "", fmt.Errorf("%w: certificate %s: %w", join.ErrBadRequest, join.NodeLeaf, err)
	}
	return join.KeyOf(info), nil
}

// sign signs requests for the leaves of a node.
func (s *site) sign(leaves []pki.Leaf, requests map[string][]byte) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		i := slices.IndexFunc(leaves, func(l pki.Leaf) bool { return l.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("%w: a node of this role has no certificate %q", join.ErrBadRequest, name)
		}
		cert, err := s.pki.Sign(leaves[i], requests[name])
		if err != nil {
			return nil, fmt.Errorf("%w: %w", join.ErrBadRequest, err)
		}
		out[name] = cert
	}
	return out, nil
}

// Renew implements join.Site.
func (s *site) Renew(ctx context.Context, c join.Caller, r join.Renewal) (join.Renewed, error) {
	member, err := s.members.Get(ctx, c)
	if err != nil {
		return join.Renewed{}, err
	}
	leaves := WorkerLeaves(member.Name, member.Address, member.Role)
	for _, also := range member.Addresses() {
		leaves = alsoAt(leaves, member.Address, also)
	}
	certificates, err := s.sign(leaves, r.Requests)
	if err != nil {
		return join.Renewed{}, err
	}
	if csr, ok := r.Requests[join.NodeLeaf]; ok {
		key, err := keyOf(csr)
		if err == nil {
			err = s.members.AddKey(ctx, c, key)
		}
		if err != nil {
			return join.Renewed{}, err
		}
	}
	s.Log.Info("certificates of a node renewed", "node", c.Name, "certificates", len(certificates))
	return join.Renewed{Certificates: certificates}, nil
}

// Servers implements join.Site.
func (s *site) Servers(ctx context.Context, c join.Caller) (join.Servers, error) {
	if _, err := s.members.Get(ctx, c); err != nil {
		return join.Servers{}, err
	}
	return s.currentServers(ctx)
}

// Report implements join.Site.
func (s *site) Report(ctx context.Context, c join.Caller, status api.Status) error {
	if _, err := s.members.Get(ctx, c); err != nil {
		return err
	}
	status.Node.Name = c.Name // whatever it says
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reports == nil {
		s.reports = map[string]api.Report{}
	}
	s.reports[c.Name] = api.Report{Received: time.Now().UTC(), Status: status}
	s.noteSeen(ctx, c.Name)
	return nil
}

// Offer implements join.Site.
func (s *site) Offer(ctx context.Context, a join.Application) (join.Carried, error) {
	if err := s.tokens.Check(ctx, a.TokenID, a.Secret, a.Role, useOf(a)); err != nil {
		return join.Carried{}, err
	}
	return join.CarriedBy(s.Bundle)
}

// Carry implements join.Site.
func (s *site) Carry(ctx context.Context, c join.Caller) (*bundle.Reader, error) {
	_, err := s.members.Get(ctx, c)
	return s.Bundle, err
}

// Left implements join.Site.
func (s *site) Left(ctx context.Context, c join.Caller) error {
	if _, err := s.members.Get(ctx, c); !errors.Is(err, join.ErrRemoved) {
		return errors.Join(join.ErrBadRequest, err)
	}
	s.Log.Info("node has left", "node", c.Name)
	s.mu.Lock()
	delete(s.reports, c.Name)
	s.mu.Unlock()
	return s.members.Remove(ctx, c.Name)
}
