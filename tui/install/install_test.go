package install

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"islet/appliance/api"
	"islet/appliance/component"
	"islet/appliance/config"
	"islet/appliance/host"
	"islet/appliance/install"
	"islet/appliance/join"
	"islet/appliance/preflight"
	"islet/appliance/setup"
	"islet/appliance/wizard"
	"islet/tui/screen"
	"islet/tui/tuitest"
)

// press1 is a machine with one address.
func press1() *wizard.Wizard {
	w := wizard.New(host.Facts{Hostname: "press1", CPUs: 4, MemoryBytes: 8 << 30, OS: "Debian GNU/Linux 12", Kernel: host.Kernel{Release: "6.1.0"}, Interfaces: []host.Interface{{
		Name: "eth0", Index: 2, MTU: 1500, Up: true, Carrier: true, Physical: true,
		Addresses: []host.Address{{Prefix: netip.MustParsePrefix("192.0.2.11/24")}},
	}}, Volumes: []host.Volume{
		{Mount: host.Mount{Point: "/", Type: "ext4"}, FreeBytes: 31 << 30, TotalBytes: 40 << 30, Sync: 2300 * time.Microsecond},
		{Mount: host.Mount{Point: "/data", Type: "xfs"}, FreeBytes: 880 << 30, TotalBytes: 931 << 30},
	}})
	w.Now = func() time.Time { return tuitest.Now }
	return w
}

func engine() Engine {
	return Engine{
		Trust:  Trust{Name: "islet", Version: "v0.1.0", Components: 58, Signed: wizard.Text{Format: "signed by %s key %s", Args: []any{"release", "islet-2026"}}},
		Wizard: press1(),
		Explain: func(err error) Failure {
			return Failure{Message: err.Error(), Advice: []string{"free space there, then run it again"}, Code: 11, Log: "journalctl -u appliance"}
		},
		Do: func(ctx context.Context, _ wizard.Order, _ setup.Driver) error {
			<-ctx.Done()
			return ctx.Err()
		},
	}
}

func planned() []install.Step {
	return []install.Step{
		{Kind: install.KindJournal, Object: "/var/lib/appliance/journal", Detail: "record what is on this machine, for `appliance reset`"},
		{Kind: install.KindExecutable, Object: "/usr/local/bin/appliance", Detail: "copy this program, with everything in it"},
		{Kind: install.KindConfig, Object: "/etc/appliance/config.yaml", Detail: "write the answer file"},
		{Kind: install.KindUnit, Object: "/etc/systemd/system/appliance.service", Detail: "write the unit and let systemd read it", Done: true},
		{Kind: install.KindService, Object: "appliance.service", Detail: "enable: start at every boot"},
		{Kind: install.KindService, Object: "appliance.service", Detail: "start"},
	}
}

func report(failed bool) preflight.Report {
	r := preflight.Report{Status: preflight.Warned, Results: []preflight.Result{
		{ID: "cpu", Title: "Processors", Status: preflight.Passed, Found: "4"},
		{ID: "memory", Title: "Memory", Status: preflight.Warned, Found: "1.9 GiB, and 2.0 GiB are wanted", Advice: "add memory, or run less on this machine"},
		{ID: "disk-fsync", Title: "Time to make a write safe", Status: preflight.Passed, Found: "99% of writes take less than 3.1 ms"},
		{ID: "default-route", Title: "Default route", Status: preflight.Info, Found: "none, and none is needed"},
		{ID: "node-name", Title: "Name of this node", Status: preflight.Passed, Found: "press1"},
	}}
	if failed {
		r.Status = preflight.Failed
		r.Results = append(r.Results, preflight.Result{ID: "cluster-networks", Title: "Pod and service networks", Status: preflight.Failed, Found: "10.42.0.0/16 is in use on eth1", Advice: "choose another network.podCIDR"})
	}
	return r
}

func nodeStatus(ready bool) api.Status {
	at := func(ago time.Duration) time.Time { return tuitest.Now.Add(-ago) }
	s := api.Status{Site: "plant", Zone: "dmz", Ready: ready, Node: api.Node{Name: "press1", Address: "192.0.2.11", Domain: "apps.plant.internal"}, Components: []component.Status{
		{Name: "engines", State: component.Ready, Since: at(9 * time.Second)},
		{Name: "kine", State: component.Ready, Since: at(8 * time.Second)},
		{Name: "containerd", State: component.Starting, Since: at(7 * time.Second)},
		{Name: "kube-apiserver", State: component.Backoff, Reason: "exit status 1; again in 4s", Failures: 2, Since: at(3 * time.Second)},
		{Name: "kubelet", State: component.Waiting, Reason: "waiting for containerd", Since: at(9 * time.Second)},
	}}
	if ready {
		for i := range s.Components {
			s.Components[i].State, s.Components[i].Reason = component.Ready, ""
		}
	}
	return s
}

// asked returns questions after these keys.
func asked(ctx *screen.Context, keys ...string) *questions {
	q := newQuestions(New(ctx, engine()))
	q.SetSize(80, 21)
	tuitest.Press(q, keys...)
	return q
}

// Where only one language can be shown, none is asked for.
func TestFirstPage(t *testing.T) {
	t.Parallel()
	tuitest.Sweep(t, func(ctx *screen.Context) screen.Page { return New(ctx, engine()).First() })
}

// enters are as many, and what comes after them.
func enters(n int, keys ...string) []string {
	return append(slices.Repeat([]string{"enter"}, n), keys...)
}

func TestQuestionPages(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string][]string{
		"Start":   {},
		"Site":    {"enter"},
		"Servers": {"enter", "enter", "enter", "down"},
		"Machine": {"enter", "enter", "enter", "enter", "enter"},
		"Disk":    {"enter", "enter", "enter", "enter", "enter", "enter"},
		"Network": {"enter", "enter", "enter", "2", "enter", "enter", "enter", "enter", "enter"},
		"Time":    enters(11),
		"Clock":   enters(11, "2", "enter", "2", "0", "2", "6", "enter"),
		"OwnKey":  enters(13, "2", "enter", "a", "g", "e", "1", "enter"),
		"Problem": {"enter", "M", "y", " ", "p", "enter"},
		"Rules":   enters(12),
		"Token":   {"2", "enter", "i", "s", "l", "e", "t", "-", "x", "enter"},
		"Leave":   {"q"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tuitest.Sweep(t, func(ctx *screen.Context) screen.Page { return asked(ctx, keys...) })
		})
	}
}

func TestStepsPage(t *testing.T) {
	t.Parallel()
	tuitest.Sweep(t, func(ctx *screen.Context) screen.Page { return newSteps(asked(ctx, "enter", "enter")) })
}

// running is a page of an order in a state.
func running(ctx *screen.Context, how func(*state), err error) *run {
	r := newRun(New(ctx, engine()), wizard.Order{Answers: []byte("apiVersion: islet.dev/v1alpha1\nkind: Site\nsite:\n  name: plant\n")})
	r.session = &session{cancel: func() {}, result: err}
	var st state
	how(&st)
	r.take(st)
	return r
}

func TestRunPages(t *testing.T) {
	t.Parallel()
	now := tuitest.Now
	plan := setup.Plan{Steps: planned(), Answers: []byte("apiVersion: islet.dev/v1alpha1\nkind: Site\nsite:\n  name: plant\n")}
	did := func(n int) (ended []setup.Ended) {
		for _, s := range planned()[:n] {
			ended = append(ended, setup.Ended{Step: s})
		}
		return ended
	}
	for name, c := range map[string]struct {
		state func(*state)
		err   error
		keys  []string
	}{
		"Checking": {state: func(s *state) { s.stage = setup.Checking }},
		"Asking":   {state: func(s *state) { s.stage = setup.Asking }},
		"Warned":   {state: func(s *state) { s.question = setup.Checked{Report: report(false)} }},
		"Failed":   {state: func(s *state) { s.question = setup.Checked{Report: report(true)} }},
		"Review":   {state: func(s *state) { s.question = plan }},
		"Behind":   {state: func(s *state) { s.question = setup.Skew{Ahead: 95 * time.Second} }},
		"FarAhead": {state: func(s *state) { s.question = setup.Skew{Ahead: -75 * time.Hour} }},
		"Copying": {state: func(s *state) {
			s.began, s.stage, s.plan, s.ended = true, setup.Working, &plan, did(1)
			s.progress, s.since = setup.Progress{What: "copy this program", Done: 80 << 20, Total: 190 << 20}, now.Add(-2*time.Second)
		}},
		"Approval": {state: func(s *state) {
			s.began, s.stage, s.plan, s.ended = true, setup.Working, &plan, did(2)
			s.approval = &setup.Approval{Node: "press2", Words: "tundra salad orbit maple"}
			s.notes = []string{"warning: another server of the site cannot be reached: 192.0.2.13"}
		}},
		"Unmanaged": {state: func(s *state) {
			s.began, s.stage, s.plan, s.ended, s.waiting = true, setup.Starting, &plan, did(6), now.Add(-4*time.Second)
			s.start, s.node = &setup.Unmanaged{Program: "/usr/local/bin/appliance"}, setup.Status{Err: api.ErrUnreachable}
		}},
		"Components": {state: func(s *state) {
			s.began, s.stage, s.plan, s.ended, s.waiting = true, setup.Starting, &plan, did(6), now.Add(-9*time.Second)
			s.node = setup.Status{Node: nodeStatus(false)}
		}},
		"Stop": {keys: []string{"x"}, state: func(s *state) {
			s.began, s.stage, s.plan, s.ended, s.waiting = true, setup.Starting, &plan, did(6), now.Add(-9*time.Second)
			s.node = setup.Status{Node: nodeStatus(false)}
		}},
		"Key": {keys: []string{"s", "a"}, state: func(s *state) {
			s.began, s.node = true, setup.Status{Node: nodeStatus(true)}
			s.question = setup.Key{Site: "plant", Recipient: "age1" + strings.Repeat("q", 58), Secret: "AGE-SECRET-KEY-1" + strings.Repeat("X", 58)}
		}},
		"Error": {err: errors.New("install executable /usr/local/bin/appliance: write: no space left on device"), state: func(s *state) {
			s.began, s.over = true, true
		}},
		"Ready": {state: func(s *state) { s.began, s.over, s.node = true, true, setup.Status{Node: nodeStatus(true)} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tuitest.Sweep(t, func(ctx *screen.Context) screen.Page {
				r := running(ctx, c.state, c.err)
				tuitest.Press(r, c.keys...)
				return r
			})
		})
	}
}

// inputs counts what has to be typed beyond Enter: a word or a choice is one input each.
func inputs(keys ...string) int {
	n, word := 0, false
	for _, k := range keys {
		switch {
		case k == "enter":
			word = false
		case !word:
			n++
			word = true
		}
	}
	return n
}

// TestInputs holds the wizard to what a technician can be asked: a single node needs at most six inputs beyond Enter, three
// servers twelve in all.
func TestInputs(t *testing.T) {
	t.Parallel()
	single := &person{t: t}
	single.begin("unicode")
	single.until("Ready")
	if n := inputs(single.typed...); n > 6 {
		t.Errorf("a single node needs %d inputs: %q", n, single.typed)
	}
	all := 0
	first := &person{t: t}
	first.begin("ascii")
	first.servers = true
	first.until("Ready")
	all += inputs(first.typed...)
	for range 2 {
		more := &person{t: t, join: true}
		more.begin("ascii")
		more.until("Ready")
		all += inputs(more.typed...)
	}
	if all > 12 {
		t.Errorf("three servers need %d inputs", all)
	}
}

// person sits in front of the screens, and types what is asked, Enter where nothing has to be.
type person struct {
	t             *testing.T
	flow          *Flow
	root          *screen.Root
	typed         []string
	servers, join bool
	order         wizard.Order
	quit          bool
}

func aToken(t *testing.T) string {
	t.Helper()
	made, err := join.NewToken(config.RoleServer, join.Pin{}, []netip.AddrPort{netip.MustParseAddrPort("192.0.2.11:9443")})
	if err != nil {
		t.Fatal(err)
	}
	return made.String()
}

func (p *person) begin(profile string) {
	p.t.Helper()
	e := engine()
	e.Do = func(ctx context.Context, o wizard.Order, d setup.Driver) error {
		p.order = o
		d.Tell(setup.Checking)
		if err := d.Ask(ctx, setup.Checked{Report: report(false)}); err != nil {
			return err
		}
		if err := d.Ask(ctx, setup.Plan{Steps: planned(), Answers: o.Answers, Join: o.Join}); err != nil {
			return err
		}
		d.Tell(setup.Working)
		for _, s := range planned() {
			d.Tell(setup.Ended{Step: s})
		}
		d.Tell(setup.Starting)
		d.Tell(setup.Status{Node: nodeStatus(true)})
		d.Tell(setup.Started{})
		if o.Join {
			return nil
		}
		return d.Ask(ctx, setup.Key{Site: "plant", Recipient: "age1", Secret: "AGE-SECRET-KEY-1"})
	}
	p.sit(profile, e)
}

// give gives a message to the screens and carries out what comes of it.
func (p *person) give(msg tea.Msg) {
	_, cmd := p.root.Update(msg)
	p.carry(cmd)
}

func (p *person) carry(cmd tea.Cmd) {
	for _, m := range tuitest.Run(cmd) {
		if _, ok := m.(tea.QuitMsg); ok {
			p.quit = true
			return
		}
		p.give(m)
	}
}

func (p *person) press(keys ...string) {
	for _, k := range keys {
		p.typed = append(p.typed, k)
		p.give(tuitest.Key(k))
	}
}

// until types until the screen says something.
func (p *person) until(title string) {
	p.t.Helper()
	const saved = "Type saved and Enter"
	for deadline, typed := time.Now().Add(20*time.Second), false; time.Now().Before(deadline); {
		if p.flow.session != nil {
			time.Sleep(5 * time.Millisecond) // the session's goroutine comes to its next question
			p.give(newsMsg{p.flow.session})
		}
		shown := p.root.Render()
		if typed && strings.Contains(shown, saved) { // it has not heard of it yet
			continue
		}
		switch {
		case strings.Contains(shown, "The node is ready") && title == "Ready":
			return
		case strings.Contains(shown, saved):
			typed = true
			p.press("s", "a", "v", "e", "d", "enter")
		case p.servers && strings.Contains(shown, "What the site is to survive"):
			p.press("2", "enter")
		case p.join && strings.Contains(shown, "What this machine is to be") && !strings.Contains(shown, "Join token"):
			p.press("2", "enter")
			p.typed = append(p.typed, "paste")
			p.give(tea.PasteMsg{Content: aToken(p.t)})
			p.press("enter")
		default:
			p.press("enter")
		}
	}
	p.t.Fatalf("no end:\n%s", p.root.Render())
}

// A question that follows at once is put, too, whether or not the page has seen that the one before was answered.
func TestQuestionAfterQuestion(t *testing.T) {
	t.Parallel()
	r := running(tuitest.Context(tuitest.Profiles["ascii"]), func(s *state) { s.question, s.asked = setup.Checked{Report: report(true)}, 1 }, nil)
	r.take(state{question: setup.Checked{Report: report(false)}, asked: 2})
	if c, ok := r.body.(*checks); !ok || c.failed() {
		t.Errorf("the second check is not shown: %T", r.body)
	}
	r.take(state{question: setup.Plan{Steps: planned()}, asked: 3})
	if _, ok := r.body.(*review); !ok {
		t.Errorf("%T instead of the plan", r.body)
	}
}

// An address that the machine gets meanwhile is offered without losing an answer.
func TestLookAgain(t *testing.T) {
	t.Parallel()
	e := engine()
	e.Wizard = wizard.New(host.Facts{Hostname: "press1"})
	e.Look = func() host.Facts {
		return host.Facts{Hostname: "press1", Interfaces: []host.Interface{{
			Name: "eth0", Index: 2, MTU: 1500, Up: true, Carrier: true, Physical: true,
			Addresses: []host.Address{{Prefix: netip.MustParsePrefix("192.0.2.11/24")}},
		}}}
	}
	q := newQuestions(New(tuitest.Context(tuitest.Profiles["ascii"]), e))
	q.SetSize(80, 21)
	tuitest.Press(q, "enter", "p", "enter")
	q.visit("node.address")
	if strings.Contains(q.View(), "192.0.2.11") {
		t.Fatal("there is an address already")
	}
	for _, m := range tuitest.Run(q.Update(tuitest.Key("ctrl+r"))) {
		q.Update(m)
	}
	if !strings.Contains(q.View(), "192.0.2.11/24 on eth0") || e.Wizard.Value("site.name") != "p" {
		t.Errorf("%q\n%s", e.Wizard.Value("site.name"), q.View())
	}
}
