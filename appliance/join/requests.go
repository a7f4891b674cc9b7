package join

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"islet/appliance/config"
	"islet/appliance/kube/client"
)

// What a machine is told that somebody has to approve of.
var (
	ErrAwaitingApproval = errors.New("somebody has to approve of this machine on a server")
	ErrNotApproved      = errors.New("this machine was not approved")
)

const (
	// waitsFor is how long after its last question a machine counts as still waiting.
	waitsFor = 30 * time.Second
	// keepRequests is how long an answer is kept for a machine that does not come for it.
	keepRequests = 24 * time.Hour
)

// Request is a machine that has shown a good token and waits for approval.
type Request struct {
	Name     string      `json:"name"`
	Address  netip.Addr  `json:"address"`
	Role     config.Role `json:"role"`
	Key      Key         `json:"key"`
	Token    string      `json:"token"`
	Replaces bool        `json:"replaces,omitempty"` // a node of that name, which is not ready
	Asked    time.Time   `json:"asked"`
	Seen     time.Time   `json:"seen"` // when it last asked
	Approved *time.Time  `json:"approved,omitempty"`
	Refused  *time.Time  `json:"refused,omitempty"`
}

// Verdict is nil once the machine may come in.
func (r Request) Verdict() error {
	switch {
	case r.Refused != nil:
		return fmt.Errorf("%w: refused at %s", ErrNotApproved, r.Refused.Format(time.DateTime))
	case r.Approved == nil:
		return fmt.Errorf("%w: %s", ErrAwaitingApproval, r.Key.Words())
	}
	return nil
}

// Requests keeps the machines that wait for approval, by the name that they ask for.
type Requests struct {
	Client    client.Client
	Namespace string
	Clock     Clock
}

func (q Requests) records() records[Request] {
	return records[Request]{client: q.Client, namespace: q.Namespace, kind: "join-request"}
}

// Ask notes that the machine waits, and returns what has been decided about it. A machine with another key is another
// machine: what was decided about the last one does not count for it, and while that one still waits the name is taken.
func (q Requests) Ask(ctx context.Context, asks Request) (Request, error) {
	asks.Asked, asks.Seen = q.Clock.now(), q.Clock.now()
	r, err := q.records().change(ctx, asks.Name, func(r *Request) error {
		if r.Key == asks.Key && r.Address == asks.Address {
			r.Seen, r.Replaces = asks.Seen, asks.Replaces
			return nil
		}
		if asks.Seen.Sub(r.Seen) < waitsFor && r.Refused == nil {
			return fmt.Errorf("%w: a machine at %s waits for approval as %s", ErrNameTaken, r.Address, r.Name)
		}
		*r = asks
		return nil
	})
	if apierrors.IsNotFound(err) {
		return asks, q.records().create(ctx, asks.Name, asks)
	}
	return r, err
}

// Decide approves of the machine that asks for the name, or refuses it.
func (q Requests) Decide(ctx context.Context, name string, key Key, approve bool) (Request, error) {
	r, err := q.records().change(ctx, name, func(r *Request) error {
		if r.Key != key {
			return fmt.Errorf("%w: another machine asks for the name %s now", ErrNameTaken, name)
		}
		r.Approved, r.Refused = nil, nil
		if approve {
			r.Approved = new(q.Clock.now())
		} else {
			r.Refused = new(q.Clock.now())
		}
		return nil
	})
	if apierrors.IsNotFound(err) {
		return r, fmt.Errorf("%w: nobody asks to join as %s", ErrNotMember, name)
	}
	return r, err
}

// List returns who asks, the longest waiting first, and forgets those that have stopped asking long ago.
func (q Requests) List(ctx context.Context) ([]Request, error) {
	all, err := q.records().list(ctx)
	if err != nil {
		return nil, err
	}
	var waiting []Request
	for _, r := range all {
		if q.Clock.now().Sub(r.Seen) < keepRequests {
			waiting = append(waiting, r)
		} else if err := q.records().remove(ctx, r.Name); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(waiting, func(a, b Request) int { return cmp.Or(a.Asked.Compare(b.Asked), cmp.Compare(a.Name, b.Name)) })
	return waiting, nil
}

// Remove forgets a machine: it was let in.
func (q Requests) Remove(ctx context.Context, name string) error {
	return q.records().remove(ctx, name)
}
