package kube

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// The times of Kubernetes' own components.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// ErrLostLead is returned when another may have taken over.
var ErrLostLead = errors.New("the lease was lost")

// Lead does something on one server of the site at a time: on the one that holds the lease of that name. It returns nil when
// ctx is cancelled, and the error of do at once, so that another server can try. ready is called once do has been done,
// here or, for all that is known here, elsewhere.
func Lead(ctx context.Context, config *rest.Config, lease, identity string, do func(context.Context) error, ready func()) error {
	leases, err := coordination.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("client for the lease %s: %w", lease, err)
	}
	tell := sync.OnceFunc(ready)
	started := make(chan context.Context, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Name: lease, LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod, ReleaseOnCancel: true,
		Lock: &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: lease},
			Client:    leases, LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
		},
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { started <- ctx },
			OnStoppedLeading: func() {},
			OnNewLeader: func(leader string) {
				if leader != identity {
					tell()
				}
			},
		},
	})
	if err != nil {
		return fmt.Errorf("lease %s: %w", lease, err)
	}
	var electing sync.WaitGroup
	defer electing.Wait()
	held, release := context.WithCancel(ctx)
	defer release()
	stopped := make(chan struct{})
	electing.Go(func() {
		defer close(stopped)
		elector.Run(held)
	})
	select {
	case lead := <-started:
		if err := do(lead); err != nil { //nolint:contextcheck // lead is made of ctx, by the elector
			return err
		}
		tell()
		<-stopped
	case <-stopped:
	}
	if ctx.Err() != nil {
		return nil
	}
	return ErrLostLead
}
