package kube

import (
	"context"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/kube/client"
)

// lease is a place of which there is one, as client-go's leaderelection keeps it. That package links the clients and informers
// of all groups of the API, which is a twentieth of the packed executable.
type lease struct {
	client   client.Client
	name     string
	identity string

	duration, deadline, retry time.Duration

	// What was last seen, and when by this machine's own clock: the clocks of two servers need not agree.
	seen   coordinationv1.LeaseSpec
	seenAt time.Time
	held   bool
}

func newLease(c client.Client, name, identity string) *lease {
	return &lease{client: c, name: name, identity: identity, duration: leaseDuration, deadline: renewDeadline, retry: retryPeriod}
}

// await returns nil when the lease is held here, and tells meanwhile who holds it.
func (l *lease) await(ctx context.Context, holder func(string)) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, l.deadline)
		err := l.take(attempt)
		cancel()
		if l.held {
			return nil
		}
		if err == nil && l.seen.HolderIdentity != nil && *l.seen.HolderIdentity != "" {
			holder(*l.seen.HolderIdentity)
		}
		if err := sleep(ctx, l.retry); err != nil {
			return err
		}
	}
}

// keep renews the lease until it cannot be renewed in time; its error is ErrLostLead then, else that of ctx.
func (l *lease) keep(ctx context.Context) error {
	renewed := time.Now()
	for {
		if err := sleep(ctx, l.retry); err != nil {
			return err
		}
		attempt, cancel := context.WithDeadline(ctx, renewed.Add(l.deadline))
		asked := time.Now()
		err := l.take(attempt)
		cancel()
		switch {
		case err == nil && l.held:
			renewed = asked
		case err == nil || time.Since(renewed) >= l.deadline: // it is another's, or may soon be
			l.held = false
			return ErrLostLead
		}
	}
}

// take takes or renews the lease if it is free, this one's, or was not renewed for as long as it lasts. Without an error held
// says whether it is this one's now.
func (l *lease) take(ctx context.Context) error {
	var have coordinationv1.Lease
	err := l.client.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceSystem, Name: l.name}, &have)
	if apierrors.IsNotFound(err) {
		have = coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: l.name}}
		l.claim(&have)
		err = l.client.Create(ctx, &have)
		l.held = err == nil
		return l.settle(have, err)
	}
	if err != nil {
		return err
	}
	l.observe(have.Spec)
	holder := l.seen.HolderIdentity
	if holder != nil && *holder != "" && *holder != l.identity && time.Since(l.seenAt) < l.lasts() {
		l.held = false
		return nil
	}
	l.claim(&have)
	err = l.client.Update(ctx, &have)
	if err == nil {
		l.held = true
	}
	return l.settle(have, err)
}

// settle takes note of what was written. Somebody who was quicker has the lease.
func (l *lease) settle(written coordinationv1.Lease, err error) error {
	if err == nil {
		l.seen, l.seenAt = written.Spec, time.Now()
	}
	return err
}

func (l *lease) observe(now coordinationv1.LeaseSpec) {
	same := l.seenAt != (time.Time{}) && l.seen.RenewTime.Equal(now.RenewTime) && value(l.seen.HolderIdentity) == value(now.HolderIdentity)
	if !same {
		l.seen, l.seenAt = now, time.Now()
	}
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// lasts is how long the holder may be silent.
func (l *lease) lasts() time.Duration {
	if l.seen.LeaseDurationSeconds == nil {
		return l.duration
	}
	return time.Duration(*l.seen.LeaseDurationSeconds) * time.Second
}

func (l *lease) claim(have *coordinationv1.Lease) {
	now, transitions := metav1.NowMicro(), int32(0)
	if have.Spec.LeaseTransitions != nil {
		transitions = *have.Spec.LeaseTransitions
	}
	if value(have.Spec.HolderIdentity) != l.identity {
		have.Spec.AcquireTime, transitions = &now, transitions+1
	}
	have.Spec.HolderIdentity, have.Spec.RenewTime = &l.identity, &now
	have.Spec.LeaseTransitions, have.Spec.LeaseDurationSeconds = &transitions, new(int32(max(l.duration/time.Second, 1)))
}

// release gives the lease up, so that another need not wait. That it may fail is what leases are for.
func (l *lease) release(ctx context.Context) {
	if !l.held {
		return
	}
	l.held = false
	ctx, cancel := context.WithTimeout(ctx, l.deadline)
	defer cancel()
	var have coordinationv1.Lease
	err := l.client.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceSystem, Name: l.name}, &have)
	if err != nil || value(have.Spec.HolderIdentity) != l.identity {
		return
	}
	have.Spec.HolderIdentity, have.Spec.LeaseDurationSeconds = new(""), new(int32(1))
	_ = l.client.Update(ctx, &have)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
