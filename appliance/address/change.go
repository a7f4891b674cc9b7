// Package address changes the address of this machine's node. It keeps on disk how far a change has come, so that a start
// after a power cut goes on with it or takes it back.
package address

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"time"

	"islet/appliance/atomicfile"
)

// State is how far a change has come.
type State string

// The states. A change that is tried ends settled or taken back.
const (
	None      State = ""
	Trying    State = "trying"
	Settled   State = "settled"
	TakenBack State = "taken back"
)

// Change is the last change of the node's address. The zero value is that of a node that never had another.
type Change struct {
	State     State        `json:"state"`
	Asked     time.Time    `json:"asked"` // by the site; tells one change from the next
	Interface string       `json:"interface"`
	From      netip.Prefix `json:"from"`
	To        netip.Prefix `json:"to"`
	Started   time.Time    `json:"started"`
	Deadline  time.Time    `json:"deadline"`      // until when the others must have reached the node
	Why       string       `json:"why,omitempty"` // it was taken back
	// Former are the addresses of settled changes before this one: the machine's own settings may still give it those.
	Former []netip.Addr `json:"former,omitempty"`
}

// Read returns the last change that was written to path; the zero value if there was none.
func Read(path string) (Change, error) {
	var c Change
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil {
		return c, fmt.Errorf("read how far the change of address has come, from %s: %w", path, err)
	}
	return c, nil
}

// Write keeps the change, whatever happens next.
func (c Change) Write(path string) error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(data, '\n'), 0o600)
}

// Next is the change that follows this one.
func (c Change) Next(next Change) Change {
	next.Former = slices.Clone(c.Former)
	if c.State == Settled {
		next.Former = append(next.Former, c.From.Addr())
	}
	next.Former = slices.DeleteFunc(next.Former, func(a netip.Addr) bool { return a == next.From.Addr() || a == next.To.Addr() })
	return next
}

// Own is the node's address by this change; invalid where there was none.
func (c Change) Own() netip.Addr {
	if c.State == TakenBack {
		return c.From.Addr()
	}
	return c.To.Addr()
}

// Other is the address that the node may be found at besides its own; invalid unless a change is tried.
func (c Change) Other() netip.Addr {
	if c.State == Trying {
		return c.From.Addr()
	}
	return netip.Addr{}
}

// Left is how long others still have to reach the node. A clock that was set back does not give them more than they had.
func (c Change) Left(now time.Time) time.Duration {
	return min(c.Deadline.Sub(now), c.Deadline.Sub(c.Started))
}

// Apply gives the machine the addresses that the node needs: both while a change is tried, the new one being what it speaks
// from. Where each is on an interface of its own nothing is done. It may be repeated; after a power cut the machine has what its own settings say.
func (c Change) Apply() error {
	if c.Interface == "" {
		return nil
	}
	switch c.State {
	case Trying:
		return arrange(c.Interface, []netip.Prefix{c.To, c.From}, c.Former)
	case Settled:
		return arrange(c.Interface, []netip.Prefix{c.To}, append(slices.Clone(c.Former), c.From.Addr()))
	case TakenBack:
		return arrange(c.Interface, []netip.Prefix{c.From}, append(slices.Clone(c.Former), c.To.Addr()))
	}
	return nil
}
