package component

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a component whose steps a test sets; what it leaves out succeeds at once.
type fake struct {
	Task
	prepare func(ctx context.Context) error
	check   func(ctx context.Context) error
}

func (f fake) Prepare(ctx context.Context) error {
	if f.prepare == nil {
		return nil
	}
	return f.prepare(ctx)
}

func (f fake) Check(ctx context.Context) error {
	if f.check == nil {
		return nil
	}
	return f.check(ctx)
}

// serve is ready at once and runs until it is told to stop.
func serve(ctx context.Context, ready func()) error {
	ready()
	<-ctx.Done()
	return nil
}

// taskUnit makes components that do the same each time.
func taskUnit(name string, needs []string, do func(ctx context.Context, ready func()) error) Unit {
	return Unit{New: func() Component { return Task{TaskName: name, TaskNeeds: needs, Do: do} }}
}

// running is a supervisor in a synctest bubble.
type running struct {
	*Supervisor
	cancel  context.CancelFunc
	stopped chan struct{}
}

func start(t *testing.T, units ...Unit) *running {
	t.Helper()
	s, err := NewSupervisor(slog.New(slog.DiscardHandler), units...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{Supervisor: s, cancel: cancel, stopped: make(chan struct{})}
	go func() {
		defer close(r.stopped)
		if err := s.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	return r
}

// stop stops the supervisor and returns how long that took.
func (r *running) stop() time.Duration {
	begun := time.Now()
	r.cancel()
	<-r.stopped
	return time.Since(begun)
}

// expect compares every event so far, as "component state: reason". Waiting is left out: who starts
// to wait, and who is there first, happens at one moment.
func (r *running) expect(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for _, e := range r.Events() {
		if e.State == Waiting {
			continue
		}
		got = append(got, strings.TrimSuffix(e.Component+" "+string(e.State)+": "+e.Reason, ": "))
	}
	if !slices.Equal(got, want) {
		t.Errorf("events\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func (r *running) status(name string) Status {
	all := r.Snapshot()
	return all[slices.IndexFunc(all, func(s Status) bool { return s.Name == name })]
}

func TestStartsInOrderOfNeedAndStopsInReverse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context, ready func()) error {
			time.Sleep(time.Second)
			return serve(ctx, ready)
		}
		r := start(t, taskUnit("kubelet", []string{"api"}, slow), taskUnit("api", []string{"store"}, slow), taskUnit("store", nil, slow))
		time.Sleep(10 * time.Second)
		r.stop()
		// What happens at one moment happens in any order: only the order over time counts.
		events := r.Events()
		at := func(name string, state State) int {
			return slices.IndexFunc(events, func(e Event) bool { return e.Component == name && e.State == state })
		}
		order := []int{
			at("store", Starting), at("store", Ready), at("api", Starting), at("api", Ready), at("kubelet", Starting), at("kubelet", Ready),
			at("kubelet", Stopping), at("kubelet", Stopped), at("api", Stopping), at("api", Stopped), at("store", Stopping), at("store", Stopped),
		}
		if !slices.IsSorted(order) || order[0] < 0 {
			t.Errorf("order %v in %v", order, events)
		}
		if reason := events[at("api", Waiting)].Reason; reason != "waiting for store" {
			t.Errorf("api waits with the reason %q", reason)
		}
	})
}

func TestFailuresBackOffAndAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		r := start(t, taskUnit("a", nil, func(ctx context.Context, ready func()) error {
			runs++
			ready()
			switch runs {
			case 1:
				return errors.New("no luck")
			case 2:
				return nil
			case 3: // runs for long enough to be trusted, then fails again
				time.Sleep(stableAfter)
				return errors.New("worn out")
			}
			<-ctx.Done()
			return nil
		}))
		time.Sleep(time.Hour)
		if s := r.status("a"); s.Restarts != 3 || s.Failures != 1 || s.State != Ready {
			t.Errorf("status %+v", s)
		}
		r.stop()
		r.expect(t,
			"a starting", "a ready", "a backoff: no luck; next try in 250ms",
			"a starting", "a ready", "a backoff: ended without being asked to; next try in 500ms",
			"a starting", "a ready", "a backoff: worn out; next try in 250ms",
			"a starting", "a ready", "a stopping", "a stopped")
	})
}

func TestDefaultBackoffIsBounded(t *testing.T) {
	t.Parallel()
	for failures, want := range map[int]time.Duration{
		1: 250 * time.Millisecond, 2: 500 * time.Millisecond, 6: 8 * time.Second, 7: 15 * time.Second, 1 << 30: 15 * time.Second,
	} {
		if got := DefaultBackoff(failures); got != want {
			t.Errorf("after %d failures: %s, want %s", failures, got, want)
		}
	}
}

func TestPanicIsAFailureLikeAnother(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]fake{
		"in Run":     {Task: Task{Do: func(context.Context, func()) error { panic("boom") }}},
		"in Prepare": {Task: Task{Do: serve}, prepare: func(context.Context) error { panic("boom") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				broken.TaskName = "a"
				r := start(t, Unit{New: func() Component { return broken }}, taskUnit("b", nil, serve))
				time.Sleep(100 * time.Millisecond)
				if s := r.status("a"); s.State != Backoff || s.Reason != "panic: boom; next try in 250ms" {
					t.Errorf("status %+v", s)
				}
				if s := r.status("b"); s.State != Ready {
					t.Errorf("the other component: %+v", s)
				}
				r.stop()
			})
		})
	}
}

func TestHealthChangesButNeverRestarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		checks := 0
		r := start(t, Unit{New: func() Component {
			return fake{Task: Task{TaskName: "a", Do: serve}, check: func(context.Context) error {
				checks++
				switch checks {
				case 2:
					return errors.New("slow disk")
				case 3:
					panic("bad check")
				}
				return nil
			}}
		}}, taskUnit("b", []string{"a"}, serve))
		time.Sleep(4*checkInterval + time.Second)
		if s := r.status("a"); s.Restarts != 0 {
			t.Errorf("restarted %d times", s.Restarts)
		}
		if s := r.status("b"); s.State != Ready {
			t.Errorf("the dependant of a degraded component is %s", s.State)
		}
		var got []string
		for _, e := range r.Events() {
			if e.Component == "a" {
				got = append(got, string(e.State)+" "+e.Reason)
			}
		}
		want := []string{"preparing ", "starting ", "ready ", "degraded slow disk", "degraded panic: bad check", "ready "}
		if !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
		r.stop()
	})
}

func TestReadyIsHeardOnceAndNotTooLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var previous func()
		last := make(chan func(), 1)
		r := start(t, taskUnit("a", nil, func(_ context.Context, ready func()) error {
			if previous != nil {
				previous() // of a run that is over
				time.Sleep(time.Second)
			}
			previous = ready
			select {
			case last <- ready:
			default:
			}
			return errors.New("no luck")
		}))
		time.Sleep(500 * time.Millisecond)
		(<-last)()
		time.Sleep(time.Second)
		r.stop()
		r.expect(t, "a starting", "a backoff: no luck; next try in 250ms", "a starting", "a backoff: no luck; next try in 500ms", "a stopping", "a stopped")
	})
}

func TestSlowStopIsLeftBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		deaf := taskUnit("deaf", []string{"store"}, func(_ context.Context, ready func()) error {
			ready()
			<-release
			ready()
			return errors.New("too late")
		})
		deaf.StopTimeout = 7 * time.Second
		r := start(t, taskUnit("store", nil, serve), deaf)
		time.Sleep(time.Second)
		if took := r.stop(); took != 7*time.Second {
			t.Errorf("the stop took %s", took)
		}
		close(release)
		synctest.Wait()
		if s := r.status("deaf"); s.State != Stopped || s.Reason != "gave up after 7s" {
			t.Errorf("status %+v", s)
		}
		r.expect(t, "store starting", "store ready", "deaf starting", "deaf ready",
			"deaf stopping", "deaf stopped: gave up after 7s", "store stopping", "store stopped")
	})
}

func TestCancelAtAnyPoint(t *testing.T) {
	t.Parallel()
	block := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	prepares := Unit{New: func() Component { return fake{Task: Task{TaskName: "a", Do: serve}, prepare: block} }}
	checks := Unit{New: func() Component { return fake{Task: Task{TaskName: "a", Do: serve}, check: block} }}
	never := taskUnit("never", nil, func(ctx context.Context, _ func()) error { return block(ctx) })
	cases := []struct {
		name  string
		units []Unit
		after time.Duration
		want  []string
	}{
		{"at once", []Unit{taskUnit("a", nil, serve)}, 0, nil},
		{"while preparing", []Unit{prepares}, time.Second, []string{"a preparing", "a stopping", "a stopped"}},
		{"while starting", []Unit{never}, time.Second, []string{"never starting", "never stopping", "never stopped"}},
		{"while checking", []Unit{checks}, checkInterval + time.Second, []string{"a preparing", "a starting", "a ready", "a stopping", "a stopped"}},
		{
			"while backing off", []Unit{taskUnit("a", nil, func(context.Context, func()) error { return errors.New("no") })}, 100 * time.Millisecond,
			[]string{"a starting", "a backoff: no; next try in 250ms", "a stopping", "a stopped"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := start(t, c.units...)
				time.Sleep(c.after)
				if took := r.stop(); took != 0 {
					t.Errorf("the stop took %s", took)
				}
				r.cancel() // a second time: nothing more happens
				synctest.Wait()
				if c.want != nil {
					r.expect(t, c.want...)
				}
				for _, s := range r.Snapshot() {
					if s.State != Stopped {
						t.Errorf("%s is %s", s.Name, s.State)
					}
				}
			})
		})
	}
}

func TestCancelWhileWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, taskUnit("b", []string{"never", "a"}, serve), taskUnit("a", nil, serve),
			taskUnit("never", nil, func(ctx context.Context, _ func()) error { <-ctx.Done(); return nil }))
		time.Sleep(time.Second)
		if s := r.status("b"); s.State != Waiting || s.Reason != "waiting for never" {
			t.Errorf("status %+v", s)
		}
		r.stop()
		for _, e := range r.Events() {
			if e.Component == "b" && e.State == Starting {
				t.Error("started without its needs")
			}
		}
	})
}

func TestRestartOnRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, taskUnit("a", nil, serve))
		if err := r.Restart("nobody"); !errors.Is(err, ErrUnknown) {
			t.Errorf("a component that does not exist: %v", err)
		}
		time.Sleep(time.Second)
		for range 3 { // asked for three times at once: one restart
			if err := r.Restart("a"); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Second)
		if s := r.status("a"); s.Restarts != 1 || s.Failures != 0 || s.State != Ready {
			t.Errorf("status %+v", s)
		}
		r.stop()
		if err := r.Restart("a"); err != nil {
			t.Error(err)
		}
		r.expect(t, "a starting", "a ready", "a stopping: restart requested", "a starting", "a ready", "a stopping", "a stopped")
	})
}

func TestRestartCutsPreparingAndBackoffShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		r := start(t, Unit{
			Backoff: func(int) time.Duration { return time.Hour },
			New: func() Component {
				return fake{Task: Task{TaskName: "a", Do: serve}, prepare: func(ctx context.Context) error {
					switch runs++; runs {
					case 2: // the first was made by NewSupervisor's look at the name: it is not prepared
						<-ctx.Done()
						return ctx.Err()
					case 1:
						return errors.New("no")
					}
					return nil
				}}
			},
		})
		for range 2 {
			time.Sleep(time.Second)
			if err := r.Restart("a"); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Second)
		r.stop()
		r.expect(t, "a preparing", "a backoff: prepare: no; next try in 1h0m0s", "a preparing", "a stopping: restart requested",
			"a preparing", "a starting", "a ready", "a stopping", "a stopped")
	})
}

func TestRestartWhileWaitingIsTheStartItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, taskUnit("b", []string{"a"}, serve), taskUnit("a", nil, func(ctx context.Context, ready func()) error {
			time.Sleep(time.Minute)
			return serve(ctx, ready)
		}))
		time.Sleep(time.Second)
		if err := r.Restart("b"); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Minute)
		if s := r.status("b"); s.Restarts != 0 || s.State != Ready {
			t.Errorf("status %+v", s)
		}
		r.stop()
	})
}

func TestNeedsThatGoDownLeaveDependantsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		r := start(t, taskUnit("a", nil, func(ctx context.Context, ready func()) error {
			if runs++; runs == 1 {
				ready()
				time.Sleep(time.Minute)
				return errors.New("gone")
			}
			time.Sleep(time.Minute)
			return serve(ctx, ready)
		}), taskUnit("b", []string{"a"}, serve))
		time.Sleep(90 * time.Second) // a is down
		if a, b := r.status("a"), r.status("b"); a.State != Starting || b.State != Ready || b.Restarts != 0 {
			t.Errorf("a %+v, b %+v", a, b)
		}
		// But one that starts again while its need is down waits for it.
		if err := r.Restart("b"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if b := r.status("b"); b.State != Waiting {
			t.Errorf("b %+v", b)
		}
		time.Sleep(time.Minute)
		if b := r.status("b"); b.State != Ready {
			t.Errorf("b %+v", b)
		}
		r.stop()
	})
}

func TestNeedsThroughOthers(t *testing.T) {
	t.Parallel()
	s, err := NewSupervisor(slog.New(slog.DiscardHandler), taskUnit("a", []string{"b", "d"}, serve), taskUnit("b", []string{"c"}, serve),
		taskUnit("c", nil, serve), taskUnit("d", nil, serve))
	if err != nil {
		t.Fatal(err)
	}
	for pair, want := range map[[2]string]bool{
		{"a", "a"}: true, {"a", "b"}: true, {"a", "c"}: true, {"a", "d"}: true, {"b", "d"}: false, {"c", "a"}: false, {"x", "a"}: false,
	} {
		if got := s.Needs(pair[0], pair[1]); got != want {
			t.Errorf("%v: %t", pair, got)
		}
	}
}

func TestRefusedDeclarations(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		units []Unit
		want  string
	}{
		"unknown need": {[]Unit{taskUnit("a", []string{"b"}, serve)}, "component a needs b, which does not exist"},
		"duplicate":    {[]Unit{taskUnit("a", nil, serve), taskUnit("a", nil, serve)}, "component a is declared twice"},
		"needs itself": {[]Unit{taskUnit("a", []string{"a"}, serve)}, "components need each other in a circle: [a a]"},
		"cycle": {
			[]Unit{taskUnit("a", []string{"b"}, serve), taskUnit("b", []string{"c"}, serve), taskUnit("c", []string{"a"}, serve)},
			"components need each other in a circle: [a b c a]",
		},
	} {
		if _, err := NewSupervisor(slog.New(slog.DiscardHandler), c.units...); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestHistoryIsBoundedAndChangesAreHeard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := taskUnit("a", nil, func(context.Context, func()) error { return errors.New("no") })
		u.Backoff = func(int) time.Duration { return time.Second }
		r := start(t, u)
		synctest.Wait()
		changed := r.Changed()
		time.Sleep(500 * time.Millisecond)
		select {
		case <-changed:
			t.Error("a change without an event")
		default:
		}
		time.Sleep(time.Second)
		<-changed
		time.Sleep(historyLimit * time.Second)
		r.stop()
		events := r.Events()
		if len(events) != historyLimit || events[historyLimit-1].State != Stopped {
			t.Errorf("%d events, the last %+v", len(events), events[len(events)-1])
		}
	})
}

func TestCrashing(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct {
		status Status
		want   bool
	}{
		"fine":                     {Status{State: Ready}, false},
		"failed a little":          {Status{State: Backoff, Failures: 2, Since: now}, false},
		"backs off":                {Status{State: Backoff, Failures: 3, Since: now}, true},
		"tries again":              {Status{State: Starting, Failures: 3, Since: now}, true},
		"only just ready":          {Status{State: Ready, Failures: 3, Since: now.Add(-time.Second)}, true},
		"ready for long":           {Status{State: Ready, Failures: 3, Since: now.Add(-stableAfter)}, false},
		"asked to restart a lot":   {Status{State: Starting, Restarts: 99, Since: now}, false},
		"hangs at start for hours": {Status{State: Starting, Failures: 3, Since: now.Add(-time.Hour)}, true},
	} {
		if got := c.status.IsCrashing(3, now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
