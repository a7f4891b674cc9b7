package release

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"islet/appliance/paas/v1alpha1"
)

var errKilled = errors.New("killed")

// Whichever write is the last that a controller gets through, the next one brings the order to the same end.
func TestKilledController(t *testing.T) {
	t.Parallel()
	t.Run("rolling", func(t *testing.T) { killed(t, 9, nil) })
	t.Run("blue-green", func(t *testing.T) {
		killed(t, 14, &v1alpha1.Strategy{Kind: v1alpha1.StrategyBlueGreen, KeepSeconds: 5})
	})
}

// killed kills the controller after each of so many writes.
func killed(t *testing.T, writes int, strategy *v1alpha1.Strategy) {
	s := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	for last := range writes {
		left := last
		write := func() error {
			if left--; left < 0 {
				return errKilled
			}
			return nil
		}
		dev, test, r, done, o := world()
		former := &v1alpha1.Application{}
		former.Namespace, former.Name, former.Spec.ApplicationTemplate = o.Namespace, "shop", template("1")
		o.Spec.Strategy = strategy
		c := fake.NewClientBuilder().WithScheme(s).WithObjects(dev, test, r, done, o, former).WithStatusSubresource(&v1alpha1.ReleaseOrder{}, &v1alpha1.Application{}).WithIndex(&v1alpha1.ReleaseOrder{}, ofApplication, applicationOf).
			WithInterceptorFuncs(interceptor.Funcs{
				Create: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.CreateOption) error {
					return errors.Join(write(), c.Create(ctx, o, options...)) // it may have come through
				},
				Update: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.UpdateOption) error {
					if err := write(); err != nil {
						return err
					}
					return c.Update(ctx, o, options...)
				},
				SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, options ...client.SubResourcePatchOption) error {
					if err := write(); err != nil {
						return err
					}
					return c.SubResource(sub).Patch(ctx, o, p, options...)
				},
			}).Build()
		clock := now
		key := client.ObjectKeyFromObject(o)
		for range 30 {
			controller := &Reconciler{Client: c, Live: c, Now: func() time.Time { return clock }} // which knows nothing of those before
			if _, err := controller.Reconcile(t.Context(), reconcile.Request{NamespacedName: key}); errors.Is(err, errKilled) {
				left = 1 << 30
			} else if err != nil {
				t.Fatalf("killed after %d writes: %v", last, err)
			}
			rollOut(t, c)
			clock = clock.Add(4 * time.Second)
		}
		ended(t, c, key, last)
	}
}

// world is a release that was done in dev, and an order for it in test.
func world() (dev, test *v1alpha1.Environment, r *v1alpha1.Release, done, o *v1alpha1.ReleaseOrder) {
	dev, test = &v1alpha1.Environment{}, &v1alpha1.Environment{}
	dev.Name, dev.Spec.Tenant, dev.Spec.Class = "press-dev", "press", v1alpha1.ClassDev
	test.Name, test.Spec.Tenant, test.Spec.Class = "press-test", "press", v1alpha1.ClassTest
	r, done, o = release("2"), order(v1alpha1.PhaseDone), order("")
	r.Namespace, done.Namespace, o.Namespace = "press-dev", "press-dev", "press-test"
	o.Status = v1alpha1.OrderStatus{}
	return dev, test, r, done, o
}

// rollOut does what the application's controller does.
func rollOut(t *testing.T, c client.Client) {
	t.Helper()
	var list v1alpha1.ApplicationList
	if err := c.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	for i := range list.Items {
		a := &list.Items[i]
		a.Status.ObservedGeneration, a.Status.State, a.Status.Beside = a.Generation, v1alpha1.StateReady, nil
		if a.Spec.Beside != nil {
			a.Status.Beside = &v1alpha1.BesideStatus{State: v1alpha1.StateReady}
		}
		if err := c.Status().Update(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
}

func ended(t *testing.T, c client.Client, key client.ObjectKey, last int) {
	t.Helper()
	var o v1alpha1.ReleaseOrder
	var a v1alpha1.Application
	var r v1alpha1.Release
	for _, err := range []error{
		c.Get(t.Context(), key, &o), c.Get(t.Context(), client.ObjectKey{Namespace: "press-test", Name: "shop"}, &a),
		c.Get(t.Context(), client.ObjectKey{Namespace: "press-test", Name: "shop-2"}, &r),
	} {
		if err != nil {
			t.Fatalf("killed after %d writes: %v", last, err)
		}
	}
	if o.Status.Phase != v1alpha1.PhaseDone || a.Spec.Release != "shop-2" || a.Spec.Components[0].Image != "web@2" || a.Spec.Beside != nil || r.Annotations[PromotedFrom] != "press-dev" {
		t.Errorf("killed after %d writes: %s: %s, %+v", last, o.Status.Phase, o.Status.Message, a.Spec)
	}
}
