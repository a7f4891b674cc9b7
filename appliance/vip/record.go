package vip

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"islet/appliance/arp"
)

const (
	// maxStrikes is how many failures in a row make a server unfit: one slow answer is no reason to move an address.
	maxStrikes = 2
	// sharedLooks is how many looks in a row must find two holders: while an address moves, there may be two for a moment.
	sharedLooks = 3
	// stuckLooks is how many looks in a row may find the address here though keepalived was told to give it up.
	stuckLooks = 3
	// yieldFor is how long a server leaves an address to another that has it too, if that goes on. Then it tries whether
	// the two can hear each other again.
	yieldFor = 10 * time.Minute
)

// claim is another machine that answers at an address.
type claim struct {
	hardware string
	server   netip.Addr // of the site; zero for a stranger
}

func (c claim) String() string {
	if c.server.IsValid() {
		return c.server.String()
	}
	return c.hardware
}

// look is what one look at the link showed of one address.
type look struct {
	held   bool
	claims []claim
}

// identify finds the servers among those that answer at an address.
func identify(answers arp.Answers, address netip.Addr, peers []netip.Addr) []claim {
	var claims []claim
	for _, hardware := range answers[address] {
		c := claim{hardware: hardware}
		for _, peer := range peers {
			if slices.Contains(answers[peer], hardware) {
				c.server = peer
			}
		}
		claims = append(claims, c)
	}
	return claims
}

// record is what the keeper remembers of an address from one look to the next.
type record struct {
	failure error // of the last call of Serves
	strikes int   // failures in a row

	last    look
	looked  time.Time
	blind   error     // why the link could not be asked when it was last tried; what was seen before stands
	shared  int       // looks in a row that found the address here and on another server
	yielded time.Time // when it was left to another server; zero when it was not
	stuck   int       // looks in a row that found the address here though it may not be
}

// served notes how Serves ended.
func (r *record) served(err error) {
	r.failure = err
	if r.strikes++; err == nil {
		r.strikes = 0
	}
}

// see notes what a look showed; own is this server's address. Of two servers that have an address and do not hear each other
// the one with the higher address keeps it.
func (r *record) see(l look, own netip.Addr, now time.Time) {
	if r.stuck++; !l.held || r.reason() == "" {
		r.stuck = 0
	}
	r.last, r.looked, r.blind = l, now, nil
	if r.shared++; !l.held || !slices.ContainsFunc(l.claims, claim.isServer) {
		r.shared = 0
	}
	if len(l.claims) == 0 || now.Sub(r.yielded) > yieldFor {
		r.yielded = time.Time{}
	}
	higher := func(c claim) bool { return c.server.IsValid() && own.Less(c.server) }
	if r.shared >= sharedLooks && r.yielded.IsZero() && slices.ContainsFunc(l.claims, higher) {
		r.yielded = now
	}
}

// odd tells whether something is to be looked at again soon.
func (r *record) odd() bool { return r.shared > 0 || r.stuck > 0 }

func (c claim) isServer() bool   { return c.server.IsValid() }
func (c claim) isStranger() bool { return !c.server.IsValid() }

// reason says why this server may not have the address; empty when it may.
func (r *record) reason() string {
	switch {
	case r.looked.IsZero():
		return starting
	case r.strikes >= maxStrikes:
		return r.failure.Error()
	case !r.yielded.IsZero():
		return "left to another server that has it too"
	case !r.last.held && slices.ContainsFunc(r.last.claims, claim.isStranger):
		return "a machine that is no server of this site has it"
	}
	return ""
}

// duplicate says who has the address though he may not.
func (r *record) duplicate() string {
	for _, c := range r.last.claims {
		if c.isStranger() {
			return c.hardware + ", which is no server of this site"
		}
		if r.shared >= sharedLooks {
			return fmt.Sprintf("server %s (%s), as this one: VRRP does not pass between them", c.server, c.hardware)
		}
		if !r.yielded.IsZero() {
			return fmt.Sprintf("server %s (%s), for which this one gave it up: VRRP did not pass between them", c.server, c.hardware)
		}
	}
	return ""
}

// status is the address as it stands.
func (r *record) status(a Address, own netip.Addr) Status {
	s := Status{Purpose: a.Purpose, Address: a.IP, RouterID: a.RouterID, State: Standby, Reason: r.reason(), Duplicate: r.duplicate(), Looked: r.looked}
	switch {
	case r.last.held:
		s.State, s.Holder = Held, own.String()
	case len(r.last.claims) > 0:
		s.Holder = r.last.claims[0].String()
	}
	if r.blind != nil { // others may have it by now
		s.Reason, s.Looked = cmp.Or(s.Reason, r.blind.Error()), time.Time{}
	}
	if s.State == Standby && s.Reason != "" {
		s.State = Unfit
	}
	return s
}
