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
	"sigs.k8s.io/controller-runtime/pkg/client"

	"islet/appliance/config"
)

// ErrNotMember is returned for a node that the site has removed, or never let in.
var ErrNotMember = errors.New("this site has no such node")

// Member is a node that a site let in.
type Member struct {
	Name     string      `json:"name"`
	Address  netip.Addr  `json:"address"`
	Role     config.Role `json:"role"`
	Token    string      `json:"token,omitempty"` // ID of the token that let it in; none for the first server
	Admitted time.Time   `json:"admitted"`
}

// Members keeps who belongs to a site: only they get certificates anew.
type Members struct {
	Client    client.Client
	Namespace string
}

func (m Members) records() records[Member] {
	return records[Member]{client: m.Client, namespace: m.Namespace, kind: "node"}
}

// Put adds a member, or takes over the name of one. The caller has checked that it may.
func (m Members) Put(ctx context.Context, new Member) error {
	_, err := m.records().change(ctx, new.Name, func(old *Member) error {
		*old = new
		return nil
	})
	if apierrors.IsNotFound(err) {
		return m.records().create(ctx, new.Name, new)
	}
	return err
}

// Get returns a member, or ErrNotMember.
func (m Members) Get(ctx context.Context, name string) (Member, error) {
	member, err := m.records().get(ctx, name)
	if apierrors.IsNotFound(err) {
		return member, fmt.Errorf("%w: %s", ErrNotMember, name)
	}
	return member, err
}

// List returns all members by name.
func (m Members) List(ctx context.Context) ([]Member, error) {
	all, err := m.records().list(ctx)
	slices.SortFunc(all, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	return all, err
}

// Remove forgets a member: it gets no more certificates.
func (m Members) Remove(ctx context.Context, name string) error { return m.records().remove(ctx, name) }
