package route

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"islet/appliance/paas/v1alpha1"
)

// watched is a sound site in an API, whose nodes answer unless they are in silent.
type watched struct {
	*Watcher
	silent map[string]bool // by address
}

func watch(t *testing.T, change func(s *Site)) *watched {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, discoveryv1.AddToScheme, networkingv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	scheme.AddKnownTypeWithName(HTTPRoutes, &unstructured.Unstructured{})
	list := HTTPRoutes
	list.Kind += "List"
	scheme.AddKnownTypeWithName(list, &unstructured.UnstructuredList{})
	s := sound()
	change(s)
	objects := []client.Object{httpRouteOf(t, `{"metadata":{"namespace":"a","name":"web","labels":{"islet.dev/application":"web"}},"spec":{"rules":[{"backendRefs":[{"name":"web","port":80}]}]}}`)}
	for i := range s.Services {
		objects = append(objects, &s.Services[i])
	}
	for i := range s.Slices {
		objects = append(objects, &s.Slices[i])
	}
	for i := range s.Pods {
		objects = append(objects, &s.Pods[i])
	}
	for _, name := range []string{"node1", "node2"} {
		objects = append(objects, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: "at-" + name}},
		}})
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&corev1.Pod{}, &v1alpha1.HealthReport{}).Build()
	w := &watched{Watcher: NewWatcher(c, slog.New(slog.DiscardHandler)), silent: map[string]bool{}}
	w.reach.knock = func(_ context.Context, address string) bool { return !w.silent[address] }
	return w
}

// looks compares n times and returns the report.
func (w *watched) looks(t *testing.T, n int) (r v1alpha1.HealthReport) {
	t.Helper()
	for range n {
		if err := w.look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Get(t.Context(), client.ObjectKey{Name: v1alpha1.RoutesReport}, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func codes(r v1alpha1.HealthReport) (out []string) {
	for _, f := range r.Status.Findings {
		out = append(out, f.Code)
	}
	return out
}

func TestRepairs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(s *Site)
		silent string
		looks  int    // until it is found
		code   string // of the one finding
		well   bool   // once it is repaired, without Kubernetes' own controllers
	}{
		"a dead pod":           {change: func(s *Site) { s.Pods = s.Pods[1:] }, looks: 2, code: NoPod, well: true},
		"a pod without a rule": {change: func(s *Site) { s.Slices[0].Endpoints = s.Slices[0].Endpoints[1:] }, looks: 2, code: NoRule},
		"a rule without a pod": {change: func(s *Site) { s.Pods, s.Slices = nil, nil }, looks: 4, code: NoPods},
		"a dead node":          {change: func(*Site) {}, silent: "at-node1", looks: 3, code: DeadNode},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := watch(t, c.change)
			w.silent[c.silent] = true
			if r := w.looks(t, c.looks-1); r.Status.Count != 0 {
				t.Errorf("found too early: %+v", r.Status)
			}
			r := w.looks(t, 1)
			repairs := 1
			if c.code == NoPods {
				repairs = 0
			}
			if !slices.Equal(codes(r), []string{c.code}) || len(r.Status.Repaired) != repairs || r.Status.Findings[0].Since.IsZero() {
				t.Fatalf("%+v", r.Status)
			}
			if again := w.looks(t, 3); len(again.Status.Repaired) != repairs || repairs > 0 && again.Status.Repaired[0].Error != "" || c.well != (again.Status.Count == 0) {
				t.Errorf("after the repair: %+v", again.Status)
			}
		})
	}
}

// A route to what somebody has stopped leads nowhere, and is no finding.
func TestStopped(t *testing.T) {
	t.Parallel()
	w := watch(t, func(s *Site) { s.Pods, s.Slices = nil, nil })
	a := &v1alpha1.Application{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "web"}, Spec: v1alpha1.ApplicationSpec{Stopped: true}}
	if err := w.Create(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if r := w.looks(t, lastingRule); r.Status.Count != 0 {
		t.Errorf("stopped: %+v", r.Status)
	}
	a.Spec.Stopped = false
	if err := w.Update(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if r := w.looks(t, lastingRule); !slices.Equal(codes(r), []string{NoPods}) {
		t.Errorf("started: %+v", r.Status)
	}
}

// What repairs change in the API.
func TestRemedies(t *testing.T) {
	t.Parallel()
	w := watch(t, func(*Site) {})
	site, err := w.read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pod, slice, service := site.Pods[0], site.Slices[0], site.Services[0]
	for _, a := range []action{dropEndpoint{nameOf(&slice), "10.42.0.1"}, unready{nameOf(&pod), "node1"}, touch{nameOf(&service)}, unready{nameOf(&pod), "node9"}} {
		for range 2 { // twice is as well as once
			if err := a.do(t.Context(), w.Client); err != nil {
				t.Errorf("%+v: %v", a, err)
			}
		}
	}
	if site, err = w.read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := site.Slices[0].Endpoints; len(e) != 1 || e[0].Addresses[0] != "10.42.1.1" {
		t.Errorf("endpoints %+v", e)
	}
	if c := site.Pods[0].Status.Conditions[0]; c.Status != corev1.ConditionFalse || c.Message != "node node1 does not answer" {
		t.Errorf("the pod is %+v", c)
	}
	if site.Services[0].Annotations[Touched] == "" {
		t.Error("the service is as it was")
	}
	gone := types.NamespacedName{Namespace: "a", Name: "gone"}
	for _, a := range []action{dropEndpoint{gone, "x"}, unready{gone, "x"}, touch{gone}} {
		if err := a.do(t.Context(), w.Client); err != nil {
			t.Errorf("%+v: %v", a, err)
		}
	}
}

// Who wants to be asked is asked.
func TestRepairsWhenAsked(t *testing.T) {
	t.Parallel()
	w := watch(t, func(s *Site) { s.Pods = s.Pods[1:] })
	r := w.looks(t, 1)
	r.Spec.Repair = v1alpha1.RepairAsked
	if err := w.Update(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	if r = w.looks(t, 5); len(r.Status.Findings) != 1 || len(r.Status.Repaired) > 0 {
		t.Fatalf("%+v", r.Status)
	}
	since := r.Status.Findings[0].Since
	r.Spec.RepairAsked = new(metav1.NewTime(since.Add(time.Minute)))
	if err := w.Update(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	if r = w.looks(t, 1); len(r.Status.Repaired) != 1 || !r.Status.Repaired[0].Finding.Since.Equal(&since) {
		t.Errorf("%+v", r.Status)
	}
}

func TestReach(t *testing.T) {
	t.Parallel()
	nodes := []corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "node1"}}, {ObjectMeta: metav1.ObjectMeta{Name: "node2"}}}
	for i := range nodes {
		nodes[i].Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: nodes[i].Name}}
	}
	silent := map[string]bool{}
	r := reach{knock: func(_ context.Context, address string) bool { return !silent[address] }}
	for i, c := range []struct {
		silent []string
		dead   []string
	}{
		{}, {silent: []string{"node2"}}, {}, {silent: []string{"node2"}}, {silent: []string{"node2"}, dead: []string{"node2"}},
		{silent: []string{"node1", "node2"}}, // then it is this one that hears nothing
		{silent: []string{"node2"}, dead: []string{"node2"}}, {},
	} {
		clear(silent)
		for _, name := range c.silent {
			silent[name] = true
		}
		if got := slices.Sorted(maps.Keys(r.dead(t.Context(), nodes))); !slices.Equal(got, c.dead) {
			t.Errorf("knock %d: %v are dead, want %v", i, got, c.dead)
		}
	}
}

func TestKnock(t *testing.T) {
	t.Parallel()
	knock := knocker()
	if !knock(t.Context(), "127.0.0.1") { // whoever has the port, or nobody
		t.Error("this machine is dead")
	}
	if !knock(t.Context(), "") {
		t.Error("a node without an address is dead")
	}
}
