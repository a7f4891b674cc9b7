package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"islet/appliance/cli"
	"islet/appliance/config"
	"islet/appliance/datastore"
	"islet/appliance/vip"
)

// fleet is a site of three servers and two agents. Its parts build upon each other.
type fleet struct {
	servers, agents []*platform
	kept            []string // what a client was told to be written, at any time
	virtual         bool     // the API has a virtual address
}

// TestServers makes a site of five machines, and takes its servers away one after the other.
func TestServers(t *testing.T) {
	all := bootSite(t, "fleet", 5, func(c *config.Config) {
		c.Datastore.Store = config.StoreEtcd
		c.Site.RescheduleAfter = config.Duration(rescheduleAfter)
		c.Network.VIP = config.VIP{API: apiVIP, Applications: appsVIP}
	})
	f := &fleet{servers: all[:3], agents: all[3:], virtual: true}
	runParts(t, f, all, []part[fleet]{
		{"assemble", (*fleet).assemble},
		{"images", (*fleet).imagesEverywhere},
		{"ports", (*fleet).ports},
		{"virtual addresses", (*fleet).virtualAddresses},
		{"a server dies", (*fleet).loseEach},
		{"a server is cut off and an agent dies", (*fleet).partition},
		{"a server is removed and comes back", (*fleet).removeServer},
		{"two servers are lost", (*fleet).loseQuorum},
	})
}

func (f *fleet) all() []*platform { return slices.Concat(f.servers, f.agents) }

// join lets machines join with a token for that role, all at once.
func (f *fleet) join(t *testing.T, role config.Role, machines ...*platform) {
	t.Helper()
	made := runJSON[struct{ Token string }](t, f.servers[0], "token", "create", "--role", string(role), "--uses", fmt.Sprint(len(machines)))
	var joining sync.WaitGroup
	for _, m := range machines {
		joining.Go(func() {
			begun := time.Now()
			out, err := m.host.Output(t.Context(), "appliance", "join", "--token", made.Token)
			if err != nil {
				t.Errorf("%s: %v\n%s", m.host.Name(), err, out)
				return
			}
			t.Logf("%s was let in as %s after %s", m.host.Name(), role, time.Since(begun).Round(10*time.Millisecond))
		})
	}
	joining.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// assemble makes the site: one server, a second one that gets no vote alone, a third, and the agents.
func (f *fleet) assemble(t *testing.T) {
	first, second, third := f.servers[0], f.servers[1], f.servers[2]
	await(t, readyLimit, "the first server is ready", first.ready)
	begun := time.Now()
	f.join(t, config.RoleServer, second)
	await(t, readyLimit, "the second server stands by", func(ctx context.Context) error {
		s, err := second.daemon().Status(ctx)
		if err == nil && (!s.Ready || !s.Standby) {
			err = fmt.Errorf("ready %t, standby %t", s.Ready, s.Standby)
		}
		return err
	})
	if d := f.datastore(t, first); d.Voters != 1 || len(d.Members) != 2 || d.MayFail != 0 {
		t.Errorf("with a second server: %+v", d)
	}
	f.join(t, config.RoleServer, third)
	f.join(t, config.RoleAgent, f.agents...)
	for _, p := range f.all() {
		await(t, readyLimit, p.host.Name()+" is ready", p.ready)
	}
	t.Logf("four machines joined within %s", time.Since(begun).Round(10*time.Millisecond))
	f.awaitWhole(t)
	if code := first.exitCode(t, "node", "remove", "node1", "--yes"); code != int(cli.CodeNotPossible) {
		t.Errorf("removal of the server that the command runs on: exit code %d", code)
	}
}

type datastoreView struct {
	Members []struct {
		Name, Error     string
		Leader, Learner bool
	}
	Voters, Healthy, MayFail int
}

func (f *fleet) datastore(t *testing.T, at *platform) datastoreView {
	t.Helper()
	return runJSON[datastoreView](t, at, "datastore", "status")
}

// awaitDatastore waits until a server tells of that many voters, of which so many are healthy and so many may fail.
func awaitDatastore(t *testing.T, limit time.Duration, at *platform, members, voters, healthy, mayFail int) time.Duration {
	t.Helper()
	what := fmt.Sprintf("%d of %d voters are healthy", healthy, voters)
	return awaitJSON(t, limit, what, at, []string{"datastore", "status"}, func(d datastoreView) error {
		if len(d.Members) != members || d.Voters != voters || d.Healthy != healthy || d.MayFail != mayFail {
			return fmt.Errorf("%+v", d)
		}
		return nil
	})
}

// awaitWhole waits until three voters are healthy.
func (f *fleet) awaitWhole(t *testing.T) {
	t.Helper()
	awaitDatastore(t, readyLimit, f.servers[0], 3, 3, 3, 1)
}

// imagesEverywhere finds every image of the bundle on every machine, and no trace of a pull.
func (f *fleet) imagesEverywhere(t *testing.T) {
	if err := f.servers[0].connect(); err != nil {
		t.Fatal(err)
	}
	carried := len(f.servers[0].imagesPresent(t))
	for _, p := range f.all() {
		if n := len(p.imagesPresent(t)); n != carried || n == 0 {
			t.Errorf("%s has %d images, the first server %d", p.host.Name(), n, carried)
		}
	}
	f.servers[0].pullEvents(t)
}

// ports compares the open ports of a server that is one of several with those that are documented.
func (f *fleet) ports(t *testing.T) {
	c := config.Default()
	c.Datastore.Store = config.StoreEtcd
	checkPorts(t, f.servers[1], c)
	for _, port := range []int{datastore.ClientPort, datastore.PeerPort} {
		conn, err := f.servers[1].lab.Dial(t.Context(), "tcp", fmt.Sprintf("%s:%d", f.servers[1].host.Name(), port))
		if err != nil {
			t.Fatal(err)
		}
		stranger := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // nothing is told to it
		err = stranger.HandshakeContext(t.Context())
		if err == nil { // with TLS 1.3 the refusal comes with the first answer
			_, err = stranger.Read(make([]byte, 1))
		}
		if err == nil || !strings.Contains(err.Error(), "certificate required") && !strings.Contains(err.Error(), "bad certificate") {
			t.Errorf("port %d without a certificate: %v", port, err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

// counter writes to the API by one way, all the time, and counts.
type counter struct {
	kube    kubernetes.Interface
	written []string
	failed  int
	longest time.Duration // without a write
}

// through makes a client that reaches the API as the node's own programs do.
func (f *fleet) through(t *testing.T, node *platform) *counter {
	t.Helper()
	return f.client(t, node, netip.MustParseAddr("127.0.0.1"))
}

// client makes one that runs on a node and reaches the API at an address.
func (f *fleet) client(t *testing.T, node *platform, address netip.Addr) *counter {
	t.Helper()
	if err := f.servers[0].connect(); err != nil {
		t.Fatal(err)
	}
	local := rest.CopyConfig(f.servers[0].rest)
	local.Host, local.Timeout = fmt.Sprintf("https://%s:6443", address), 5*time.Second
	local.Dial = node.host.Dial
	client, err := kubernetes.NewForConfig(local)
	if err != nil {
		t.Fatal(err)
	}
	return &counter{kube: client}
}

// run writes until ctx ends.
func (c *counter) run(ctx context.Context, prefix string) {
	last := time.Now()
	for i := 0; ctx.Err() == nil; i++ {
		name := fmt.Sprintf("%s-%d", prefix, i)
		_, err := c.kube.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			c.failed++
		default:
			c.written = append(c.written, name)
			c.longest = max(c.longest, time.Since(last))
			last = time.Now()
		}
		awaitTick(ctx)
	}
	c.longest = max(c.longest, time.Since(last))
}

// while writes through an agent's balancer, and at the API's virtual address if there is one, while something happens, and finds
// everything that was acknowledged afterwards.
func (f *fleet) while(t *testing.T, what string, do func()) {
	t.Helper()
	ways := map[string]*counter{"balancer": f.through(t, f.agents[0])}
	if f.virtual {
		ways["virtual address"] = f.client(t, f.agents[0], apiVIP)
	}
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	for way, c := range ways {
		writing.Go(func() { c.run(ctx, strings.ToLower(strings.ReplaceAll(what+" "+way, " ", "-"))) })
	}
	do()
	stop()
	writing.Wait()
	for way, c := range ways {
		t.Logf("%s, through the %s: %d writes, %d failed, at most %s without one", what, way, len(c.written), c.failed, c.longest.Round(10*time.Millisecond))
		f.kept = append(f.kept, c.written...)
	}
	list, err := ways["balancer"].kube.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, m := range list.Items {
		there[m.Name] = true
	}
	for _, name := range f.kept {
		if !there[name] {
			t.Errorf("%s was acknowledged and is gone", name)
		}
	}
}

// holder is the server that holds the API's virtual address; nil when none says so.
func (f *fleet) holder(t *testing.T) *platform {
	t.Helper()
	for _, p := range f.servers {
		s, err := p.daemon().Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(s.VIPs, func(v vip.Status) bool { return v.Address == apiVIP && v.State == vip.Held }) {
			return p
		}
	}
	return nil
}

// apiAtVIP complains unless a server takes connections at the API's virtual address.
func (f *fleet) apiAtVIP(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	conn, err := f.servers[0].lab.Dial(ctx, "tcp", apiVIP.String()+":6443")
	if err == nil {
		err = conn.Close()
	}
	return err
}

// virtualAddresses finds each address on one server, and both answer.
func (f *fleet) virtualAddresses(t *testing.T) {
	await(t, readyLimit, "the API answers at its address", f.apiAtVIP)
	for _, address := range []netip.Addr{apiVIP, appsVIP} {
		var holders []string
		for _, p := range f.servers {
			out := p.run(t, "ip", "-4", "-o", "address", "show", "dev", "eth0")
			if strings.Contains(out, " "+address.String()+"/") {
				holders = append(holders, p.host.Name())
			}
		}
		if len(holders) != 1 {
			t.Errorf("%s is on %v", address, holders)
		}
	}
	f.servers[0].deploySample(t)
	for _, url := range f.servers[0].sampleURLs()[:1] {
		client := f.servers[0].lab.HTTPClientTo(appsVIP.String() + ":80")
		client.Timeout = 5 * time.Second
		await(t, readyLimit, url+" at the applications' address", func(ctx context.Context) error { return get(ctx, client, url, `"version":"v1"`) })
	}
}

// loseEach takes the power of each server for a while, the leader included.
func (f *fleet) loseEach(t *testing.T) {
	for i, p := range f.servers {
		other := f.servers[(i+1)%len(f.servers)]
		f.while(t, p.host.Name()+" dies", func() {
			held := f.holder(t)
			if err := p.host.Kill(t.Context()); err != nil {
				t.Fatal(err)
			}
			moved := await(t, 3*time.Second, "the API's address is elsewhere", f.apiAtVIP)
			if held == p {
				t.Logf("%s held the API's address: it answers elsewhere after %s", p.host.Name(), moved.Round(10*time.Millisecond))
			}
			awaitDatastore(t, time.Minute, other, 3, 3, 2, 0)
			if err := p.host.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			took := await(t, readyLimit, p.host.Name()+" is back", p.ready)
			t.Logf("%s is ready %s after its power came back", p.host.Name(), took.Round(10*time.Millisecond))
			f.awaitWhole(t)
		})
	}
}

// rescheduleAfter is what the site is told, and rescheduled when pods of a dead node must run elsewhere: Kubernetes takes 50 s
// to call it unreachable, and the rest is for starting them.
const (
	rescheduleAfter = 20 * time.Second
	rescheduled     = 50*time.Second + rescheduleAfter + 30*time.Second
)

// partition pulls the cable of a server for 70 s. Meanwhile an agent is dead, whose pods are started elsewhere.
func (f *fleet) partition(t *testing.T) {
	ns := f.servers[0].namespace(t, "e2e-dead")
	dead := f.agents[1]
	moved := f.deployOn(t, ns, dead)
	if err := dead.host.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	died := time.Now()
	f.cutServer(t)
	await(t, max(time.Second, rescheduled-time.Since(died)), "the dead agent's pod runs elsewhere", moved)
	t.Logf("the dead agent's pod runs elsewhere within %s", time.Since(died).Round(time.Second))
	if err := dead.host.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, readyLimit, "the agent is back", dead.ready)
}

// deployOn starts an application with one pod, on that machine as long as it is there. What it returns complains until the
// pod runs on another.
func (f *fleet) deployOn(t *testing.T, ns string, machine *platform) func(context.Context) error {
	t.Helper()
	var template corev1.PodTemplateSpec
	pod := newPod(ns, "mover", func(*corev1.Pod) {})
	template.Labels, template.Spec = map[string]string{"app": "mover"}, pod.Spec
	template.Spec.RestartPolicy = ""
	template.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{
		Weight: 100, Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{
			Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{machine.host.Name()},
		}}},
	}}}}
	kube := f.servers[0].kube
	_, err := kube.AppsV1().Deployments(ns).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "mover"},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: template.Labels}, Template: template},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	runs := func(ctx context.Context, where func(node string) bool) error {
		pods, err := kube.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{LabelSelector: "app=mover"})
		if err != nil {
			return err
		}
		for _, p := range pods.Items {
			ready := slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue })
			if ready && where(p.Spec.NodeName) {
				return nil
			}
		}
		return fmt.Errorf("none of %d pods does", len(pods.Items))
	}
	await(t, readyLimit, "a pod runs on "+machine.host.Name(), func(ctx context.Context) error {
		return runs(ctx, func(node string) bool { return node == machine.host.Name() })
	})
	return func(ctx context.Context) error {
		return runs(ctx, func(node string) bool { return node != machine.host.Name() })
	}
}

// cutServer pulls a server's cable, and plugs it in again.
func (f *fleet) cutServer(t *testing.T) {
	t.Helper()
	const length = 70 * time.Second
	cut := f.servers[2]
	if err := cut.connect(); err != nil {
		t.Fatal(err)
	}
	others := []*platform{f.servers[0], f.servers[1], f.agents[0]}
	var before []string
	for _, p := range others {
		before = append(before, p.pids(t))
	}
	f.while(t, "partition", func() {
		if err := cut.host.Cut(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case <-time.After(length):
		case <-t.Context().Done():
		}
		if err := cut.host.Heal(t.Context()); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		served := await(t, 10*time.Second, "it serves again", func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second) // an attempt may be lost on the way
			defer cancel()
			return cut.kube.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
		})
		await(t, readyLimit, "all of it is ready", cut.ready)
		t.Logf("%s without a cable: it serves again after %s, and all of it is ready after %s", length, served.Round(10*time.Millisecond), time.Since(begun).Round(10*time.Millisecond))
	})
	for i, p := range others {
		if after := p.pids(t); after != before[i] {
			t.Errorf("%s: processes were restarted:\n%s\nwere\n%s", p.host.Name(), after, before[i])
		}
	}
}

// removeServer removes a server, whose machine cleans itself, and lets it join again.
func (f *fleet) removeServer(t *testing.T) {
	gone := f.servers[2]
	out := f.servers[0].run(t, "appliance", "node", "remove", gone.host.Name(), "--yes")
	if !strings.Contains(out, "its machine is being cleaned") {
		t.Error(out)
	}
	if d := f.datastore(t, f.servers[0]); len(d.Members) != 2 || d.Voters != 2 {
		t.Errorf("members after the removal: %+v", d)
	}
	await(t, time.Minute, "the machine is clean", func(ctx context.Context) error {
		out, err := gone.host.Output(ctx, "sh", "-c", "ls -d /etc/appliance /var/lib/appliance /run/appliance 2>/dev/null; true")
		if err == nil && out != "" {
			err = errors.New("there is still " + out)
		}
		return err
	})
	f.join(t, config.RoleServer, gone)
	await(t, readyLimit, "it is a server again", gone.ready)
	f.awaitWhole(t)
}

// loseQuorum destroys two of three servers, goes on with the third one's copy, and lets the others come back with theirs.
func (f *fleet) loseQuorum(t *testing.T) {
	survivor, lost := f.servers[0], f.servers[1:]
	if code := survivor.exitCode(t, "datastore", "recover", "--yes"); code != int(cli.CodeNotPossible) {
		t.Errorf("recovery of a site that is well: exit code %d", code)
	}
	for _, p := range lost {
		if err := p.host.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	plan := runJSON[datastoreView](t, survivor, "datastore", "recover", "--plan")
	if plan.Voters != 3 || plan.Healthy != 1 || plan.MayFail != -1 {
		t.Errorf("plan %+v", plan)
	}
	begun := time.Now()
	survivor.run(t, "appliance", "datastore", "recover", "--yes")
	t.Logf("recovered in %s", time.Since(begun).Round(10*time.Millisecond))
	f.while(t, "recovered", func() {
		for _, p := range lost {
			if err := p.host.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		f.awaitWhole(t)
	})
	for _, p := range lost {
		s, err := p.daemon().Status(t.Context())
		if err != nil || !strings.Contains(s.Datastore.Restored, "generation") {
			t.Errorf("%s does not say that its copy was put aside: %q (%v)", p.host.Name(), s.Datastore.Restored, err)
		}
		p.run(t, "sh", "-c", "rm -r "+paths.Datastore()+"/etcd.damaged-*") // as an operator who has seen to it
	}
	for _, p := range f.all() {
		await(t, readyLimit, p.host.Name()+" is ready", p.ready)
	}
}
