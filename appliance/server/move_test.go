package server

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"islet/appliance/address"
	"islet/appliance/config"
	"islet/appliance/join"
)

var (
	oldAddress = netip.MustParsePrefix("192.0.2.11/24")
	newAddress = netip.MustParsePrefix("192.0.2.42/24")
)

// moving is a server with an answer file in the middle of a change of address.
func moving(t *testing.T, state address.State) *site {
	t.Helper()
	s := branch(t)
	s.Config.Node.Address, s.Config.Gateway.Bind = oldAddress.Addr(), oldAddress.Addr()
	answers, err := config.Marshal(s.Config, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.layout.Config(), answers, 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c := address.Change{State: state, From: oldAddress, To: newAddress, Started: now, Deadline: now.Add(time.Minute), Asked: now.UTC().Truncate(time.Second)}
	if err := c.Write(s.layout.AddressChange()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestResumeMove(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		state   address.State
		expired bool
		want    address.State
		address netip.Prefix
	}{
		"in the middle":         {address.Trying, false, address.Trying, newAddress},
		"the time is up":        {address.Trying, true, address.TakenBack, oldAddress},
		"it was taken back":     {address.TakenBack, false, address.TakenBack, oldAddress},
		"the file was put back": {address.Settled, false, address.None, oldAddress},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := moving(t, c.state)
			if c.expired {
				change, err := address.Read(s.layout.AddressChange())
				change.Deadline = change.Started.Add(-time.Second)
				if err := errors.Join(err, change.Write(s.layout.AddressChange())); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // the power may fail right after
				if err := s.resumeMove(); err != nil {
					t.Fatal(err)
				}
			}
			answers, err := os.ReadFile(s.layout.Config())
			if err != nil || s.lastChange().State != c.want || s.Config.Node.Address != c.address.Addr() || s.Config.Gateway.Bind != c.address.Addr() ||
				!strings.Contains(string(answers), "address: "+c.address.Addr().String()+"\n") || !strings.Contains(string(answers), "bind: "+c.address.Addr().String()+"\n") {
				t.Errorf("%s at %s, %v\n%s", s.lastChange().State, s.Config.Node.Address, err, answers)
			}
		})
	}
}

// Certificates cover both addresses for as long as the node has both, in whichever direction it goes.
func TestCertificatesOfAMove(t *testing.T) {
	t.Parallel()
	s := branch(t)
	for _, at := range []netip.Prefix{oldAddress, newAddress} {
		s.derived.Address = at.Addr()
		for state, both := range map[address.State]bool{address.None: false, address.Trying: true, address.Settled: false, address.TakenBack: false} {
			s.setChange(address.Change{State: state, From: oldAddress, To: newAddress})
			checked := 0
			for _, l := range s.allLeaves() {
				if !slices.Contains(l.Addresses, at.Addr()) {
					continue
				}
				checked++
				if slices.Contains(l.Addresses, oldAddress.Addr()) && slices.Contains(l.Addresses, newAddress.Addr()) != both {
					t.Errorf("%q at %s: %s has %v", state, at, l.Name, l.Addresses)
				}
			}
			if checked < 4 {
				t.Errorf("%d certificates with an address", checked)
			}
		}
	}
}

// reports is a site that takes note of what it is told.
type reports struct {
	move *join.Move
	told []join.MoveReport
}

func (r *reports) Move(context.Context) (*join.Move, error) { return r.move, nil }

func (r *reports) ReportMove(_ context.Context, told join.MoveReport) error {
	r.told = append(r.told, told)
	return nil
}

func TestFollow(t *testing.T) {
	t.Parallel()
	asked := time.Unix(5000, 0).UTC()
	order := func(state join.MoveState) *join.Move {
		return &join.Move{From: oldAddress.Addr(), To: netip.MustParseAddr("198.51.100.9"), Asked: asked, Patience: time.Minute, State: state}
	}
	for name, c := range map[string]struct {
		move *join.Move
		last address.Change
		want []join.MoveState
	}{
		"nothing is asked":                {nil, address.Change{}, nil},
		"of another network":              {order(join.MoveAsked), address.Change{}, []join.MoveState{join.MoveFailed}},
		"long done":                       {order(join.MoveDone), address.Change{}, nil},
		"taken back, the site not told":   {order(join.MoveTrying), address.Change{State: address.TakenBack, Asked: asked, Why: "x"}, []join.MoveState{join.MoveFailed}},
		"taken back, the site is told":    {order(join.MoveFailed), address.Change{State: address.TakenBack, Asked: asked}, nil},
		"taken back, the site knows more": {order(join.MoveDone), address.Change{State: address.TakenBack, Asked: asked, Why: "x"}, []join.MoveState{join.MoveFailed}},
		"in the middle":                   {order(join.MoveTrying), address.Change{State: address.Trying, Asked: asked}, nil},
		"settled":                         {order(join.MoveDone), address.Change{State: address.Settled, Asked: asked}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := branch(t)
			s.derived.NodeNetwork = oldAddress.Masked()
			s.setChange(c.last)
			site := &reports{move: c.move}
			err := s.follow(t.Context(), site, func(context.Context) error { return errors.New("no certificates are needed for this") })
			var got []join.MoveState
			for _, r := range site.told {
				got = append(got, r.State)
				if r.Why == "" {
					t.Error("it does not say why")
				}
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("told %v, want %v (%v)", got, c.want, err)
			}
		})
	}
}

func TestReportOfAMove(t *testing.T) {
	t.Parallel()
	s, _ := office(t, kubernetesNode("node3", "192.0.2.42", corev1.ConditionTrue), kubernetesNode("node4", "192.0.2.14", corev1.ConditionTrue))
	caller := join.Caller{Name: "node3", Key: "key"}
	member := join.Member{Name: "node3", Address: netip.MustParseAddr("192.0.2.13"), Role: config.RoleAgent, Keys: []join.Key{"key"}}
	if err := s.members.Put(t.Context(), member); err != nil {
		t.Fatal(err)
	}
	if _, err := s.members.AskMove(t.Context(), "node3", newAddress.Addr(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := s.members.AskMove(t.Context(), "node3", oldAddress.Addr(), time.Minute); !errors.Is(err, join.ErrMoving) {
		t.Errorf("two at once: %v", err)
	}
	tell := func(state join.MoveState, to netip.Prefix) error {
		return s.ReportMove(t.Context(), caller, join.MoveReport{To: to.Addr(), State: state, Why: "because"})
	}
	if err := tell(join.MoveDone, oldAddress); !errors.Is(err, join.ErrBadRequest) {
		t.Errorf("an address that nobody asked for: %v", err)
	}
	if err := s.ReportMove(t.Context(), join.Caller{Name: "node3", Key: "other"}, join.MoveReport{To: newAddress.Addr()}); !errors.Is(err, join.ErrNotMember) {
		t.Errorf("another machine: %v", err)
	}
	for _, step := range []struct {
		state, kept join.MoveState
		at          string
	}{
		{join.MoveTrying, join.MoveTrying, "192.0.2.13"},
		{join.MoveArrived, join.MoveTrying, "192.0.2.13"}, // a question only
		{join.MoveDone, join.MoveDone, "192.0.2.42"},
		{join.MoveFailed, join.MoveFailed, "192.0.2.13"}, // the node did not hear that it had arrived
	} {
		if err := tell(step.state, newAddress); err != nil {
			t.Errorf("%s: %v", step.state, err)
		}
		m, err := s.members.Find(t.Context(), "node3")
		if err != nil || m.Move.State != step.kept || m.Address.String() != step.at {
			t.Errorf("after %s: %+v at %s (%v)", step.state, m.Move, m.Address, err)
		}
	}
	other := join.Member{Name: "node5", Address: netip.MustParseAddr("192.0.2.13"), Role: config.RoleAgent}
	if err := s.members.Put(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	for _, state := range []join.MoveState{join.MoveTrying, join.MoveDone} {
		if err := tell(state, newAddress); !errors.Is(err, join.ErrBadRequest) {
			t.Errorf("%s after the end: %v", state, err)
		}
	}
	if err := tell(join.MoveFailed, newAddress); err != nil {
		t.Errorf("how it ended, once more: %v", err)
	}
	if err := s.reached(t.Context(), join.Member{Name: "node4", Move: &join.Move{To: newAddress.Addr()}}, nil); !errors.Is(err, join.ErrUnreachable) {
		t.Errorf("Kubernetes has it elsewhere: %v", err)
	}
}
