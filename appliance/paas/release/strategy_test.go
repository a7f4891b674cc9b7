package release

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"islet/appliance/paas/v1alpha1"
)

// course is what an order did to the application, one word for each change: colour and release of what answers, and the weight of what runs
// beside it.
type course struct {
	o     *v1alpha1.ReleaseOrder
	f     Facts
	words []string
}

// words of a spec, such as Blue:shop-1+shop-2@10.
func words(s *v1alpha1.ApplicationSpec) string {
	out := fmt.Sprintf("%s:%s", s.Colour, s.Release)
	if b := s.Beside; b != nil {
		out += fmt.Sprintf("+%s@%d", b.Release, b.Weight)
		if b.Header != nil {
			out += "h"
		}
		if b.Cookie != nil {
			out += "c"
		}
	}
	return out
}

// run takes steps until the order ends. How shop-2 is, is asked at each change.
func (c *course) run(t *testing.T, state func(words string) v1alpha1.State) {
	t.Helper()
	for range 200 {
		stored := c.o.DeepCopy() // as another controller would read it
		before := c.f.Application.Spec
		spec := Step(stored, c.f)
		if c.o = stored; spec != nil && !equality.Semantic.DeepEqual(&before, spec) {
			c.safe(t, spec)
			c.f.Application.Spec = *spec
			c.words = append(c.words, words(spec))
			s := &c.f.Application.Status
			s.State, s.Message, s.Beside = v1alpha1.StateReady, "", nil
			if spec.Beside != nil {
				s.Beside = &v1alpha1.BesideStatus{State: v1alpha1.StateReady}
			}
			switch {
			case spec.Release == "shop-2":
				s.State = state(words(spec))
			case spec.Beside != nil && spec.Beside.Release == "shop-2":
				s.Beside.State = state(words(spec))
			}
		}
		if c.o.Status.Phase.Ended() {
			return
		}
		c.f.Now = c.f.Now.Add(4 * time.Second)
	}
	t.Fatalf("no end: %s", strings.Join(c.words, " "))
}

// safe complains about a change that sends requests to what is not there yet, or ends what still gets some.
func (c *course) safe(t *testing.T, next *v1alpha1.ApplicationSpec) {
	t.Helper()
	now, s := c.f.Application.Spec, c.f.Application.Status
	there := map[string]bool{now.Release: s.State == v1alpha1.StateReady}
	gets := []string{now.Release}
	if now.Beside != nil {
		there[now.Beside.Release] = s.Beside.State == v1alpha1.StateReady
		if now.Beside.Weight > 0 || now.Beside.Header != nil {
			gets = append(gets, now.Beside.Release)
		}
	}
	will := []string{next.Release}
	if next.Beside != nil {
		will = append(will, next.Beside.Release)
		if next.Beside.Weight > 0 && !there[next.Beside.Release] {
			t.Errorf("%s -> %s: requests to what is not ready", words(&now), words(next))
		}
	}
	if !there[next.Release] && next.Release != now.Release {
		t.Errorf("%s -> %s: all requests to what is not ready", words(&now), words(next))
	}
	for _, name := range gets {
		if !slices.Contains(will, name) {
			t.Errorf("%s -> %s: %s still gets requests", words(&now), words(next), name)
		}
	}
}

func TestStrategies(t *testing.T) {
	t.Parallel()
	well := func(string) v1alpha1.State { return v1alpha1.StateReady }
	badAt := func(part string) func(string) v1alpha1.State {
		return func(words string) v1alpha1.State {
			if strings.Contains(words, part) {
				return v1alpha1.StateDegraded
			}
			return v1alpha1.StateReady
		}
	}
	steps := []v1alpha1.WeightStep{{Weight: 10, HoldSeconds: 8}, {Weight: 60}}
	ab := &v1alpha1.Strategy{Kind: v1alpha1.StrategyAB, Steps: steps, Header: &v1alpha1.Pair{Name: "X", Value: "y"}, Cookie: &v1alpha1.Pair{Name: "X", Value: "y"}}
	blueGreen := &v1alpha1.Strategy{Kind: v1alpha1.StrategyBlueGreen}
	for name, c := range map[string]struct {
		strategy *v1alpha1.Strategy
		colour   v1alpha1.Colour
		state    func(string) v1alpha1.State
		phase    v1alpha1.Phase
		want     string
	}{
		"blue-green":          {blueGreen, "", well, v1alpha1.PhaseDone, "Blue:shop-1+shop-2@0 Green:shop-2+shop-1@0 Green:shop-2"},
		"green-blue":          {blueGreen, v1alpha1.Green, well, v1alpha1.PhaseDone, "Green:shop-1+shop-2@0 Blue:shop-2+shop-1@0 Blue:shop-2"},
		"never ready":         {blueGreen, "", badAt("Blue"), v1alpha1.PhaseRolledBack, "Blue:shop-1+shop-2@0 Blue:shop-1"},
		"bad when it answers": {blueGreen, "", badAt("Green"), v1alpha1.PhaseRolledBack, "Blue:shop-1+shop-2@0 Green:shop-2+shop-1@0 Blue:shop-1+shop-2@0 Blue:shop-1"},
		"ab": {ab, "", well, v1alpha1.PhaseDone,
			"Blue:shop-1+shop-2@0 Blue:shop-1+shop-2@10hc Blue:shop-1+shop-2@60hc Green:shop-2+shop-1@0 Green:shop-2"},
		"ab, bad with many": {ab, "", badAt("@60"), v1alpha1.PhaseRolledBack,
			"Blue:shop-1+shop-2@0 Blue:shop-1+shop-2@10hc Blue:shop-1+shop-2@60hc Blue:shop-1+shop-2@0 Blue:shop-1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := &course{o: order(v1alpha1.PhaseApproved), f: facts()}
			run.o.Spec.Strategy, run.f.Application.Spec.Colour = c.strategy, c.colour
			run.run(t, c.state)
			if got := strings.Join(run.words, " "); got != c.want || run.o.Status.Phase != c.phase {
				t.Errorf("%s:\n%s\nwant\n%s", run.o.Status.Phase, got, c.want)
			}
			if n := *run.f.Application.Spec.Components[0].Replicas; n != 4 {
				t.Errorf("%d replicas", n)
			}
		})
	}
}

// What is abandoned goes back from wherever it is, but for the last step: the old release is gone then.
func TestStrategyAbandoned(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]v1alpha1.Phase{"Blue:shop-1+shop-2@0": v1alpha1.PhaseRolledBack, "Green:shop-2+shop-1@0": v1alpha1.PhaseRolledBack, "Green:shop-2": v1alpha1.PhaseDone} {
		run := &course{o: order(v1alpha1.PhaseApproved), f: facts()}
		run.o.Spec.Strategy = &v1alpha1.Strategy{Kind: v1alpha1.StrategyBlueGreen}
		run.run(t, func(words string) v1alpha1.State {
			run.o.Spec.Abandoned = run.o.Spec.Abandoned || words == at
			return v1alpha1.StateReady
		})
		if run.o.Status.Phase != want {
			t.Errorf("abandoned at %s: %s, %v", at, run.o.Status.Phase, run.words)
		}
	}
}

func TestStatefulIsNotDoubled(t *testing.T) {
	t.Parallel()
	o, f := order(""), facts()
	o.Spec.Strategy = &v1alpha1.Strategy{Kind: v1alpha1.StrategyBlueGreen}
	f.Application.Spec.Components[0].Kind, f.Release.Spec.Template.Components[0].Kind = v1alpha1.KindStateful, v1alpha1.KindStateful
	if Step(o, f); o.Status.Phase != v1alpha1.PhaseRefused || !strings.Contains(o.Status.Message, "stateful") {
		t.Errorf("%s: %s", o.Status.Phase, o.Status.Message)
	}
}

// The hooks that verify run when the new release is ready and before it gets a request, and a release that they do not like goes.
func TestStrategyVerified(t *testing.T) {
	t.Parallel()
	for want, out := range map[v1alpha1.Phase]Outcome{v1alpha1.PhaseDone: {Succeeded: true}, v1alpha1.PhaseRolledBack: {Failed: true, Message: "exit code 1"}} {
		run := &course{o: order(v1alpha1.PhaseApproved), f: facts()}
		run.f.Release.Spec.Hooks = []v1alpha1.Hook{{Name: "try", When: v1alpha1.HookVerify}}
		run.o.Spec.Strategy, run.o.Status.Content = &v1alpha1.Strategy{Kind: v1alpha1.StrategyBlueGreen}, Content(run.f.Release)
		run.f.Outcomes = map[string]Outcome{"try": out}
		run.run(t, func(string) v1alpha1.State { return v1alpha1.StateReady })
		if run.o.Status.Phase != want || run.o.Status.Hooks[0].ServiceEnding != "-beside" {
			t.Errorf("%s, want %s: %v, %+v", run.o.Status.Phase, want, run.words, run.o.Status.Hooks)
		}
		if switched := len(run.words) > 1 && strings.HasPrefix(run.words[1], "Green:"); switched != out.Succeeded {
			t.Errorf("%v", run.words)
		}
	}
}
