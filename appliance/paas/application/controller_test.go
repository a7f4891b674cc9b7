package application

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"islet/appliance/paas/v1alpha1"
)

// api is an API with a prod environment and more.
func api(t *testing.T, more ...client.Object) client.Client {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, corev1.AddToScheme, discoveryv1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme, v1alpha1.AddToScheme,
	} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	e := &v1alpha1.Environment{}
	e.Name, e.Spec.Tenant, e.Spec.Name, e.Spec.Class = "press-prod", "press", "prod", v1alpha1.ClassProd
	return fake.NewClientBuilder().WithScheme(s).WithObjects(append(more, e)...).WithStatusSubresource(&v1alpha1.Application{}).Build()
}

// reconciled is an application after its controller has looked at it.
func reconciled(t *testing.T, c client.Client, r *Reconciler) v1alpha1.Application {
	t.Helper()
	key := client.ObjectKey{Namespace: "press-prod", Name: "shop"}
	_, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: key})
	var a v1alpha1.Application
	if got := c.Get(t.Context(), key, &a); got != nil {
		t.Fatalf("%v (%v)", got, err)
	}
	return a
}

func TestWhatIsWantedNoMoreIsRemoved(t *testing.T) {
	t.Parallel()
	shop := read(t, store)
	shop.Spec.Expose = nil
	c := api(t, shop)
	r := &Reconciler{Client: c, Live: c}
	budgets := func() int {
		var list policyv1.PodDisruptionBudgetList
		if err := c.List(t.Context(), &list); err != nil {
			t.Fatal(err)
		}
		return len(list.Items)
	}
	a := reconciled(t, c, r)
	if !slices.Contains(a.Status.Objects, "PodDisruptionBudget/shop") || a.Status.State != v1alpha1.StateProgressing || budgets() != 1 {
		t.Fatalf("%+v", a.Status)
	}
	a.Spec.Components[0].Replicas = new(int32(1))
	if err := c.Update(t.Context(), &a); err != nil {
		t.Fatal(err)
	}
	if a = reconciled(t, c, r); len(a.Status.Objects) != 2 || budgets() != 0 {
		t.Errorf("%d budgets; %v", budgets(), a.Status.Objects)
	}
}

// What somebody else has made is not taken over, and the status says so.
func TestNothingIsTakenOver(t *testing.T) {
	t.Parallel()
	theirs := &corev1.Service{}
	theirs.Namespace, theirs.Name = "press-prod", "shop"
	c := api(t, read(t, store), theirs)
	a := reconciled(t, c, &Reconciler{Client: c, Live: c})
	if a.Status.State != v1alpha1.StateDegraded || !strings.Contains(a.Status.Message, "Service/shop: there is one that is not this application's") {
		t.Errorf("%+v", a.Status)
	}
	var s corev1.Service
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(theirs), &s); err != nil || len(s.Labels) != 0 {
		t.Errorf("%v (%v)", s.Labels, err)
	}
}
