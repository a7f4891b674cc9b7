package vip

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"islet/appliance/arp"
)

var (
	own     = netip.MustParseAddr("192.0.2.12")
	lower   = netip.MustParseAddr("192.0.2.11")
	higher  = netip.MustParseAddr("192.0.2.13")
	virtual = netip.MustParseAddr("192.0.2.100")
)

// TestLooks feeds looks, three seconds apart, to a server that serves well.
func TestLooks(t *testing.T) {
	t.Parallel()
	var (
		free     = look{}
		here     = look{held: true}
		there    = look{claims: []claim{{"02:00:00:00:00:0d", higher}}}
		stranger = look{claims: []claim{{"02:00:00:00:00:99", netip.Addr{}}}}
		with     = func(l look, claims ...claim) look { l.held, l.claims = true, claims; return l }
		both     = with(look{}, claim{"02:00:00:00:00:0d", higher})
		bothLow  = with(look{}, claim{"02:00:00:00:00:0b", lower})
		intruded = with(look{}, claim{"02:00:00:00:00:99", netip.Addr{}})
	)
	for name, c := range map[string]struct {
		looks     []look
		state     State
		reason    string
		holder    string
		duplicate string
	}{
		"nobody has it":                         {[]look{free}, Standby, "", "", ""},
		"this server has it":                    {[]look{here}, Held, "", own.String(), ""},
		"another server has it":                 {[]look{there, there, there}, Standby, "", higher.String(), ""},
		"a stranger has it":                     {[]look{stranger}, Unfit, "no server of this site has it", "02:00:00:00:00:99", "02:00:00:00:00:99, which is no server"},
		"a stranger had it":                     {[]look{stranger, free}, Standby, "", "", ""},
		"a stranger takes what is held":         {[]look{here, intruded, intruded, intruded, intruded}, Held, "", own.String(), "02:00:00:00:00:99, which is no server"},
		"it moves":                              {[]look{here, both, both}, Held, "", own.String(), ""},
		"two servers have it, this one keeps":   {[]look{bothLow, bothLow, bothLow, bothLow}, Held, "", own.String(), "server 192.0.2.11 (02:00:00:00:00:0b), as this one"},
		"two servers have it, this one yields":  {[]look{both, both, both}, Held, "left to another server", own.String(), "server 192.0.2.13 (02:00:00:00:00:0d), as this one"},
		"it has yielded":                        {[]look{both, both, both, there, there}, Unfit, "left to another server", higher.String(), "for which this one gave it up"},
		"it has yielded, and the other is gone": {[]look{both, both, both, there, free}, Standby, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r record
			now := time.Now()
			for _, l := range c.looks {
				r.see(l, own, now)
				now = now.Add(lookInterval)
			}
			s := r.status(Address{Purpose: API, IP: virtual}, own)
			if s.State != c.state || s.Holder != c.holder || s.Missing() != (c.holder == "") {
				t.Errorf("state %s, held by %q", s.State, s.Holder)
			}
			if !strings.Contains(s.Reason, c.reason) || (s.Reason == "") != (c.reason == "") {
				t.Errorf("reason %q, want %q", s.Reason, c.reason)
			}
			if !strings.Contains(s.Duplicate, c.duplicate) || (s.Duplicate == "") != (c.duplicate == "") {
				t.Errorf("duplicate %q, want %q", s.Duplicate, c.duplicate)
			}
		})
	}
}

func TestYieldingEnds(t *testing.T) {
	t.Parallel()
	var r record
	begun := time.Now()
	both := look{held: true, claims: []claim{{"02:00:00:00:00:0d", higher}}}
	for range sharedLooks {
		r.see(both, own, begun)
	}
	there := look{claims: both.claims}
	if r.see(there, own, begun.Add(yieldFor)); r.reason() == "" {
		t.Error("tries again too early")
	}
	if r.see(there, own, begun.Add(yieldFor+time.Second)); r.reason() != "" {
		t.Errorf("does not try again: %s", r.reason())
	}
}

func TestOneFailureIsForgiven(t *testing.T) {
	t.Parallel()
	r := record{looked: time.Now()}
	failure := errors.New("no answer")
	for i, step := range []struct {
		err  error
		want string
	}{{nil, ""}, {failure, ""}, {nil, ""}, {failure, ""}, {failure, "no answer"}, {failure, "no answer"}, {nil, ""}} {
		if r.served(step.err); r.reason() != step.want {
			t.Errorf("step %d: reason %q, want %q", i, r.reason(), step.want)
		}
	}
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	answers := arp.Answers{virtual: {"02:00:00:00:00:0d", "02:00:00:00:00:99"}, lower: {"02:00:00:00:00:0b"}, higher: {"02:00:00:00:00:0d"}}
	got := identify(answers, virtual, []netip.Addr{lower, higher})
	if len(got) != 2 || got[0] != (claim{"02:00:00:00:00:0d", higher}) || got[1] != (claim{"02:00:00:00:00:99", netip.Addr{}}) {
		t.Errorf("got %+v", got)
	}
	if got := identify(answers, own, nil); len(got) != 0 {
		t.Errorf("of an address that nobody has: %+v", got)
	}
}
