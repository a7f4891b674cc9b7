package dashboard

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"islet/appliance/api"
	"islet/appliance/component"
	"islet/appliance/metric"
	"islet/appliance/plan"
	"islet/appliance/tail"
	"islet/tui/message"
	"islet/tui/screen"
	"islet/tui/theme"
	"islet/tui/tuitest"
)

func englishOn(t *testing.T) *screen.Context {
	t.Helper()
	return tuitest.Context(tuitest.Profiles["unicode"])
}

func expectView(t *testing.T, p screen.Page, want ...string) {
	t.Helper()
	drawn := ansi.Strip(p.View())
	for _, w := range want {
		if !strings.Contains(drawn, w) {
			t.Errorf("%q is not shown:\n%s", w, drawn)
		}
	}
}

// The daemon goes and comes back: the dashboard says so, keeps what it knew, and recovers by itself.
func TestDaemonGoesAndComes(t *testing.T) {
	t.Parallel()
	s := healthy()
	d := opened(t, englishOn(t), s, tabOverview).(*Dashboard)
	expectView(t, d, "Nothing is wrong.", "cutter")
	stop(d, s, 3*time.Minute)
	expectView(t, d, "does not answer since 09:30:00 (3m ago)", "systemctl start appliance", "What follows is 3m old", "cutter")
	if strings.Contains(d.View(), "Nothing is wrong.") {
		t.Error("says that nothing is wrong")
	}
	s.down = nil
	settle(d, d.board.ask())
	expectView(t, d, "cutter")
	if strings.Contains(d.View(), "does not answer") {
		t.Errorf("has not recovered:\n%s", d.View())
	}
}

// An answer that comes when it is not waited for any more changes nothing.
func TestLateAnswersAreDropped(t *testing.T) {
	t.Parallel()
	s := healthy()
	d := opened(t, englishOn(t), s, tabOverview).(*Dashboard)
	late := d.board.ask()()
	s.reports[0].Status.Site = "newer"
	settle(d, d.board.ask())
	settle(d, d.Update(late))
	if d.board.ctx.Name != "newer" {
		t.Errorf("the site is %q", d.board.ctx.Name)
	}
	if cmd := d.Update(askMsg{d.board.asked - 1}); cmd != nil {
		t.Error("a tick of an earlier question asks again: there would be two chains")
	}
}

func TestEventsAreAskedForWhenSomethingChanged(t *testing.T) {
	t.Parallel()
	s := healthy()
	ctx := englishOn(t)
	before, err := look(s, snapshot{}, ctx.Now())
	if err != nil || len(before.events) == 0 || len(before.history.Recent) == 0 {
		t.Fatalf("%v", err)
	}
	s.events = append(s.events, component.Event{Component: "kubelet"})
	same, err := look(s, before, ctx.Now().Add(time.Second))
	if err != nil || len(same.events) != len(before.events) {
		t.Errorf("asked again though nothing changed: %v", err)
	}
	own := s.reports[0]
	own.Status.Components = slices.Clone(own.Status.Components)
	own.Status.Components[3].State = component.Degraded
	s.reports = []api.Report{own}
	after, err := look(s, same, ctx.Now().Add(2*time.Second))
	if err != nil || len(after.events) != len(s.events) {
		t.Errorf("%d events, %v", len(after.events), err)
	}
	if _, err := look(&site{}, after, ctx.Now()); err == nil {
		t.Error("a site without a node is no error")
	}
}

func TestQuorum(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(s *site)
		want   string
		tone   theme.Tone
	}{
		"all":          {func(*site) {}, "3 of 3 voting servers are there: one more may fail", theme.Good},
		"one silent":   {func(s *site) { s.reports[1].Received = ago(time.Minute) }, "2 of 3 voting servers are there: NONE MAY FAIL NOW", theme.Warning},
		"one unknown":  {func(s *site) { s.reports = slices.Delete(s.reports, 1, 2) }, "2 of 3 voting servers are there: NONE MAY FAIL NOW", theme.Warning},
		"etcd is down": {func(s *site) { s.reports[1].Status.Components[0].State = component.Backoff }, "2 of 3 voting servers are there: NONE MAY FAIL NOW", theme.Warning},
		"two gone": {func(s *site) {
			s.reports[1].Received, s.reports[2].Received = ago(time.Hour), ago(time.Hour)
		}, "NO QUORUM", theme.Bad},
		"standby": {func(s *site) {
			s.reports = s.reports[:2]
			s.reports[1].Status.Standby, s.reports[0].Status.Servers = true, nil
		}, "1 of 1 voting servers are there: none may fail", theme.Plain},
		"sqlite": {func(s *site) { s.reports[0].Status.Datastore.Store = "sqlite" }, "sqlite on this server alone", theme.Plain},
		"agent":  {func(s *site) { s.reports[0].Status.Datastore = nil }, "this node is an agent", theme.Plain},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := healthy()
			c.change(s)
			d := opened(t, englishOn(t), s, tabOverview).(*Dashboard)
			if text, tone := d.board.quorumText(); !strings.Contains(text, c.want) || tone != c.tone {
				t.Errorf("%q in tone %d, want %q", text, tone, c.want)
			}
		})
	}
}

func TestTroublesAreToldOnce(t *testing.T) {
	t.Parallel()
	s := troubled()
	s.reports[1].Status.Problems = s.reports[0].Status.Problems[:1]
	d := opened(t, englishOn(t), s, tabOverview).(*Dashboard)
	var got []string
	for _, p := range d.board.troubles() {
		got = append(got, fmt.Sprint(p.Code, p.nodes))
	}
	want := []string{"component-crashing[press1 press2]", "node-silent[press1]", "backup-overdue[press1]"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestJumps(t *testing.T) {
	t.Parallel()
	d := opened(t, englishOn(t), healthy(), tabOverview).(*Dashboard)
	for _, c := range []struct {
		keys string
		want string
	}{{"3", "Components"}, {"gp", "Pods"}, {"gz", "Pods"}, {"8", "Joining"}, {"gl", "Plans"}, {"9", "Plans"}, {"go", "Overview"}} {
		for _, k := range c.keys {
			settle(d, d.Update(tuitest.Key(string(k))))
			if k == 'g' && !d.Typing() {
				t.Error("after g the frame takes letters as its own")
			}
		}
		if d.Title() != c.want {
			t.Errorf("%s leads to %s, not %s", c.keys, d.Title(), c.want)
		}
	}
	settle(d, d.Update(tuitest.Key("3")))
	for _, k := range []string{"/", "8", "g"} { // a filter is text
		settle(d, d.Update(tuitest.Key(k)))
	}
	if d.Title() != "Components" || !d.Typing() {
		t.Errorf("typing a filter has led to %s", d.Title())
	}
}

// What another node logs and has used is asked for at that node; one that does not answer leaves what was known.
func TestAnotherNode(t *testing.T) {
	t.Parallel()
	ctx := englishOn(t)
	s := healthy()
	d := opened(t, ctx, s, tabNodes, "down").(*Dashboard)
	parts := press(d, "o")
	l := press(parts, "l")
	expectView(t, l, "press2-etcd.go:")
	if got := l.(screen.Commander).Command().Line(); got != "appliance component logs etcd --follow --node press2" {
		t.Error(got)
	}
	past := press(parts, "enter")
	expectView(t, past, "What happened", "ready")
	used := press(d, "h")
	expectView(t, used, "press2, the last hour", "CPU")
	if got := used.(screen.Commander).Command().Line(); got != "appliance history --node press2" {
		t.Error(got)
	}
	s.far = errors.New("dial tcp 10.20.0.12:9443: i/o timeout")
	for _, p := range []screen.Page{past, used} {
		settle(p, p.(screen.Starter).Start())
		expectView(t, p, "does not answer: dial tcp", "What follows is 0s old")
	}
	expectView(t, past, "What happened")
	settle(used, used.Update(toldMsg[metric.History]{id: -1}))
	expectView(t, used, "does not answer")
	expectView(t, press(d, "h"), "does not answer")
	ctx.Run = nil
	expectView(t, press(d, "h"), "may only look")
	expectView(t, press(press(d, "o"), "l"), "may only look", "--node press2")
}

// A plan that is unfinished goes on by the command that it shows, on the terminal; where that cannot be given away the command is
// shown. The journals are there while the daemon is not.
func TestPlansGoOn(t *testing.T) {
	t.Parallel()
	ctx := englishOn(t)
	s := healthy()
	s.down = unreachable()
	d := opened(t, ctx, s, tabPlans).(*Dashboard)
	expectView(t, d, "does not answer", "failed", "interrupted", "config /etc/appliance/config.yaml")
	expectView(t, press(d, "U"), "appliance install")
	var entered []string
	ctx.Enter = func(args []string) tea.Cmd { entered = args; return nil }
	page := press(d, "enter")
	expectView(t, page, "no space left on device", "appliance install", "9s")
	press(page, "U")
	if !slices.Equal(entered, []string{"install"}) {
		t.Errorf("entered %q", entered)
	}
	entered = nil
	d.Update(tuitest.Key("down"))
	expectView(t, press(d, "U"), "Only the newest plan can go on")
	if entered != nil {
		t.Errorf("entered %q", entered)
	}
	s.plans[0].State, s.plans[0].Resume = plan.Done, nil
	settle(d, d.Update(plansAgainMsg{d.entries[tabPlans].tab.(*plans).id}))
	expectView(t, d, "done")
}

// Every page has its command, and every command of an action is one of this program.
func TestEveryPageHasItsCommand(t *testing.T) {
	t.Parallel()
	d := opened(t, englishOn(t), healthy(), tabOverview).(*Dashboard)
	for i, e := range d.entries {
		settle(d, d.jump(i))
		if len(d.Command().Args) == 0 {
			t.Errorf("%s has no command", e.name)
		}
		if len(e.tab.keys()) == 0 {
			t.Errorf("%s has no keys", e.name)
		}
	}
}

// Where nothing can be changed from, nothing is asked that only root may know, and actions only show their command.
func TestUnprivileged(t *testing.T) {
	t.Parallel()
	ctx := englishOn(t)
	s := healthy()
	d := New(ctx, s)
	d.board.later = never
	ctx.Run = nil
	d.SetSize(100, 27)
	settle(d, d.Start())
	settle(d, d.jump(tabJoining))
	expectView(t, d, "may only look")
	settle(d, d.jump(tabApplications))
	expectView(t, d, "may only look")
	settle(d, d.jump(tabPods))
	expectView(t, d, "shop")
	expectView(t, press(d, "enter"), "may only look")
	settle(d, d.jump(tabComponents))
	expectView(t, press(d, "l"), "may only look", "appliance component logs etcd")
	expectView(t, press(d, "R"), "may only look", "appliance component restart etcd")
}

// A day of a site on which something happens all the time, at one look a second, takes no more memory than an hour did.
func TestMemoryStaysBounded(t *testing.T) {
	ctx := englishOn(t)
	clock := tuitest.Now
	ctx.Now = func() time.Time { return clock }
	s := troubled()
	d := opened(t, ctx, s, tabOverview).(*Dashboard)
	l := newLog(d.board, "", "kubelet")
	l.SetSize(100, 27)
	const limit = 100 << 20
	for second := range 24 * 60 * 60 {
		clock = clock.Add(time.Second)
		state := []component.State{component.Ready, component.Backoff}[second%2]
		event := component.Event{At: clock, Component: "kube-apiserver", State: state, Reason: strings.Repeat("why ", 50) + fmt.Sprint(second)}
		s.events = append(s.events[max(0, len(s.events)-1023):], event) // as many as the daemon keeps
		own := s.reports[0]
		own.Received, own.Status.Components = clock, slices.Clone(own.Status.Components)
		own.Status.Components[3].State, own.Status.Components[3].Since = state, clock
		s.reports = append([]api.Report{own}, s.reports[1:]...)
		d.Update(d.board.ask()())
		l.id = second
		l.Update(logMsg{id: second, part: tail.Part{Lines: []string{strings.Repeat("x", 3000) + fmt.Sprint(second)}}})
		if second%600 == 0 {
			d.jump(second / 600 % len(d.entries))
			_, _ = d.View(), l.View()
		}
		if second%3600 != 0 {
			continue
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		if m.HeapAlloc > limit {
			t.Fatalf("%d MiB after %d h", m.HeapAlloc>>20, second/3600)
		}
	}
	if len(l.pager.lines) > keptLines || len(l.pager.lines[0]) > lineBytes {
		t.Errorf("%d lines of %d bytes are kept", len(l.pager.lines), len(l.pager.lines[0]))
	}
	if d.board.now.events[len(d.board.now.events)-1].Component != "kube-apiserver" {
		t.Error("the newest event is not there")
	}
}

func TestPager(t *testing.T) {
	t.Parallel()
	p := pager{ctx: englishOn(t)}
	p.setSize(40, 6)
	for i := range keptLines + 100 {
		p.add(fmt.Sprintf("line %d", i))
	}
	if len(p.lines) != keptLines || !strings.Contains(p.view(), fmt.Sprintf("line %d", keptLines+99)) {
		t.Errorf("%d lines:\n%s", len(p.lines), p.view())
	}
	for _, k := range []string{"/", "2", "0", "0", "0", "enter"} {
		p.update(tuitest.Key(k))
	}
	if first, _, _ := strings.Cut(ansi.Strip(p.view()), "\n"); first != "line 2000" {
		t.Errorf("found %q", first)
	}
	p.add("one more")
	if first, _, _ := strings.Cut(ansi.Strip(p.view()), "\n"); first != "line 2000" {
		t.Errorf("what was found moved away: %q", first)
	}
	p.update(tuitest.Key("f"))
	if !strings.Contains(p.view(), "one more") {
		t.Error("f does not follow the end")
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	end := tuitest.Now
	samples := []metric.Sample{{At: end.Add(-50 * time.Minute), CPU: 0.2}, {At: end.Add(-metric.Interval), CPU: 0.4}, {At: end, CPU: 0.9}}
	got := spread(samples, func(s metric.Sample) float64 { return s.CPU }, 6, time.Hour, metric.Interval)
	if want := []float64{0.2, -1, -1, -1, -1, 0.9}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestMachinesThatCannotBeListed(t *testing.T) {
	t.Parallel()
	for _, r := range []screen.Result{{Output: "error: no API", Err: errors.New("exit 7")}, {Output: "no JSON"}} {
		if _, err := decodeMachines(r); err == nil {
			t.Errorf("%+v is no error", r)
		}
	}
}

func TestLanguageChangesWhatIsShown(t *testing.T) {
	t.Parallel()
	ctx := englishOn(t)
	d := opened(t, ctx, troubled(), tabOverview)
	ctx.Lang = message.Chinese
	expectView(t, d, "反复停止", "下一步")
}

// A page that lay behind another one for a while is read again when it is back in front.
func TestWhatIsLookedAtAgainIsReadAgain(t *testing.T) {
	t.Parallel()
	for at, again := range map[int]func(d *Dashboard) tea.Msg{
		tabPods:         func(d *Dashboard) tea.Msg { return podsAgainMsg{d.front().(*pods).id} },
		tabPlans:        func(d *Dashboard) tea.Msg { return plansAgainMsg{d.front().(*plans).id} },
		tabApplications: func(d *Dashboard) tea.Msg { return platformAgainMsg{d.front().(*applications).id} },
	} {
		d := opened(t, englishOn(t), healthy(), at).(*Dashboard)
		ticks := 0
		d.board.later = func(time.Duration, func(time.Time) tea.Msg) tea.Cmd { ticks++; return nil }
		settle(d, d.Update(again(d))) // not drawn since the answer
		if ticks != 1 {
			t.Errorf("%s: %d ticks while nobody looks: it is never read again", d.Title(), ticks)
		}
		d.View()
		if cmd := d.Update(again(d)); cmd == nil {
			t.Errorf("%s is not read though somebody looks", d.Title())
		}
	}
}
