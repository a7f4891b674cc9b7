package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/cli"
	"islet/appliance/component"
	"islet/appliance/config"
	"islet/appliance/join"
	"islet/appliance/lab"
	"islet/appliance/paas/route"
)

// plant is a site of one server and two agents. Its parts build upon each other.
type plant struct {
	*platform // the server
	agents    []*platform
	used      string // the token that they joined with
}

// TestSite makes a site of three machines and takes things from it.
func TestSite(t *testing.T) {
	all := bootSite(t, "plant", 3)
	s := &plant{platform: all[0], agents: all[1:]}
	runParts(t, s, all, []part[plant]{
		{"join", (*plant).joinAll},
		{"refusals", (*plant).refusals},
		{"look", (*plant).look},
		{"network", (*plant).across},
		{"images", (*plant).imagesEverywhere},
		{"ports", (*plant).ports},
		{"identity", (*plant).identity},
		{"server away", (*plant).serverAway},
		{"agent cut", (*plant).agentCut},
		{"remove and replace", (*plant).removeAndReplace},
		{"the only server moves", (*plant).moveServer},
	})
}

// newToken makes a token on the server.
func (s *plant) newToken(t *testing.T, args ...string) (token, id string) {
	t.Helper()
	made := runJSON[struct{ Token, ID string }](t, s.platform, append([]string{"token", "create"}, args...)...)
	return made.Token, made.ID
}

// joinAll lets both agents join with one token, at the same time.
func (s *plant) joinAll(t *testing.T) {
	await(t, readyLimit, "the server is ready", s.ready)
	if err := s.connect(); err != nil {
		t.Fatal(err)
	}
	token, _ := s.newToken(t, "--uses", "2", "--note", "rack 2")
	s.used = token
	var joining sync.WaitGroup
	for _, a := range s.agents {
		joining.Go(func() {
			begun := time.Now()
			if out, err := a.host.Output(t.Context(), "appliance", "join", "--token", token, "--labels", "example.com/rack=2"); err != nil {
				t.Errorf("join: %v\n%s", err, out)
				return
			}
			t.Logf("%s was let in after %s", a.host.Name(), time.Since(begun).Round(10*time.Millisecond))
		})
	}
	begun := time.Now()
	joining.Wait()
	if t.Failed() {
		t.FailNow()
	}
	for _, a := range s.agents {
		await(t, readyLimit, a.host.Name()+" is ready", a.ready)
		t.Logf("%s is ready %s after the command", a.host.Name(), time.Since(begun).Round(10*time.Millisecond))
	}
	for _, n := range s.nodes(t) {
		if n.State != "ready" || n.Role == "agent" && n.Token == "" {
			t.Errorf("node %+v", n)
		}
	}
	racked, err := s.kube.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{LabelSelector: "example.com/rack=2"})
	if err != nil || len(racked.Items) != len(s.agents) {
		t.Errorf("%d nodes have the label that they joined with (%v)", len(racked.Items), err)
	}
}

type nodeRow struct{ Name, Role, State, Token, Words string }

func (s *plant) nodes(t *testing.T) []nodeRow {
	t.Helper()
	rows := runJSON[[]nodeRow](t, s.platform, "node", "list")
	if len(rows) != 1+len(s.agents) || rows[0].Name != "node1" || rows[0].Role != "server" {
		t.Errorf("nodes %+v", rows)
	}
	return rows
}

// refusals shows what does not let a machine in, and that nothing is left of the attempt.
func (s *plant) refusals(t *testing.T) {
	a := s.agents[0]
	good, _ := s.newToken(t)
	revoked, id := s.newToken(t)
	s.run(t, "appliance", "token", "revoke", id)
	if code := a.exitCode(t, "join", "--token", good); code != int(cli.CodeExists) {
		t.Errorf("a second join of a node: exit code %d", code)
	}
	if code := a.exitCode(t, "token", "list"); code != int(cli.CodeNotServer) {
		t.Errorf("tokens on an agent: exit code %d", code)
	}
	// What follows needs a machine that is no node: the agent hides its answer file for it, and goes on.
	a.run(t, "mv", paths.Config(), "/root/config.yaml")
	defer a.run(t, "mv", "/root/config.yaml", paths.Config())
	before := a.run(t, "sh", "-c", "find /etc/appliance /var/lib/appliance/pki /var/lib/appliance/servers.json -type f | sort | xargs sha256sum")
	for name, c := range map[string]struct {
		args []string
		want cli.Code
	}{
		"not a token":     {[]string{"--token", "hello"}, cli.CodeToken},
		"mistyped":        {[]string{"--token", strings.Replace(good, good[20:21], map[bool]string{true: "7", false: "8"}[good[20] == '8'], 1)}, cli.CodeToken},
		"revoked":         {[]string{"--token", revoked, "--name", "node9"}, cli.CodeRevokedToken},
		"used":            {[]string{"--token", s.used, "--name", "node9"}, cli.CodeUsedToken},
		"a node's name":   {[]string{"--token", good}, cli.CodeNameTaken},
		"a node's adress": {[]string{"--token", good, "--name", "node9"}, cli.CodeAddressTaken},
		"a bad name":      {[]string{"--token", good, "--name", "Node_9"}, cli.CodeConfig},
		"no token":        {nil, cli.CodeUsage},
	} {
		if code := a.exitCode(t, append([]string{"join"}, c.args...)...); code != int(c.want) {
			t.Errorf("%s: exit code %d, want %d", name, code, c.want)
		}
	}
	if after := a.run(t, "sh", "-c", "find /etc/appliance /var/lib/appliance/pki /var/lib/appliance/servers.json -type f | sort | xargs sha256sum"); after != before {
		t.Errorf("a refused join left something behind:\n%s\nwas:\n%s", after, before)
	}
	if code := s.exitCode(t, "token", "create", "--role", "server"); code != int(cli.CodeNotPossible) {
		t.Errorf("a token for a second server on sqlite: exit code %d", code)
	}
}

// look asks the server about the other machines.
func (s *plant) look(t *testing.T) {
	last := s.agents[1].host.Name()
	s.run(t, "appliance", "node", "label", last, "node.islet.dev/pool=presses", "example.com/rack-")
	shown := runJSON[struct {
		Name, State, Pool string
		Labels            map[string]string
		Pods              []struct{ Name string }
	}](t, s.platform, "node", "show", last)
	if _, racked := shown.Labels["example.com/rack"]; racked || shown.Name != last || shown.State != "ready" || shown.Pool != "presses" || len(shown.Pods) == 0 {
		t.Errorf("%s is shown as %+v", last, shown)
	}
	of := map[string]bool{}
	for _, c := range runJSON[[]struct{ Node, Name string }](t, s.platform, "cert", "list") {
		of[c.Node] = of[c.Node] || c.Name == "kubelet"
	}
	for _, p := range append([]*platform{s.platform}, s.agents...) {
		if !of[p.host.Name()] {
			t.Errorf("the certificates of %s are not listed: %v", p.host.Name(), of)
		}
	}
}

// across sends packets between pods of different machines, and through each machine's gateway.
func (s *plant) across(t *testing.T) {
	ns := s.namespace(t, "e2e-across")
	var pods []*corev1.Pod
	for _, p := range append([]*platform{s.platform}, s.agents...) {
		pods = append(pods, s.startPod(t, newPod(ns, "on-"+p.host.Name(), func(pod *corev1.Pod) { pod.Spec.NodeName = p.host.Name() })))
	}
	service := s.expose(t, ns, "on-node3", corev1.ServiceTypeClusterIP)
	for _, from := range pods {
		for _, to := range pods {
			await(t, 30*time.Second, from.Name+" to "+to.Name, func(ctx context.Context) error { return s.reaches(ctx, from, podURL(to), to.Name) })
		}
		await(t, 30*time.Second, from.Name+" to a service by its name", func(ctx context.Context) error {
			return s.reaches(ctx, from, "http://"+service.Name+"."+ns+"/", "on-node3")
		})
	}
	s.deploySample(t)
	for _, p := range append([]*platform{s.platform}, s.agents...) {
		for _, url := range p.sampleURLs() {
			await(t, readyLimit, url+" at "+p.host.Name(), func(ctx context.Context) error { return s.answersAt(ctx, t, p, url) })
		}
	}
}

// answersAt asks the sample application through the gateway of one machine.
func (s *plant) answersAt(ctx context.Context, t *testing.T, p *platform, url string) error {
	port := 80
	if strings.HasPrefix(url, "https") {
		port = 443
	}
	client := s.outside(t, port)
	client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return p.lab.Dial(ctx, network, fmt.Sprintf("%s:%d", p.host.Name(), port))
	}
	return get(ctx, client, url, `"version":"v1"`)
}

// imagesEverywhere finds every image of the bundle on every machine, and no trace of a pull.
func (s *plant) imagesEverywhere(t *testing.T) {
	carried := len(s.imagesPresent(t))
	for _, a := range s.agents {
		if n := len(a.imagesPresent(t)); n != carried || n == 0 {
			t.Errorf("%s has %d images, the server %d", a.host.Name(), n, carried)
		}
	}
	s.pullEvents(t)
}

// ports tries every port of the machines from beside them, and compares with what is documented.
func (s *plant) ports(t *testing.T) {
	for _, p := range []*platform{s.platform, s.agents[0]} {
		c := config.Default()
		if p != s.platform {
			c.Node.Role = config.RoleAgent
		}
		checkPorts(t, p, c)
	}
}

// checkPorts compares the ports of a machine that take connections with those that its configuration documents.
func checkPorts(t *testing.T, p *platform, c config.Config) {
	t.Helper()
	var documented []uint16
	for _, port := range c.Ports() {
		if port.Protocol == "tcp" && !port.Loopback {
			documented = append(documented, port.Number)
		}
	}
	slices.Sort(documented)
	if open := openPorts(t, p); !slices.Equal(open, documented) {
		t.Errorf("%s: the ports %v are open, documented are %v", p.host.Name(), open, documented)
	}
}

// openPorts are all TCP ports of a machine that take connections from the lab's network.
func openPorts(t *testing.T, p *platform) []uint16 {
	t.Helper()
	const workers, last = 16, 65535
	var (
		mu      sync.Mutex
		open    []uint16
		next    = make(chan uint16)
		walking sync.WaitGroup
	)
	for range workers {
		walking.Go(func() {
			for port := range next {
				conn, err := p.lab.Dial(t.Context(), "tcp", fmt.Sprintf("%s:%d", p.host.Name(), port))
				if err != nil {
					continue
				}
				_ = conn.Close()
				mu.Lock()
				open = append(open, port)
				mu.Unlock()
			}
		})
	}
	for port := uint16(1); ; port++ {
		next <- port
		if port == last {
			break
		}
	}
	close(next)
	walking.Wait()
	slices.Sort(open)
	return open
}

// identity asks the node API for what only nodes may have.
func (s *plant) identity(t *testing.T) {
	client := s.lab.HTTPClientTo(fmt.Sprintf("node1:%d", join.DefaultPort))
	client.Timeout = 5 * time.Second
	client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true} // nothing is told to it
	for _, request := range []struct{ method, path string }{{http.MethodGet, "/node/v1/servers"}, {http.MethodPost, "/node/v1/renew"}} {
		_, err := send(t.Context(), client, request.method, "https://node1"+request.path, "{}")
		if status, ok := errors.AsType[errStatus](err); !ok || status != http.StatusUnauthorized {
			t.Errorf("%s without a certificate: %v", request.path, err)
		}
	}
	if _, err := send(t.Context(), client, http.MethodPost, "https://node1/join/v1/admit", `{"node":"evil"}`); err == nil {
		t.Error("a machine without a token is let in")
	}
}

// serverAway takes the only server's power for a while: the agents' pods go on, and everything finds together again.
func (s *plant) serverAway(t *testing.T) {
	agent := s.agents[0]
	url := s.sampleURLs()[0]
	if err := s.host.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, time.Minute, "the agent tells that no server answers", func(ctx context.Context) error {
		c, err := agent.component(ctx, "api-balancer")
		if err == nil && c.State != component.Degraded {
			err = fmt.Errorf("the balancer is %s", c.State)
		}
		return err
	})
	for range 20 {
		time.Sleep(100 * time.Millisecond) // not to wait for anything: to ask over two seconds rather than at once
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := s.answersWithout(ctx, agent, url)
		cancel()
		if err != nil {
			t.Errorf("while the server is off: %v", err)
		}
	}
	begun := time.Now()
	if err := s.host.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range append([]*platform{s.platform}, s.agents...) {
		await(t, readyLimit, p.host.Name()+" is ready again", p.ready)
		t.Logf("%s is ready again %s after the power came back", p.host.Name(), time.Since(begun).Round(10*time.Millisecond))
	}
}

// answersWithout asks through an agent's gateway; the sample application must be running on an agent.
func (s *plant) answersWithout(ctx context.Context, p *platform, url string) error {
	client := p.lab.HTTPClientTo(p.host.Name() + ":80")
	client.Timeout = 5 * time.Second
	return get(ctx, client, url, `"version":"v1"`)
}

// agentCut pulls an agent's cable for 70 s, longer than Kubernetes waits before it calls a node unreachable.
func (s *plant) agentCut(t *testing.T) {
	agent := s.agents[1]
	before := agent.pids(t)
	ns := s.namespace(t, "e2e-cut")
	s.serveFrom(t, ns, "cut", agent.host.Name())
	if err := agent.host.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.awaitRoutes(t, "endpoints on a dead node are found and repaired", repairs(route.DeadNode, "Pod "+ns+"/cut"))
	s.awaitState(t, 2*time.Minute, agent.host.Name(), "unreachable")
	begun := time.Now()
	if err := agent.host.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, readyLimit, "the agent is ready again", agent.ready)
	s.awaitState(t, readyLimit, agent.host.Name(), "ready")
	t.Logf("ready again %s after the cable was back", time.Since(begun).Round(10*time.Millisecond))
	if after := agent.pids(t); after != before {
		t.Errorf("processes were restarted:\n%s\nwere\n%s", after, before)
	}
}

// pids lists the processes of the components.
func (p *platform) pids(t *testing.T) string {
	t.Helper()
	s, err := p.daemon().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, c := range s.Components {
		fmt.Fprintf(&text, "%s %d, %d restarts\n", c.Name, c.PID, c.Restarts)
	}
	return text.String()
}

// removeAndReplace removes an agent, cleans its machine and lets it join again; and lets another come back that was
// installed anew without a word to the site.
func (s *plant) removeAndReplace(t *testing.T) {
	agent, anew := s.agents[0], s.agents[1]
	if err := anew.host.StopBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	anew.run(t, "appliance", "reset", "--yes")
	if code := s.exitCode(t, "node", "remove", "node1", "--yes"); code != int(cli.CodeNotPossible) {
		t.Errorf("removal of the only server: exit code %d", code)
	}
	if code := s.exitCode(t, "node", "remove", "node9", "--yes"); code != int(cli.CodeNotMember) {
		t.Errorf("removal of nobody: exit code %d", code)
	}
	out := s.run(t, "appliance", "node", "remove", agent.host.Name(), "--yes")
	if !strings.Contains(out, "its machine is being cleaned") {
		t.Error(out)
	}
	await(t, time.Minute, "the machine is clean", func(ctx context.Context) error {
		out, err := agent.host.Output(ctx, "sh", "-c", "ls -d /etc/appliance /var/lib/appliance /run/appliance 2>/dev/null; ip -br link | grep -v -e ^lo -e ^eth0; true")
		if err == nil && out != "" {
			err = fmt.Errorf("there is still:\n%s", out)
		}
		return err
	})
	pods, err := s.kube.CoreV1().Pods(sampleNamespace).List(t.Context(), metav1.ListOptions{FieldSelector: "spec.nodeName=" + agent.host.Name()})
	if err != nil || len(pods.Items) > 0 {
		t.Errorf("%d pods of the sample application are still there (%v)", len(pods.Items), err)
	}
	token, _ := s.newToken(t)
	agent.run(t, "appliance", "join", "--token", token)
	await(t, readyLimit, "the agent is ready again", agent.ready)
	s.replace(t, anew)
	s.nodes(t)
}

// awaitState waits until the site says of a node that it is in a state.
func (s *plant) awaitState(t *testing.T, limit time.Duration, name, state string) {
	t.Helper()
	awaitJSON(t, limit, "the site calls "+name+" "+state, s.platform, []string{"node", "list"}, func(rows []nodeRow) error {
		if !slices.ContainsFunc(rows, func(n nodeRow) bool { return n.Name == name && n.State == state }) {
			return fmt.Errorf("nodes %+v", rows)
		}
		return nil
	})
}

// replace lets a machine in the place of the node that it was, which takes an approval.
func (s *plant) replace(t *testing.T, anew *platform) {
	name := anew.host.Name()
	s.awaitState(t, 2*time.Minute, name, "unreachable")
	token, _ := s.newToken(t)
	var says strings.Builder
	joined := make(chan error, 1)
	go func() {
		joined <- anew.host.Exec(t.Context(), lab.Command{Args: []string{"appliance", "join", "--token", token}, Stdout: &says, Stderr: &says})
	}()
	s.awaitState(t, time.Minute, name, "waiting")
	var words string
	for _, n := range runJSON[[]nodeRow](t, s.platform, "node", "list") {
		words = max(words, n.Words)
	}
	s.run(t, "appliance", "node", "approve", name, "--yes")
	if err := <-joined; err != nil {
		t.Fatalf("%v\n%s", err, says.String())
	}
	if len(words) == 0 || !strings.Contains(says.String(), words) {
		t.Errorf("the server shows the words %q, the machine says\n%s", words, says.String())
	}
	if err := anew.host.StartBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, readyLimit, "the machine is ready", anew.ready)
}
