package kube

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"islet/appliance/kube/client"
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
func Lead(ctx context.Context, c client.Client, name, identity string, do func(context.Context) error, ready func()) error {
	tell := sync.OnceFunc(ready)
	l := newLease(c, name, identity)
	defer l.release(context.WithoutCancel(ctx))
	if err := l.await(ctx, func(holder string) {
		if holder != identity {
			tell()
		}
	}); err != nil {
		return ignoreEnd(ctx, err)
	}
	lead, stop := context.WithCancelCause(ctx)
	var keeping sync.WaitGroup
	defer keeping.Wait()
	defer stop(nil)
	keeping.Go(func() { stop(l.keep(lead)) })
	if err := do(lead); err != nil {
		return ignoreEnd(ctx, cause(lead, err))
	}
	tell()
	<-lead.Done()
	return ignoreEnd(ctx, context.Cause(lead))
}

// cause is why do was cancelled, if it was.
func cause(lead context.Context, err error) error {
	if lost := context.Cause(lead); errors.Is(lost, ErrLostLead) {
		return fmt.Errorf("%w: %w", lost, err)
	}
	return err
}

func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // a clean end
	}
	return err
}
