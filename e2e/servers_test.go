package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"islet/appliance/cli"
	"islet/appliance/config"
)

// fleet is a site of three servers and two agents. Its parts build upon each other.
type fleet struct {
	servers, agents []*platform
	kept            []string // what a client was told to be written, at any time
}

// TestServers makes a site of five machines, and takes its servers away one after the other.
func TestServers(t *testing.T) {
	all := bootSite(t, "fleet", 5, func(c *config.Config) { c.Datastore.Store = config.StoreEtcd })
	f := &fleet{servers: all[:3], agents: all[3:]}
	for _, part := range []struct {
		name string
		run  func(f *fleet, t *testing.T)
	}{
		{"assemble", (*fleet).assemble},
		{"images", (*fleet).imagesEverywhere},
		{"ports", (*fleet).ports},
		{"a server dies", (*fleet).loseEach},
		{"a server is cut off", (*fleet).partition},
		{"a server is removed and comes back", (*fleet).removeServer},
		{"two servers are lost", (*fleet).loseQuorum},
	} {
		ok := t.Run(part.name, func(t *testing.T) {
			defer func() {
				for _, p := range all {
					if t.Failed() {
						t.Logf("===== %s", p.host.Name())
					}
					p.diagnose(t)
				}
			}()
			part.run(f, t)
		})
		if !ok {
			t.Fatal("the rest builds upon this")
		}
	}
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
	await(t, readyLimit, "all three have a vote", f.whole(t))
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

// whole complains unless three voters are healthy.
func (f *fleet) whole(t *testing.T) func(context.Context) error {
	return func(context.Context) error {
		if d := f.datastore(t, f.servers[0]); d.Voters != 3 || d.Healthy != 3 || d.MayFail != 1 {
			return fmt.Errorf("%+v", d)
		}
		return nil
	}
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
}

// counter writes through the balancer of one node, all the time, and counts.
type counter struct {
	kube    kubernetes.Interface
	written []string
	failed  int
	longest time.Duration // without a write
}

// through makes a client that reaches the API as the node's own programs do.
func (f *fleet) through(t *testing.T, node *platform) *counter {
	t.Helper()
	if err := f.servers[0].connect(); err != nil {
		t.Fatal(err)
	}
	local := rest.CopyConfig(f.servers[0].rest)
	local.Host, local.Timeout = "https://127.0.0.1:6443", 5*time.Second
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

// while writes through an agent's balancer while something happens, and finds everything that was acknowledged afterwards.
func (f *fleet) while(t *testing.T, what string, do func()) {
	t.Helper()
	c := f.through(t, f.agents[0])
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() { c.run(ctx, strings.ToLower(strings.ReplaceAll(what, " ", "-"))) })
	do()
	stop()
	writing.Wait()
	t.Logf("%s: %d writes, %d failed, at most %s without one", what, len(c.written), c.failed, c.longest.Round(10*time.Millisecond))
	f.kept = append(f.kept, c.written...)
	list, err := c.kube.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
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

// loseEach takes the power of each server for a while, the leader included.
func (f *fleet) loseEach(t *testing.T) {
	for i, p := range f.servers {
		other := f.servers[(i+1)%len(f.servers)]
		f.while(t, p.host.Name()+" dies", func() {
			if err := p.host.Kill(t.Context()); err != nil {
				t.Fatal(err)
			}
			await(t, time.Minute, "the others tell", func(context.Context) error {
				d := f.datastore(t, other)
				if d.Voters != 3 || d.Healthy != 2 || d.MayFail != 0 {
					return fmt.Errorf("%+v", d)
				}
				return nil
			})
			if err := p.host.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			took := await(t, readyLimit, p.host.Name()+" is back", p.ready)
			t.Logf("%s is ready %s after its power came back", p.host.Name(), took.Round(10*time.Millisecond))
			await(t, readyLimit, "all three are healthy", f.whole(t))
		})
	}
}

// partition pulls the cable of a server for 70 s.
func (f *fleet) partition(t *testing.T) {
	const length = 70 * time.Second
	cut := f.servers[2]
	if err := cut.connect(); err != nil {
		t.Fatal(err)
	}
	others := []*platform{f.servers[0], f.servers[1], f.agents[0], f.agents[1]}
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
	await(t, readyLimit, "all three have a vote", f.whole(t))
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
		for _, p := range f.all() {
			await(t, readyLimit, p.host.Name()+" is ready", p.ready)
		}
		await(t, readyLimit, "all three have a vote again", f.whole(t))
	})
}
