package e2e

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/cli"
	"islet/appliance/config"
	"islet/appliance/join"
	"islet/appliance/lab"
)

// Addresses that the lab gives to nobody.
var (
	handTo    = netip.MustParseAddr("10.77.0.44")
	agentTo   = netip.MustParseAddr("10.77.0.54")
	serverTo  = netip.MustParseAddr("10.77.0.53")
	nobodysTo = netip.MustParseAddr("10.77.0.59")
)

// TestReaddress moves nodes to other addresses, and takes nodes out of the site and puts them back that are dead.
func TestReaddress(t *testing.T) {
	all := bootSite(t, "moves", 4, func(c *config.Config) {
		c.Datastore.Store = config.StoreEtcd
		c.Network.VIP = config.VIP{API: apiVIP}
	})
	f := &fleet{servers: all[:3], agents: all[3:]}
	runParts(t, f, all, []part[fleet]{
		{"assemble", (*fleet).assemble},
		{"what cannot be", (*fleet).refuseMoves},
		{"an agent whose machine has another address already", (*fleet).movedByHand},
		{"an agent", (*fleet).moveAgent},
		{"a server", (*fleet).moveServer},
		{"nobody reaches it", (*fleet).moveBack},
		{"dead machines are removed, and another takes the place of one", (*fleet).removeDead},
	})
}

type moved struct {
	Node, From, To, Why string
	State               join.MoveState
	Steps               []string
}

// refuseMoves finds every reason before anything is changed.
func (f *fleet) refuseMoves(t *testing.T) {
	first, agent := f.servers[0], f.agents[0]
	if err := first.connect(); err != nil {
		t.Fatal(err)
	}
	own := agent.host.Addr().String()
	for name, c := range map[string]struct {
		args []string
		want cli.Code
	}{
		"another node's":          {[]string{agent.host.Name(), f.servers[1].host.Addr().String()}, cli.CodeAddressTaken},
		"a virtual address":       {[]string{agent.host.Name(), apiVIP.String()}, cli.CodeAddressTaken},
		"the switch's":            {[]string{agent.host.Name(), "10.77.0.1"}, cli.CodeAddressTaken},
		"of pods":                 {[]string{agent.host.Name(), "10.42.0.9"}, cli.CodeAddressTaken},
		"its own":                 {[]string{agent.host.Name(), own}, cli.CodeExists},
		"not of its network":      {[]string{f.servers[1].host.Name(), "192.168.9.9"}, cli.CodeTakenBack},
		"nobody":                  {[]string{"node9", agentTo.String()}, cli.CodeNotMember},
		"no address":              {[]string{agent.host.Name(), "10.77.0.54/24"}, cli.CodeUsage},
		"less time than it takes": {[]string{agent.host.Name(), agentTo.String(), "--timeout", "1s"}, cli.CodeUsage},
	} {
		if code := first.exitCode(t, append([]string{"readdress", "--yes"}, c.args...)...); code != int(c.want) {
			t.Errorf("%s: exit code %d, want %d", name, code, c.want)
		}
	}
	plan := runJSON[moved](t, first, "readdress", agent.host.Name(), agentTo.String(), "--plan")
	if plan.From != own || plan.To != agentTo.String() || len(plan.Steps) < 5 || plan.State != "" {
		t.Errorf("plan %+v", plan)
	}
	f.isAt(t, agent, agent.host.Addr(), agentTo)
}

// isAt finds a node at one address and not at the other: on its interface, in Kubernetes, and in its certificates.
func (f *fleet) isAt(t *testing.T, p *platform, at, not netip.Addr) {
	t.Helper()
	on := p.run(t, "ip", "-4", "-o", "address", "show", "dev", "eth0")
	if !strings.Contains(on, " "+at.String()+"/24 ") || strings.Contains(on, " "+not.String()+"/") {
		t.Errorf("%s has the addresses\n%s", p.host.Name(), on)
	}
	node, err := f.servers[0].kube.CoreV1().Nodes().Get(t.Context(), p.host.Name(), metav1.GetOptions{})
	if err != nil || node.Status.Addresses[0] != (corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: at.String()}) {
		t.Errorf("%s in Kubernetes: %v (%v)", p.host.Name(), node.Status.Addresses, err)
	}
	await(t, 45*time.Second, "the certificates of "+p.host.Name()+" name that address", func(context.Context) error {
		data, err := p.host.ReadFile(filepath.Join(paths.PKI(), "kubelet-serving.crt"))
		if err != nil {
			return err
		}
		block, _ := pem.Decode(data)
		cert, err := x509.ParseCertificate(block.Bytes)
		if err == nil && (cert.VerifyHostname(at.String()) != nil || cert.VerifyHostname(not.String()) == nil) {
			err = fmt.Errorf("the kubelet's is for %v", cert.IPAddresses)
		}
		return err
	})
	if answers := p.run(t, "cat", paths.Config()); !strings.Contains(answers, at.String()) || strings.Contains(answers, not.String()) {
		t.Errorf("%s has the answer file\n%s", p.host.Name(), answers)
	}
}

// containers tells those of a node's pods, which must be the same afterwards.
func (f *fleet) containers(t *testing.T, p *platform) string {
	t.Helper()
	pods, err := f.servers[0].kube.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{FieldSelector: "spec.nodeName=" + p.host.Name()})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, pod := range pods.Items {
		for _, c := range pod.Status.ContainerStatuses {
			all = append(all, fmt.Sprintf("%s/%s %s %s, %d restarts", pod.Namespace, pod.Name, pod.Status.PodIP, c.ContainerID, c.RestartCount))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// move gives a node another address while a client writes through another node's balancer.
func (f *fleet) move(t *testing.T, p *platform, to netip.Addr, through *platform) *counter {
	t.Helper()
	before, c := f.containers(t, p), f.through(t, through)
	ctx, stop := context.WithCancel(t.Context())
	writing := make(chan struct{})
	go func() {
		defer close(writing)
		c.run(ctx, "moving-"+p.host.Name())
	}()
	begun := time.Now()
	r := runJSON[moved](t, f.servers[0], "readdress", p.host.Name(), to.String(), "--yes")
	took := time.Since(begun)
	await(t, readyLimit, p.host.Name()+" is ready", p.ready)
	stop()
	<-writing
	t.Logf("%s moved to %s in %s; %d writes meanwhile, %d failed, at most %s without one", p.host.Name(), to, took.Round(10*time.Millisecond),
		len(c.written), c.failed, c.longest.Round(10*time.Millisecond))
	if r.State != join.MoveDone {
		t.Errorf("%+v", r)
	}
	if after := f.containers(t, p); after != before {
		t.Errorf("pods were restarted:\n%s\nwere\n%s", after, before)
	}
	return c
}

// twoPods start on two machines, and reach each other.
func (f *fleet) twoPods(t *testing.T, ns string, a, b *platform) func(context.Context) error {
	t.Helper()
	first := f.servers[0]
	from := first.startPod(t, newPod(ns, "from", func(pod *corev1.Pod) { pod.Spec.NodeName = a.host.Name() }))
	to := first.startPod(t, newPod(ns, "to", func(pod *corev1.Pod) { pod.Spec.NodeName = b.host.Name() }))
	return func(ctx context.Context) error {
		return errors.Join(first.reaches(ctx, from, podURL(to), "to"), first.reaches(ctx, to, podURL(from), "from"))
	}
}

// movedByHand gives an agent's machine another address while its daemon is down, and tells the site.
func (f *fleet) movedByHand(t *testing.T) {
	agent, from := f.agents[0], f.agents[0].host.Addr()
	if err := agent.host.StopBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	agent.run(t, "ip", "address", "del", from.String()+"/24", "dev", "eth0")
	agent.run(t, "ip", "address", "add", handTo.String()+"/24", "dev", "eth0")
	if err := agent.host.StartBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := runJSON[moved](t, f.servers[0], "readdress", agent.host.Name(), handTo.String(), "--moved", "--yes")
	if r.State != join.MoveDone {
		t.Errorf("%+v", r)
	}
	await(t, readyLimit, "the agent is ready", agent.ready)
	f.isAt(t, agent, handTo, from)
}

// moveAgent moves an agent, and moves it on after a power cut in which the machine lost what it does not keep.
func (f *fleet) moveAgent(t *testing.T) {
	agent := f.agents[0]
	meet := f.twoPods(t, f.servers[0].namespace(t, "e2e-agent"), agent, f.servers[1])
	await(t, readyLimit, "pods of two machines meet", meet)
	f.move(t, agent, agentTo, f.servers[1])
	f.isAt(t, agent, agentTo, handTo)
	await(t, time.Minute, "they still meet", meet)
	if err := agent.host.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := agent.host.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, readyLimit, "the agent is ready after a power cut", agent.ready)
	f.isAt(t, agent, agentTo, agent.host.Addr())
}

// moveServer moves a server that has a vote: the API goes on, and everybody finds it at its new address.
func (f *fleet) moveServer(t *testing.T) {
	server, from := f.servers[2], f.servers[2].host.Addr()
	meet := f.twoPods(t, f.servers[0].namespace(t, "e2e-server"), server, f.agents[0])
	await(t, readyLimit, "pods of two machines meet", meet)
	c := f.move(t, server, serverTo, f.agents[0])
	if c.longest > 10*time.Second {
		t.Errorf("nothing could be written for %s", c.longest)
	}
	f.isAt(t, server, serverTo, from)
	f.seat(t, "node3", serverTo.String())
	f.awaitWhole(t)
	f.listed(t, serverTo, from)
	await(t, time.Minute, "they still meet", meet)
}

// seat finds a member of the datastore at its address, by what another server knows.
func (f *fleet) seat(t *testing.T, name, at string) {
	t.Helper()
	d := runJSON[struct{ Members []struct{ Name, Peer string } }](t, f.servers[0], "datastore", "status")
	for _, m := range d.Members {
		if m.Name == name && m.Peer == "https://"+at+":2380" {
			return
		}
	}
	t.Errorf("%s is not at %s: %+v", name, at, d.Members)
}

// at is the address that the node has by its own account.
func (p *platform) at(t *testing.T) netip.Addr {
	t.Helper()
	s, err := p.daemon().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return netip.MustParseAddr(s.Node.Address)
}

// listed finds one address and not the other in the lists of all other nodes: servers, peers of keepalived and of the
// registry, and where images are fetched from.
func (f *fleet) listed(t *testing.T, want, not netip.Addr) {
	t.Helper()
	for _, p := range f.all() {
		if !p.host.Running() || p.at(t) == want {
			continue
		}
		files := paths.Servers()
		if slices.Contains(f.servers, p) {
			for _, file := range []string{"keepalived/keepalived.conf", "registry/peers.json"} {
				files += " " + filepath.Join(paths.Generated(), file)
			}
		}
		await(t, time.Minute, p.host.Name()+" has the lists right", func(ctx context.Context) error {
			var errs []error
			out, err := p.host.Output(ctx, "sh", "-c", "for f in "+files+"; do echo; echo FILE $f; cat $f; done")
			for text := range strings.SplitSeq(out, "FILE ") {
				if strings.TrimSpace(text) == "" {
					continue
				}
				if want.IsValid() && !strings.Contains(text, want.String()) {
					errs = append(errs, fmt.Errorf("%s is missing in %s", want, text))
				}
				if strings.Contains(text, not.String()) {
					errs = append(errs, fmt.Errorf("%s is still in %s", not, text))
				}
			}
			return errors.Join(append(errs, err)...)
		})
	}
}

// moveBack lets a server move to where no other reaches it. It takes back its address by itself.
func (f *fleet) moveBack(t *testing.T) {
	server := f.servers[1]
	for _, p := range f.all() {
		if p != server {
			p.run(t, "ip", "route", "add", "blackhole", nobodysTo.String()+"/32")
		}
	}
	before := f.containers(t, server)
	out, err := f.servers[0].host.Output(t.Context(), "appliance", "readdress", server.host.Name(), nobodysTo.String(), "--yes", "--timeout", "40s")
	if code, _ := lab.ExitCode(err); cli.Code(code) != cli.CodeTakenBack {
		t.Errorf("%v\n%s", err, out)
	}
	t.Log(err)
	await(t, readyLimit, "the server is ready", server.ready)
	f.awaitWhole(t)
	f.isAt(t, server, server.host.Addr(), nobodysTo)
	f.seat(t, server.host.Name(), server.host.Addr().String())
	if after := f.containers(t, server); after != before {
		t.Errorf("pods were restarted:\n%s\nwere\n%s", after, before)
	}
	for _, p := range f.all() {
		if p != server {
			p.run(t, "ip", "route", "del", "blackhole", nobodysTo.String()+"/32")
		}
	}
}

// removeDead takes the power of a server and of an agent for good, and removes both. Another machine then takes the server's
// place: here the same one with an empty disk.
func (f *fleet) removeDead(t *testing.T) {
	first, server, agent := f.servers[0], f.servers[2], f.agents[0]
	for _, p := range []*platform{server, agent} {
		if err := p.host.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	await(t, 2*time.Minute, "both are called unreachable", func(context.Context) error { return f.states(t, "ready", "ready", "unreachable", "unreachable") })
	first.run(t, "appliance", "node", "remove", agent.host.Name(), "--yes")
	made := runJSON[struct{ Token, Node, Role string }](t, first, "node", "replace", server.host.Name(), "--yes")
	if made.Node != server.host.Name() || made.Role != "server" {
		t.Errorf("a token for %s, role %s", made.Node, made.Role)
	}
	if err := f.states(t, "ready", "ready"); err != nil {
		t.Error(err)
	}
	d := f.datastore(t, first)
	if len(d.Members) != 2 || d.Voters != 2 || d.Healthy != 2 {
		t.Errorf("members after the removal: %+v", d)
	}
	f.listed(t, netip.Addr{}, serverTo)

	if err := server.host.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := server.host.StopBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.run(t, "appliance", "reset", "--yes")
	if code := server.exitCode(t, "join", "--token", made.Token, "--name", "node9"); code != int(cli.CodeNameTaken) {
		t.Errorf("the token for another name: exit code %d", code)
	}
	server.run(t, "appliance", "join", "--token", made.Token, "--name", server.host.Name())
	if err := server.host.StartBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, readyLimit, "the machine is a server", server.ready)
	f.awaitWhole(t)
	if err := f.states(t, "ready", "ready", "ready"); err != nil {
		t.Error(err)
	}
}

// states complains unless the site's nodes are in these states, in the order of the list.
func (f *fleet) states(t *testing.T, want ...string) error {
	t.Helper()
	var got []string
	for _, n := range runJSON[[]nodeRow](t, f.servers[0], "node", "list") {
		got = append(got, n.State)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("the nodes are %v, not %v", got, want)
	}
	return nil
}

// moveServer moves the site's only server, which keeps its state in SQLite. The agents find it, and their pods go on.
func (s *plant) moveServer(t *testing.T) {
	f := &fleet{servers: []*platform{s.platform}, agents: s.agents}
	// The gateways publish the address of the only server, so they start anew; nothing else does.
	pods := func() string {
		all := slices.Collect(strings.Lines(f.containers(t, s.platform) + "\n" + f.containers(t, s.agents[0]) + "\n" + f.containers(t, s.agents[1])))
		return strings.Join(slices.DeleteFunc(all, func(pod string) bool { return strings.HasPrefix(pod, "islet-system/gateway-") }), "")
	}
	// One machine has just come back: until its kubelet has started its pods anew the API shows what they were, as not ready.
	await(t, readyLimit, "all pods run", func(ctx context.Context) error {
		if err := s.podsReady(ctx); err != nil {
			return err
		}
		if all := pods(); strings.Count(all, "containerd://") != strings.Count(all, "\n") || strings.Contains(all, "containerd://,") {
			return fmt.Errorf("there are\n%s", all)
		}
		return nil
	})
	before := pods()
	begun := time.Now()
	r := runJSON[moved](t, s.platform, "readdress", "node1", serverTo.String(), "--yes")
	t.Logf("the only server moved in %s", time.Since(begun).Round(10*time.Millisecond))
	if r.State != join.MoveDone {
		t.Errorf("%+v", r)
	}
	await(t, readyLimit, "the server is ready", s.ready)
	from := s.host.Addr()
	f.listed(t, serverTo, from)
	for _, a := range s.agents {
		await(t, readyLimit, a.host.Name()+" is ready", a.ready)
	}
	if err := s.connect(); err != nil { // by the address in the administrator's file
		t.Fatal(err)
	}
	f.isAt(t, s.platform, serverTo, from)
	if after := pods(); after != before {
		t.Errorf("pods were restarted:\n%s\nwere\n%s", after, before)
	}
}
