package survey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	upstream "sigs.k8s.io/controller-runtime/pkg/client/fake"

	"islet/appliance/kube/client"
	"islet/appliance/kube/client/fake"
	"islet/appliance/paas/v1alpha1"
)

var noon = time.Date(2026, 5, 17, 12, 0, 0, 0, time.UTC)

func at(environment, name string, minute int) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: environment, Name: name, CreationTimestamp: metav1.NewTime(noon.Add(time.Duration(minute) * time.Minute))}
}

func environment(name string, class v1alpha1.Class) *v1alpha1.Environment {
	return &v1alpha1.Environment{ObjectMeta: at("", "press-"+name, 0), Spec: v1alpha1.EnvironmentSpec{Tenant: "press", Name: name, Class: class}}
}

func application(environment, name, release string) *v1alpha1.Application {
	a := &v1alpha1.Application{ObjectMeta: at(environment, name, 0)}
	a.Spec.Components = []v1alpha1.Component{{Name: "web", Image: "x@sha256:1"}}
	a.Spec.Release, a.Status.State = release, v1alpha1.StateReady
	return a
}

func order(environment, name string, minute int, phase v1alpha1.Phase) *v1alpha1.ReleaseOrder {
	o := &v1alpha1.ReleaseOrder{ObjectMeta: at(environment, name, minute)}
	o.Spec.Application, o.Spec.Release, o.Status.Phase = "shop", "shop-1", phase
	return o
}

func TestRead(t *testing.T) {
	t.Parallel()
	unseenApp := application("press-prod", "shop", "shop-1.0")
	unseenApp.Generation = 2
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := fake.Of(upstream.NewClientBuilder().WithScheme(scheme).WithObjects(
		&v1alpha1.Tenant{ObjectMeta: at("", "press", 0)},
		environment("prod", v1alpha1.ClassProd), environment("dev", v1alpha1.ClassDev), environment("qa", v1alpha1.ClassTest),
		application("press-dev", "shop", "shop-1.1"), unseenApp,
		&v1alpha1.Release{ObjectMeta: at("press-dev", "shop-1.0", 1)}, &v1alpha1.Release{ObjectMeta: at("press-dev", "shop-1.1", 2)},
		order("press-dev", "shop-1.0-1", 3, v1alpha1.PhaseDone), order("press-prod", "shop-1.0-1", 5, ""), order("press-dev", "shop-1.1-1", 4, v1alpha1.PhaseRunning),
	).Build())
	s, err := Read(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var line, orders []string
	for _, e := range s.Line("press") {
		line = append(line, e.Name)
	}
	for _, o := range s.Orders {
		orders = append(orders, o.Environment+"/"+o.Name+" "+string(o.Phase))
	}
	if want := []string{"press-dev", "press-qa", "press-prod"}; !slices.Equal(line, want) {
		t.Errorf("line %q, want %q", line, want)
	}
	if want := []string{"press-prod/shop-1.0-1 Draft", "press-dev/shop-1.1-1 Running", "press-dev/shop-1.0-1 Done"}; !slices.Equal(orders, want) {
		t.Errorf("orders %q, want %q", orders, want)
	}
	if e, _ := s.Environment("press-prod"); !e.Prod() || e.Approvals != 1 || e.Why != unseen {
		t.Errorf("%+v", e)
	}
	if a, ok := s.Application("press-dev", "shop"); !ok || a.Version() != "1.1" || a.State != v1alpha1.StateReady || !slices.Equal(a.Images, []string{"x@sha256:1"}) {
		t.Errorf("%+v", a)
	}
	if a, ok := s.Application("press-prod", "shop"); !ok || a.State != v1alpha1.StateProgressing || a.Message != unseen {
		t.Errorf("one that its controller has not seen: %+v", a)
	}
	if _, ok := s.Application("press-qa", "shop"); ok {
		t.Error("it is not in qa")
	}
	if s.Releases[0].Name != "shop-1.1" {
		t.Errorf("%+v", s.Releases)
	}
}

// However many orders there are, what is kept is bounded.
func TestOldOrdersAreCounted(t *testing.T) {
	t.Parallel()
	list := make([]v1alpha1.ReleaseOrder, MostOrders+7)
	for i := range list {
		list[i] = *order("press-dev", fmt.Sprintf("shop-1-%d", i), i, v1alpha1.PhaseDone)
	}
	kept, older := newest(list)
	if len(kept) != MostOrders || older != 7 || kept[0].Name != fmt.Sprintf("shop-1-%d", MostOrders+6) {
		t.Errorf("%d orders, %d older, the first is %s", len(kept), older, kept[0].Name)
	}
}

func TestReadFails(t *testing.T) {
	t.Parallel()
	if _, err := Read(t.Context(), down{}); err == nil {
		t.Error("no API is no error")
	}
}

type down struct{ client.Client }

func (down) List(_ context.Context, _ client.ObjectList, _ ...client.ListOption) error {
	return errors.New("refused")
}
