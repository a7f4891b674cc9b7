package release

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/paas/v1alpha1"
)

var now = time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)

func at(d time.Duration) *metav1.Time {
	t := metav1.NewTime(now.Add(d))
	return &t
}

func release(version string) *v1alpha1.Release {
	r := &v1alpha1.Release{}
	r.Namespace, r.Name = "press-prod", "shop-"+version
	r.Spec = v1alpha1.ReleaseSpec{Application: "shop", Version: version, Template: template(version)}
	return r
}

func template(version string) v1alpha1.ApplicationTemplate {
	return v1alpha1.ApplicationTemplate{Components: []v1alpha1.Component{{Name: "web", Image: "web@" + version, Replicas: new(int32(1))}}}
}

// facts of an order for release 2 in prod, where release 1 runs; 2 has run in test for an hour.
func facts() Facts {
	e := &v1alpha1.Environment{}
	e.Name, e.Spec.Tenant, e.Spec.Name, e.Spec.Class = "press-prod", "press", "prod", v1alpha1.ClassProd
	e.Spec.Policy.Soak.Duration = 30 * time.Minute
	a := &v1alpha1.Application{}
	a.Spec.ApplicationTemplate, a.Spec.Release = template("1"), "shop-1"
	a.Spec.Components[0].Replicas = new(int32(4))
	a.Status.State = v1alpha1.StateReady
	return Facts{Now: now, Environment: e, Release: release("2"), Application: a, Before: []Stage{{Environment: "press-test", Content: Content(release("2")), Ran: time.Hour}}}
}

func order(phase v1alpha1.Phase) *v1alpha1.ReleaseOrder {
	o := &v1alpha1.ReleaseOrder{}
	o.Name, o.CreationTimestamp = "shop-2-1", *at(-time.Minute)
	o.Spec = v1alpha1.OrderSpec{Application: "shop", Release: "shop-2", Author: "bob"}
	o.Status.Phase, o.Status.Since, o.Status.Content = phase, at(-time.Minute), Content(release("2"))
	return o
}

// applied is the application as an order wants it, in a state.
func applied(o *v1alpha1.ReleaseOrder, f *Facts, state v1alpha1.State, message string) {
	f.Application.Spec = *wanted(o, *f)
	f.Application.Status.State, f.Application.Status.Message = state, message
}

// Each row is one step: what an order is, what is so, and what becomes of it.
func TestStep(t *testing.T) {
	t.Parallel()
	type world struct {
		o *v1alpha1.ReleaseOrder
		f *Facts
	}
	migration := []v1alpha1.Hook{{Name: "migrate", When: v1alpha1.HookBefore}}
	ann := v1alpha1.Opinion{By: "ann", Comment: "not now"}
	for name, c := range map[string]struct {
		phase  v1alpha1.Phase
		change func(w world)
		want   v1alpha1.Phase
		part   string // of the message
	}{
		"passes its checks":       {"", func(world) {}, v1alpha1.PhaseChecked, ""},
		"no release":              {"", func(w world) { w.f.Release = nil }, v1alpha1.PhaseRefused, "neither here nor in press-test"},
		"of another application":  {"", func(w world) { w.f.Release.Spec.Application = "x" }, v1alpha1.PhaseRefused, "is of application x"},
		"never in test":           {"", func(w world) { w.f.Before[0].Content = "" }, v1alpha1.PhaseRefused, "was not rolled out in press-test"},
		"another content in test": {"", func(w world) { w.f.Before[0].Content = "sha256:x" }, v1alpha1.PhaseRefused, "not the content"},
		"too little soak":         {"", func(w world) { w.f.Before[0].Ran = 12 * time.Minute }, v1alpha1.PhaseRefused, "must have run for 30m0s in press-test before it comes to press-prod; it has for 12m0s"},
		"the first environment":   {"", func(w world) { w.f.Before = nil }, v1alpha1.PhaseChecked, ""},
		"abandoned at once":       {"", func(w world) { w.o.Spec.Abandoned = true }, v1alpha1.PhaseAbandoned, ""},
		"back to what never ran":  {"", func(w world) { w.o.Spec.RollbackOf = "x" }, v1alpha1.PhaseRefused, "no going back"},
		"back to what ran": {"", func(w world) {
			w.o.Spec.RollbackOf, w.f.Before[0].Content, w.f.Orders = "x", "", []v1alpha1.ReleaseOrder{*order(v1alpha1.PhaseDone)}
		}, v1alpha1.PhaseChecked, ""},

		"needs approval":      {v1alpha1.PhaseChecked, func(world) {}, v1alpha1.PhasePending, "1 of 1, by others than bob"},
		"approved":            {v1alpha1.PhasePending, func(w world) { w.o.Spec.Approvals = []v1alpha1.Opinion{ann} }, v1alpha1.PhaseApproved, ""},
		"approved by author":  {v1alpha1.PhasePending, func(w world) { w.o.Spec.Approvals = []v1alpha1.Opinion{{By: "bob"}} }, v1alpha1.PhasePending, "by others"},
		"refused":             {v1alpha1.PhasePending, func(w world) { w.o.Spec.Refusal = &ann }, v1alpha1.PhaseRefused, "refused by ann: not now"},
		"a rollback needs no": {v1alpha1.PhaseChecked, func(w world) { w.o.Spec.RollbackOf = "x" }, v1alpha1.PhaseApproved, ""},

		"begins":         {v1alpha1.PhaseApproved, func(world) {}, v1alpha1.PhaseRunning, ""},
		"another begun":  {v1alpha1.PhaseApproved, func(w world) { w.f.Orders = []v1alpha1.ReleaseOrder{*order(v1alpha1.PhaseVerifying)} }, v1alpha1.PhaseWaiting, "being carried out"},
		"a start":        {v1alpha1.PhaseApproved, func(w world) { w.o.Spec.Start = at(time.Hour) }, v1alpha1.PhaseWaiting, "waits for 2026-11-22T07:00:00Z"},
		"the start came": {v1alpha1.PhaseWaiting, func(w world) { w.o.Spec.Start = at(-time.Hour) }, v1alpha1.PhaseRunning, ""},
		"paused":         {v1alpha1.PhaseApproved, func(w world) { w.o.Spec.Paused = true }, v1alpha1.PhaseWaiting, pausedMessage},
		"a freeze": {v1alpha1.PhaseApproved, func(w world) {
			w.f.Environment.Spec.Policy.Freezes = []v1alpha1.Freeze{{From: *at(-time.Hour), To: *at(time.Hour), Reason: "fair"}}
		}, v1alpha1.PhaseWaiting, "freeze at 2026-11-22T07:00:00Z: fair"},
		"an older one": {v1alpha1.PhaseWaiting, func(w world) {
			other := order(v1alpha1.PhaseWaiting)
			other.Name, other.CreationTimestamp = "first", *at(-time.Hour)
			w.f.Orders = []v1alpha1.ReleaseOrder{*other}
		}, v1alpha1.PhaseWaiting, "waits for order first"},
		"the release was exchanged": {v1alpha1.PhaseWaiting, func(w world) { w.f.Release.Spec.Notes = "x" }, v1alpha1.PhaseRefused, "not what it was"},

		"rolls out":      {v1alpha1.PhaseRunning, func(w world) { applied(w.o, w.f, v1alpha1.StateProgressing, "half") }, v1alpha1.PhaseRunning, "half"},
		"is well":        {v1alpha1.PhaseRunning, func(w world) { applied(w.o, w.f, v1alpha1.StateReady, "") }, v1alpha1.PhaseVerifying, "must be for 10s"},
		"is not well":    {v1alpha1.PhaseRunning, func(w world) { applied(w.o, w.f, v1alpha1.StateDegraded, "crash") }, v1alpha1.PhaseFailed, "crash"},
		"takes too long": {v1alpha1.PhaseRunning, func(w world) { w.o.Spec.TimeoutSeconds = 30; applied(w.o, w.f, v1alpha1.StateProgressing, "half") }, v1alpha1.PhaseFailed, "not ready after 30s: half"},
		"not seen yet": {v1alpha1.PhaseRunning, func(w world) {
			applied(w.o, w.f, v1alpha1.StateReady, "")
			w.f.Application.Generation = 2
		}, v1alpha1.PhaseRunning, "not seen it yet"},
		"abandoned as it runs": {v1alpha1.PhaseRunning, func(w world) { w.o.Spec.Abandoned = true }, v1alpha1.PhaseFailed, "abandoned"},
		"paused as it runs":    {v1alpha1.PhaseRunning, func(w world) { w.o.Spec.Paused = true; applied(w.o, w.f, v1alpha1.StateDegraded, "") }, v1alpha1.PhaseRunning, pausedMessage},
		"well for long enough": {v1alpha1.PhaseVerifying, func(w world) { applied(w.o, w.f, v1alpha1.StateReady, "") }, v1alpha1.PhaseDone, ""},
		"not well after all":   {v1alpha1.PhaseVerifying, func(w world) { applied(w.o, w.f, v1alpha1.StateDegraded, "probe") }, v1alpha1.PhaseFailed, "probe"},
		"not for long yet":     {v1alpha1.PhaseVerifying, func(w world) { w.o.Spec.VerifySeconds = 90; applied(w.o, w.f, v1alpha1.StateReady, "") }, v1alpha1.PhaseVerifying, "must be for 1m30s"},

		"a migration first": {v1alpha1.PhaseRunning, func(w world) {
			w.f.Release.Spec.Hooks = migration
			w.o.Status.Content = Content(w.f.Release)
		}, v1alpha1.PhaseRunning, "the hook migrate runs"},
		"a failed migration": {v1alpha1.PhaseRunning, func(w world) {
			w.f.Release.Spec.Hooks, w.o.Status.Hooks, w.f.Outcomes = migration, []v1alpha1.HookStatus{{Name: "migrate"}}, map[string]Outcome{"migrate": {Failed: true, Message: "exit code 1"}}
			w.o.Status.Content = Content(w.f.Release)
		}, v1alpha1.PhaseFailed, "the hook migrate failed: exit code 1"},

		"goes back": {v1alpha1.PhaseFailed, func(world) {}, v1alpha1.PhaseRollingBack, ""},
		"is back": {v1alpha1.PhaseRollingBack, func(w world) {
			w.o.Status.Before, w.o.Status.PreviousRelease, w.o.Status.Failure = &w.f.Application.Spec.ApplicationTemplate, "shop-1", "crash"
		}, v1alpha1.PhaseRolledBack, "crash"},
		"nothing before": {v1alpha1.PhaseRollingBack, func(w world) {
			w.f.Application.Spec.Stopped, w.f.Application.Status.State = true, v1alpha1.StateStopped
		}, v1alpha1.PhaseRolledBack, "so it is stopped"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, f := order(c.phase), facts()
			c.change(world{o, &f})
			Step(o, f)
			if o.Status.Phase != c.want || !strings.Contains(o.Status.Message, c.part) {
				t.Errorf("%s: %s", o.Status.Phase, o.Status.Message)
			}
		})
	}
}

// The application gets the release's images and keeps its own replicas; what is too few for the class is left to the class.
func TestWanted(t *testing.T) {
	t.Parallel()
	o, f := order(v1alpha1.PhaseRunning), facts()
	spec := Step(o, f)
	if spec == nil || spec.Components[0].Image != "web@2" || *spec.Components[0].Replicas != 4 || spec.Release != "shop-2" {
		t.Fatalf("%+v", spec)
	}
	f.Application = nil
	if spec := Step(o, f); spec == nil || spec.Components[0].Replicas != nil {
		t.Errorf("1 replica in prod: %+v", spec)
	}
}

// An order goes from its beginning to its end by steps that know nothing of each other, and back if it fails: the application is what it was.
func TestWholeOrder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		state  v1alpha1.State // of the new release
		phases string
		image  string
	}{
		"done":        {v1alpha1.StateReady, "Checked PendingApproval Approved Running Verifying Done", "web@2"},
		"rolled back": {v1alpha1.StateDegraded, "Checked PendingApproval Approved Running Failed RollingBack RolledBack", "web@1"},
	} {
		o, f := order(""), facts()
		for range 20 {
			stored := o.DeepCopy() // as another controller would read it
			if spec := Step(stored, f); spec != nil {
				f.Application.Spec = *spec
				f.Application.Status.State = v1alpha1.StateReady
				if spec.Release == "shop-2" {
					f.Application.Status.State = c.state
				}
			}
			if o = stored; o.Status.Phase == v1alpha1.PhasePending {
				o.Spec.Approvals = []v1alpha1.Opinion{{By: "ann"}}
			}
			f.Now = f.Now.Add(4 * time.Second)
		}
		var phases []string
		for _, e := range o.Status.History {
			phases = append(phases, string(e.Phase))
		}
		if got := strings.Join(phases, " "); got != c.phases || f.Application.Spec.Components[0].Image != c.image {
			t.Errorf("%s: %s, %s", name, got, f.Application.Spec.Components[0].Image)
		}
	}
}

func TestStageOf(t *testing.T) {
	t.Parallel()
	done := func(release string, since time.Duration) v1alpha1.ReleaseOrder {
		o := order(v1alpha1.PhaseDone)
		o.Spec.Release, o.Status.Since, o.Status.Content = release, at(since), release
		return *o
	}
	failed := done("shop-3", -time.Minute)
	failed.Status.Phase = v1alpha1.PhaseRolledBack
	orders := []v1alpha1.ReleaseOrder{failed, done("shop-2", -time.Hour), done("shop-1", -3*time.Hour)}
	for release, want := range map[string]Stage{
		"shop-1": {"press-test", "shop-1", 2 * time.Hour}, "shop-2": {"press-test", "shop-2", time.Hour}, "shop-3": {Environment: "press-test"},
	} {
		if got := StageOf("press-test", release, orders, now); got != want {
			t.Errorf("%s: %+v", release, got)
		}
	}
}

func TestBefore(t *testing.T) {
	t.Parallel()
	environment := func(tenant, name string, class v1alpha1.Class) v1alpha1.Environment {
		e := v1alpha1.Environment{}
		e.Name, e.Spec.Tenant, e.Spec.Class = tenant+"-"+name, tenant, class
		return e
	}
	all := []v1alpha1.Environment{
		environment("press", "prod", v1alpha1.ClassProd), environment("press", "dev", v1alpha1.ClassDev), environment("press", "test", v1alpha1.ClassTest),
		environment("press", "perf", v1alpha1.ClassTest), environment("bakery", "release", v1alpha1.ClassRelease),
	}
	if got := strings.Join(Before(&all[0], all), " "); got != "press-test press-perf" {
		t.Errorf("before prod: %s", got)
	}
	if got := Before(&all[1], all); got != nil {
		t.Errorf("before dev: %s", got)
	}
}
