package kube

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	upstream "sigs.k8s.io/controller-runtime/pkg/client"
	upstreamfake "sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"islet/appliance/kube/client"
	"islet/appliance/kube/client/fake"
)

// quick is a lease whose times are a hundredth of the real ones, but for its duration, which is in whole seconds.
func quick(c client.Client, identity string) *lease {
	l := newLease(c, "work", identity)
	l.duration, l.deadline, l.retry = time.Second, 300*time.Millisecond, 10*time.Millisecond
	return l
}

func TestLeaseIsOneServers(t *testing.T) {
	t.Parallel()
	c := fake.New()
	a, b := quick(c, "a"), quick(c, "b")
	if err := a.take(t.Context()); err != nil || !a.held {
		t.Fatalf("a free lease was not taken: %v", err)
	}
	for range 2 {
		if err := b.take(t.Context()); err != nil || b.held {
			t.Fatalf("two hold it (%v)", err)
		}
		if err := a.take(t.Context()); err != nil || !a.held {
			t.Fatalf("not renewed: %v", err)
		}
	}
	a.release(t.Context())
	if err := b.take(t.Context()); err != nil || !b.held {
		t.Errorf("given up, and not taken at once: %v", err)
	}
	var stored coordinationv1.Lease
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: metav1.NamespaceSystem, Name: "work"}, &stored); err != nil {
		t.Fatal(err)
	}
	if s := stored.Spec; *s.HolderIdentity != "b" || *s.LeaseTransitions != 2 || *s.LeaseDurationSeconds != 1 {
		t.Errorf("%+v", s)
	}
}

func TestLeaseOfADeadServerIsTaken(t *testing.T) {
	t.Parallel()
	c := fake.New()
	if err := quick(c, "dead").take(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, holders, begun := quick(c, "b"), map[string]bool{}, time.Now()
	if err := b.await(t.Context(), func(h string) { holders[h] = true }); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < b.duration || !holders["dead"] || len(holders) != 1 {
		t.Errorf("taken after %s, from %v", took, holders)
	}
}

func TestLeaseThatCannotBeRenewedIsLost(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	refused := errors.New("the API is down")
	c := fake.Of(upstreamfake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c upstream.WithWatch, key upstream.ObjectKey, o upstream.Object, options ...upstream.GetOption) error {
			if down.Load() {
				return refused
			}
			return c.Get(ctx, key, o, options...)
		},
	}).Build())
	l := quick(c, "a")
	if err := l.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	down.Store(true)
	begun := time.Now()
	if err := l.keep(t.Context()); !errors.Is(err, ErrLostLead) || l.held {
		t.Errorf("%v, held %v", err, l.held)
	}
	if took := time.Since(begun); took < l.deadline || took > l.duration {
		t.Errorf("given up after %s: another may take it after %s", took, l.duration)
	}
}

func TestLead(t *testing.T) {
	t.Parallel()
	c := fake.New()
	ctx, cancel := context.WithCancel(t.Context())
	done, ready := make(chan error, 1), make(chan struct{})
	go func() {
		done <- Lead(ctx, c, "work", "a", func(context.Context) error { return nil }, func() { close(ready) })
	}()
	<-ready
	told := make(chan struct{})
	other, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Lead(other, c, "work", "b", func(context.Context) error {
			t.Error("two lead")
			return nil
		}, func() { close(told) })
	}()
	<-told // done elsewhere
	stop()
	cancel()
	if err := errors.Join(<-done, <-ended); err != nil {
		t.Errorf("a clean end: %v", err)
	}
	failure := errors.New("not now")
	if err := Lead(t.Context(), c, "work", "b", func(context.Context) error { return failure }, func() { t.Error("ready") }); !errors.Is(err, failure) {
		t.Errorf("%v", err)
	}
}
