package join

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"islet/appliance/config"
	"islet/appliance/kube/client"
)

// The reasons for which a site does not let a machine in.
var (
	ErrUnknownToken = errors.New("this site does not know the join token")
	ErrExpiredToken = errors.New("the join token has expired")
	ErrUsedToken    = errors.New("the join token has been used as often as it may be")
	ErrRevokedToken = errors.New("the join token was revoked")
	ErrWrongNode    = errors.New("the join token is for another node")
	ErrWrongRole    = errors.New("the join token is for another role")
)

// keepRecords is how long tokens that are no longer good are remembered: who tries one is told why.
const keepRecords = 7 * 24 * time.Hour

// Use is one machine that a token let in.
type Use struct {
	Node    string     `json:"node"`
	Address netip.Addr `json:"address"`
	At      time.Time  `json:"at"`
}

// Record is what a site keeps of a token: not its secret.
type Record struct {
	ID      string      `json:"id"`
	Hash    string      `json:"hash"` // hexadecimal SHA-256 of the secret
	Role    config.Role `json:"role"`
	Note    string      `json:"note,omitempty"`
	Node    string      `json:"node,omitempty"` // the only name for which it is good; empty for any
	Created time.Time   `json:"created"`
	Expires time.Time   `json:"expires"`
	MaxUses int         `json:"maxUses"`
	Uses    []Use       `json:"uses,omitempty"`
	Revoked *time.Time  `json:"revoked,omitempty"`
}

// Refusal says why the token is not good for a machine any more; nil when it is.
func (r Record) Refusal(by Use, now time.Time) error {
	switch {
	case r.Revoked != nil:
		return fmt.Errorf("%w at %s", ErrRevokedToken, r.Revoked.Format(time.DateTime))
	case now.After(r.Expires):
		return fmt.Errorf("%w at %s", ErrExpiredToken, r.Expires.Format(time.DateTime))
	case len(r.Uses) >= r.MaxUses && !r.usedBy(by):
		last := r.Uses[len(r.Uses)-1]
		return fmt.Errorf("%w: last by %s at %s", ErrUsedToken, last.Node, last.At.Format(time.DateTime))
	}
	return nil
}

// usedBy tells a machine that was let in before by its name and address: its first try may have been interrupted.
func (r Record) usedBy(by Use) bool {
	return slices.ContainsFunc(r.Uses, func(u Use) bool { return u.Node == by.Node && u.Address == by.Address })
}

// Registry keeps a site's tokens.
type Registry struct {
	Client    client.Client
	Namespace string
	Clock     Clock
}

func (g Registry) records() records[Record] {
	return records[Record]{client: g.Client, namespace: g.Namespace, kind: "join-token"}
}

// Create makes a token good for a time and a number of machines, and forgets those that ended long ago.
func (g Registry) Create(ctx context.Context, t Token, ttl time.Duration, uses int, note string) (Record, error) {
	return g.add(ctx, t, ttl, Record{MaxUses: uses, Note: note})
}

// CreateFor makes a token good for a time and for one machine, which takes that name.
func (g Registry) CreateFor(ctx context.Context, node string, t Token, ttl time.Duration) (Record, error) {
	return g.add(ctx, t, ttl, Record{MaxUses: 1, Node: node, Note: "takes the place of " + node})
}

func (g Registry) add(ctx context.Context, t Token, ttl time.Duration, record Record) (Record, error) {
	hash, now := t.Secret.Hash(), g.Clock.now()
	record.ID, record.Hash, record.Role = t.ID.String(), hex.EncodeToString(hash[:]), t.Role
	record.Created, record.Expires = now, now.Add(ttl)
	old, err := g.List(ctx)
	if err != nil {
		return record, err
	}
	for _, r := range old {
		if now.Sub(r.Expires) > keepRecords {
			if err := g.records().remove(ctx, r.ID); err != nil {
				return record, err
			}
		}
	}
	return record, g.records().create(ctx, record.ID, record)
}

// List returns all tokens, the newest first.
func (g Registry) List(ctx context.Context) ([]Record, error) {
	out, err := g.records().list(ctx)
	slices.SortFunc(out, func(a, b Record) int { return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID)) })
	return out, err
}

// Revoke makes a token useless from now on. Machines that it let in stay.
func (g Registry) Revoke(ctx context.Context, id ID) (Record, error) {
	r, err := g.records().change(ctx, id.String(), func(r *Record) error {
		if r.Revoked == nil {
			r.Revoked = new(g.Clock.now())
		}
		return nil
	})
	return r, unknown(err)
}

// Check says whether Redeem would let the machine in, and uses nothing.
func (g Registry) Check(ctx context.Context, id ID, secret Secret, role config.Role, by Use) error {
	r, err := g.records().get(ctx, id.String())
	if err != nil {
		return unknown(err)
	}
	return r.admits(secret, role, by, g.Clock.now())
}

// Redeem uses a token for a machine. A machine that has used it before may do so again while the token lives. Two servers
// never both grant the last use.
func (g Registry) Redeem(ctx context.Context, id ID, secret Secret, role config.Role, by Use) (Record, error) {
	r, err := g.records().change(ctx, id.String(), func(r *Record) error {
		by.At = g.Clock.now()
		if err := r.admits(secret, role, by, by.At); err != nil {
			return err
		}
		if !r.usedBy(by) {
			r.Uses = append(r.Uses, by)
		}
		return nil
	})
	return r, unknown(err)
}

func (r Record) admits(secret Secret, role config.Role, by Use, now time.Time) error {
	hash := secret.Hash()
	if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(hash[:])), []byte(r.Hash)) != 1 {
		return ErrUnknownToken // who has no secret learns nothing
	}
	if err := r.Refusal(by, now); err != nil {
		return err
	}
	if r.Node != "" && r.Node != by.Node {
		return fmt.Errorf("%w: it is for the node %s, this one is to be %s", ErrWrongNode, r.Node, by.Node)
	}
	if r.Role != role {
		return fmt.Errorf("%w: it is for a node of role %s, this one is to be of role %s", ErrWrongRole, r.Role, role)
	}
	return nil
}

// unknown gives the API's "not found" its meaning here.
func unknown(err error) error {
	if apierrors.IsNotFound(err) {
		return ErrUnknownToken
	}
	return err
}
