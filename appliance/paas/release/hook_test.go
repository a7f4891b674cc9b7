package release

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"islet/appliance/paas/v1alpha1"
)

// hooked is a controller and an order that runs in dev, for a release with a migration.
func hooked(t *testing.T, create func(client.Object) error, more ...client.Object) (*Reconciler, client.ObjectKey) {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{batchv1.AddToScheme, corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	dev, _, r, _, o := world()
	r.Spec.Hooks = []v1alpha1.Hook{{Name: "migrate", When: v1alpha1.HookBefore, Command: []string{"/migrate"}}}
	o.Namespace, o.Status.Phase, o.Status.Since, o.Status.Content = dev.Name, v1alpha1.PhaseRunning, at(0), Content(r)
	c := fake.NewClientBuilder().WithScheme(s).WithObjects(append(more, dev, r, o)...).WithStatusSubresource(&v1alpha1.ReleaseOrder{}, &batchv1.Job{}).
		WithIndex(&v1alpha1.ReleaseOrder{}, ofApplication, applicationOf).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.CreateOption) error {
			if err := create(o); err != nil {
				return err
			}
			return c.Create(ctx, o, options...)
		},
	}).Build()
	return &Reconciler{Client: c, Live: c, Now: func() time.Time { return now }}, client.ObjectKeyFromObject(o)
}

// reconciled is the order after so many looks at it.
func reconciled(t *testing.T, r *Reconciler, key client.ObjectKey, looks int) (o v1alpha1.ReleaseOrder) {
	t.Helper()
	for range looks {
		if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: key}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Get(t.Context(), key, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// A hook runs once, as a job that goes with its order; what its pod said last is why the order goes back, also when the pod is gone.
func TestHookFails(t *testing.T) {
	t.Parallel()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "press-dev", Name: "x", Labels: map[string]string{batchv1.JobNameLabel: "shop-2-1-migrate"}}}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3, Message: "begin\nno such table\n"}}}}
	r, key := hooked(t, func(client.Object) error { return nil }, pod)
	var job batchv1.Job
	if o := reconciled(t, r, key, 3); o.Status.Phase != v1alpha1.PhaseRunning || o.Status.Message != "the hook migrate runs" || o.Status.Hooks[0].Message != "exit code 3: no such table" {
		t.Fatalf("%+v", o.Status)
	}
	if err := r.Get(t.Context(), client.ObjectKey{Namespace: key.Namespace, Name: "shop-2-1-migrate"}, &job); err != nil || !metav1.IsControlledBy(&job, &v1alpha1.ReleaseOrder{}) {
		t.Fatalf("%v, owned by %+v", err, job.OwnerReferences)
	}
	if c := job.Spec.Template.Spec.Containers[0]; c.Command[0] != "/migrate" || c.Image != "web@2" {
		t.Errorf("%+v", c)
	}
	job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Message: "too often"}}
	if err := errors.Join(r.Status().Update(t.Context(), &job), r.Delete(t.Context(), pod)); err != nil {
		t.Fatal(err)
	}
	if o := reconciled(t, r, key, 3); o.Status.Phase != v1alpha1.PhaseRolledBack || !strings.Contains(o.Status.Message, "the hook migrate failed: exit code 3: no such table") {
		t.Errorf("%+v", o.Status)
	}
}

// What the API does not let run fails the order, and is not tried for ever.
func TestHookIsRefused(t *testing.T) {
	t.Parallel()
	r, key := hooked(t, func(o client.Object) error {
		if _, ok := o.(*batchv1.Job); ok {
			return apierrors.NewForbidden(batchv1.Resource("jobs"), o.GetName(), errors.New("exceeded quota"))
		}
		return nil
	})
	if o := reconciled(t, r, key, 3); o.Status.Phase != v1alpha1.PhaseRolledBack || !strings.Contains(o.Status.Message, "exceeded quota") {
		t.Errorf("%+v", o.Status)
	}
}

// Nothing is judged by the requests of some gateways when others do not answer.
func TestGatewayIsSilent(t *testing.T) {
	t.Parallel()
	gateway := func(name, ip string) client.Object {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: gatewayNamespace, Name: name, Labels: gatewayLabels}}
		p.Status.Phase, p.Status.PodIP = corev1.PodRunning, ip
		return p
	}
	r, _ := hooked(t, func(client.Object) error { return nil }, gateway("a", "10.42.0.1"), gateway("b", "10.42.0.2"))
	o, f := order(v1alpha1.PhaseVerifying), facts()
	o.Spec.MaxErrorPercent = new(int32(1))
	for silent, known := range map[string]bool{"": true, "http://10.42.0.2:9000/metrics": false} {
		r.Ask = func(_ context.Context, url string) (io.ReadCloser, error) {
			if url == silent {
				return nil, errors.New("no route to host")
			}
			return io.NopCloser(strings.NewReader(metrics)), nil
		}
		if got, err := r.traffic(t.Context(), o, f); err != nil || (got != nil) != known {
			t.Errorf("silent %q: %+v (%v)", silent, got, err)
		}
	}
}
