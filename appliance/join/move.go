package join

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"
)

// ErrMoving is returned while a change of a node's address is under way: there is one at a time.
var ErrMoving = errors.New("a change of a node's address is under way")

// MoveState is how far a change of a node's address has come.
type MoveState string

// The states. Arrived is a question: can the server reach the node where it is now?
const (
	MoveAsked   MoveState = "asked"      // by an operator; the node has not heard of it
	MoveTrying  MoveState = "trying"     // the node has both addresses
	MoveArrived MoveState = "arrived"    // never kept
	MoveDone    MoveState = "done"       // the node has the new one
	MoveFailed  MoveState = "taken back" // it has the old one
)

// Move is a change of a member's address.
type Move struct {
	From     netip.Addr    `json:"from"`
	To       netip.Addr    `json:"to"`
	Asked    time.Time     `json:"asked"`    // tells one from the next
	Patience time.Duration `json:"patience"` // in nanoseconds; how long the others have to reach the node, once it has both
	State    MoveState     `json:"state"`
	Why      string        `json:"why,omitempty"` // it was taken back
}

// Open says whether it has not come to an end.
func (m *Move) Open() bool { return m != nil && (m.State == MoveAsked || m.State == MoveTrying) }

// MoveReport is what a node tells of its move.
type MoveReport struct {
	To    netip.Addr `json:"to"`
	State MoveState  `json:"state"`
	Why   string     `json:"why,omitempty"`
	// Ports are those on which the node listens at its new address.
	Ports []uint16 `json:"ports,omitempty"`
}

// Addresses are where the member may be found: while it has two, the new one first.
func (m Member) Addresses() []netip.Addr {
	if m.Move != nil && m.Move.State == MoveTrying {
		return []netip.Addr{m.Move.To, m.Address}
	}
	return []netip.Addr{m.Address}
}

// IsAt says whether the address is the member's, or was before its last move, or will be after it.
func (m Member) IsAt(a netip.Addr) bool {
	return a == m.Address || m.Move != nil && (a == m.Move.From || a == m.Move.To)
}

// AskMove has a member move to another address. The caller has checked that it is free.
func (m Members) AskMove(ctx context.Context, name string, to netip.Addr, patience time.Duration) (Move, error) {
	all, err := m.List(ctx)
	if err != nil {
		return Move{}, err
	}
	for _, other := range all {
		if other.Removed == nil && other.Move.Open() {
			return Move{}, fmt.Errorf("%w: of %s to %s, asked for at %s", ErrMoving, other.Name, other.Move.To, other.Move.Asked.Format(time.DateTime))
		}
	}
	member, err := m.records().change(ctx, name, func(member *Member) error {
		member.Move = &Move{From: member.Address, To: to, Asked: Clock(nil).now(), Patience: patience, State: MoveAsked}
		return nil
	})
	if err != nil {
		return Move{}, err
	}
	return *member.Move, nil
}

// WithdrawMove ends a move of which the member has not heard. It returns the move as it is then.
func (m Members) WithdrawMove(ctx context.Context, name, why string) (Move, error) {
	member, err := m.records().change(ctx, name, func(member *Member) error {
		if member.Move != nil && member.Move.State == MoveAsked {
			member.Move.State, member.Move.Why = MoveFailed, why
		}
		return nil
	})
	if err != nil || member.Move == nil {
		return Move{}, err
	}
	return *member.Move, nil
}

// ReportMove takes note of what a member tells of its move. After the end it may only say again how it ended; and that it has
// taken back its address though it had arrived, which it may not have heard, for as long as nobody else got that address.
func (m Members) ReportMove(ctx context.Context, name string, r MoveReport) error {
	all, err := m.List(ctx)
	if err != nil {
		return err
	}
	_, err = m.records().change(ctx, name, func(member *Member) error {
		move := member.Move
		if move == nil || move.To != r.To {
			return fmt.Errorf("%w: %s is not asked to move to %s", ErrBadRequest, name, r.To)
		}
		given := slices.ContainsFunc(all, func(other Member) bool { return other.Name != name && other.IsAt(move.From) })
		if !move.Open() && r.State != move.State && (r.State != MoveFailed || given) {
			return fmt.Errorf("%w: the move of %s to %s has ended: %s", ErrBadRequest, name, r.To, move.State)
		}
		switch r.State {
		case MoveTrying:
		case MoveDone:
			member.Address = member.Move.To
		case MoveFailed:
			member.Address = member.Move.From
		default:
			return fmt.Errorf("%w: a move is never %q", ErrBadRequest, r.State)
		}
		member.Move.State, member.Move.Why = r.State, r.Why
		return nil
	})
	return err
}

// Move asks whether this node is to move; nil if it never was.
func (c *Client) Move(ctx context.Context) (*Move, error) {
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	return call[*Move](ctx, c, http.MethodGet, movePath, nil)
}

// ReportMove tells a server how far this node has come, or asks it whether it can reach the node where it is now.
func (c *Client) ReportMove(ctx context.Context, r MoveReport) error {
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	_, err := call[struct{}](ctx, c, http.MethodPost, movePath, r)
	return err
}
