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

// What a node is told that asks a site to which it does not belong.
var (
	ErrNotMember = errors.New("this site has no such node")
	ErrRemoved   = errors.New("this site has removed the node, and wants its machine cleaned")
)

// Member is a node that a site let in.
type Member struct {
	Name     string      `json:"name"`
	Address  netip.Addr  `json:"address"`
	Role     config.Role `json:"role"`
	Token    string      `json:"token,omitempty"` // ID of the token that let it in; none for the first server
	Admitted time.Time   `json:"admitted"`
	// Keys are those of its node certificates, the newest last. A machine that took the name has others, so the one before
	// it gets nothing any more.
	Keys []Key `json:"keys,omitempty"`
	// Removed members are kept until their machine has heard of it.
	Removed *time.Time `json:"removed,omitempty"`
	Move    *Move      `json:"move,omitempty"` // the last one
}

// maxKeys is how many of its own earlier keys a node may still use: an answer with a new certificate can get lost.
const maxKeys = 4

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

// Get returns the member that the caller is, or ErrNotMember or ErrRemoved.
func (m Members) Get(ctx context.Context, c Caller) (Member, error) {
	member, err := m.Find(ctx, c.Name)
	if (err == nil || errors.Is(err, ErrRemoved)) && !slices.Contains(member.Keys, c.Key) {
		err = fmt.Errorf("%w: another machine has taken the place of %s", ErrNotMember, c.Name)
	}
	return member, err
}

// Find returns the member of that name, or ErrNotMember or ErrRemoved. Who asks has not proved to be it.
func (m Members) Find(ctx context.Context, name string) (Member, error) {
	member, err := m.records().get(ctx, name)
	switch {
	case apierrors.IsNotFound(err):
		return member, fmt.Errorf("%w: %s", ErrNotMember, name)
	case err == nil && member.Removed != nil:
		return member, fmt.Errorf("%w: %s, at %s", ErrRemoved, name, member.Removed.Format(time.DateTime))
	}
	return member, err
}

// Dismiss removes a member, which is told to clean its machine when it asks the next time.
func (m Members) Dismiss(ctx context.Context, name string) error {
	_, err := m.records().change(ctx, name, func(member *Member) error {
		member.Removed = new(Clock(nil).now())
		return nil
	})
	return client.IgnoreNotFound(err)
}

// AddKey lets a member use a new key from now on.
func (m Members) AddKey(ctx context.Context, c Caller, key Key) error {
	_, err := m.records().change(ctx, c.Name, func(member *Member) error {
		if !slices.Contains(member.Keys, c.Key) {
			return fmt.Errorf("%w: another machine has taken the place of %s", ErrNotMember, c.Name)
		}
		member.Keys = append(member.Keys, key)
		member.Keys = member.Keys[max(0, len(member.Keys)-maxKeys):]
		return nil
	})
	return err
}

// List returns all members by name.
func (m Members) List(ctx context.Context) ([]Member, error) {
	all, err := m.records().list(ctx)
	slices.SortFunc(all, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	return all, err
}

// Remove forgets a member: it gets no more certificates.
func (m Members) Remove(ctx context.Context, name string) error { return m.records().remove(ctx, name) }
