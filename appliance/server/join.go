package server

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"islet/appliance/addon"
	"islet/appliance/component"
	"islet/appliance/config"
	"islet/appliance/controlplane"
	"islet/appliance/join"
	"islet/appliance/kubelet"
	"islet/appliance/network"
	"islet/appliance/pki"
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
	client  client.Client
	tokens  join.Registry
	members join.Members
}

func (n *node) nodeAPIUnit(c client.Client) component.Unit {
	s := &site{node: n, client: c, tokens: Tokens(c), members: Members(c)}
	id := join.Identity{Pair: s.nodePair, Authority: n.pki.Authority(pki.NodeCA).Cert}
	address := net.JoinHostPort(n.derived.Address.String(), strconv.Itoa(join.DefaultPort))
	return component.Unit{New: func() component.Component {
		return component.Task{TaskName: nodeAPIName, Do: func(ctx context.Context, ready func()) error {
			return join.Serve(ctx, address, id, s, n.Log, ready)
		}}
	}}
}

// Tokens is a site's registry of join tokens.
func Tokens(c client.Client) join.Registry {
	return join.Registry{Client: c, Namespace: addon.Namespace}
}

// Members is a site's list of nodes that joined.
func Members(c client.Client) join.Members {
	return join.Members{Client: c, Namespace: addon.Namespace}
}

// WorkerLeaves lists the certificates of a node that every node has, whatever its role.
func WorkerLeaves(name string, address netip.Addr, role config.Role) []pki.Leaf {
	leaves := append(kubelet.Leaves(kubelet.Params{NodeName: name, Address: address}), network.Leaves()...)
	identity := pki.Leaf{Name: join.NodeLeaf, Authority: pki.NodeCA, CommonName: name, UsedBy: "this node towards other nodes"}
	if role == config.RoleServer {
		identity.Organizations, identity.Server = []string{join.GroupServers}, true
	} else {
		identity.Organizations, identity.Client = []string{join.GroupAgents}, true
	}
	return append(leaves, identity)
}

// Hello implements join.Site.
func (s *site) Hello() join.Hello {
	return join.Hello{
		Site: s.Config.Site.Name, Node: s.derived.NodeName, Version: s.Build.Version, Bundle: s.Bundle.Digest().String(), Time: time.Now().UTC(),
	}
}

// Consult implements join.Site.
func (s *site) Consult(ctx context.Context, a join.Application) (join.Consultation, error) {
	answers, err := s.judge(ctx, a)
	if err != nil {
		return join.Consultation{}, err
	}
	return join.Consultation{Config: answers, Servers: s.servers(), MTU: s.derived.MTU, Unreached: reach(ctx, a.Address, a.Ports)}, nil
}

// judge says whether the machine may join and what its answer file would be.
func (s *site) judge(ctx context.Context, a join.Application) ([]byte, error) {
	if err := s.tokens.Check(ctx, a.TokenID, a.Secret, a.Role, useOf(a)); err != nil {
		return nil, err
	}
	if a.Role != config.RoleAgent {
		return nil, fmt.Errorf("%w: it keeps its state in %s on %s, its one server; others can join it as agents", join.ErrNotPossible, s.Config.Datastore.Store, s.derived.NodeName)
	}
	if err := s.clash(ctx, a); err != nil {
		return nil, err
	}
	c := s.Config
	c.Node = config.Node{Name: a.Node, Address: a.Address, Role: a.Role, Labels: a.Labels}
	c.Network.MTU = s.derived.MTU // one for the whole pod network
	c.Gateway.Bind = netip.Addr{} // an address of the server
	if _, err := c.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", join.ErrBadRequest, err)
	}
	return config.Marshal(c, false)
}

func useOf(a join.Application) join.Use { return join.Use{Node: a.Node, Address: a.Address} }

// clash refuses a name or an address that another node has.
func (s *site) clash(ctx context.Context, a join.Application) error {
	var nodes corev1.NodeList
	if err := s.client.List(ctx, &nodes); err != nil {
		return err
	}
	registered := map[string]bool{}
	for _, node := range nodes.Items {
		registered[node.Name] = true
		if node.Name == a.Node {
			return fmt.Errorf("%w: %s, since %s", join.ErrNameTaken, a.Node, node.CreationTimestamp.UTC().Format(time.DateTime))
		}
		if slices.ContainsFunc(node.Status.Addresses, func(n corev1.NodeAddress) bool { return n.Address == a.Address.String() }) {
			return fmt.Errorf("%w: %s is %s", join.ErrAddressTaken, a.Address, node.Name)
		}
	}
	members, err := s.members.List(ctx)
	if err != nil {
		return err
	}
	for _, m := range members {
		if registered[m.Name] || time.Since(m.Admitted) > joiningFor {
			continue
		}
		switch sameName, sameAddress := m.Name == a.Node, m.Address == a.Address; {
		case sameName && !sameAddress:
			return fmt.Errorf("%w: a machine at %s is joining as %s", join.ErrNameTaken, m.Address, m.Name)
		case sameAddress && !sameName:
			return fmt.Errorf("%w: %s is joining from %s", join.ErrAddressTaken, m.Name, m.Address)
		}
	}
	return nil
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
	if _, err := s.judge(ctx, a); err != nil {
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
	if _, err := s.tokens.Redeem(ctx, a.TokenID, a.Secret, a.Role, useOf(a)); err != nil {
		return join.Admission{}, err
	}
	member := join.Member{Name: a.Node, Address: a.Address, Role: a.Role, Token: a.TokenID.String(), Admitted: time.Now().UTC()}
	if err := s.members.Put(ctx, member); err != nil {
		return join.Admission{}, err
	}
	s.Log.Info("machine let in", "node", a.Node, "address", a.Address, "role", a.Role, "token", member.Token)
	return join.Admission{Authorities: s.pki.Authorities(), Certificates: certificates, Servers: s.servers()}, nil
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
func (s *site) Renew(ctx context.Context, name string, r join.Renewal) (join.Renewed, error) {
	member, err := s.members.Get(ctx, name)
	if err != nil {
		return join.Renewed{}, err
	}
	certificates, err := s.sign(WorkerLeaves(member.Name, member.Address, member.Role), r.Requests)
	if err == nil {
		s.Log.Info("certificates of a node renewed", "node", name, "certificates", len(certificates))
	}
	return join.Renewed{Certificates: certificates}, err
}

// Servers implements join.Site.
func (s *site) Servers(ctx context.Context, name string) (join.Servers, error) {
	if _, err := s.members.Get(ctx, name); err != nil {
		return join.Servers{}, err
	}
	return s.servers(), nil
}

func (s *site) servers() join.Servers {
	at := func(port uint16) []netip.AddrPort {
		return []netip.AddrPort{netip.AddrPortFrom(s.derived.Address, port)}
	}
	return join.Servers{API: at(controlplane.SecurePort), Node: at(join.DefaultPort)}
}
