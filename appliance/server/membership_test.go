package server

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"islet/appliance/api"
	"islet/appliance/component"
	"islet/appliance/config"
	"islet/appliance/controlplane"
	"islet/appliance/datastore"
	"islet/appliance/join"
	"islet/appliance/runtime"
)

// branch is a site on etcd with one server, of which nothing runs.
func branch(t *testing.T) *site {
	t.Helper()
	s, _ := office(t)
	s.Config.Datastore.Store = config.StoreEtcd
	if _, err := s.pki.Ensure(s.allLeaves()); err != nil {
		t.Fatal(err)
	}
	if err := s.openServers(); err != nil {
		t.Fatal(err)
	}
	return s
}

func serverMember(name, address string, keys ...join.Key) join.Member {
	return join.Member{Name: name, Address: netip.MustParseAddr(address), Role: config.RoleServer, Admitted: time.Now(), Keys: keys}
}

func TestEnroll(t *testing.T) {
	t.Parallel()
	gone := serverMember("node1", "192.0.2.11", "old")
	gone.Removed = new(time.Now())
	agent := serverMember("node1", "192.0.2.11", "old")
	agent.Role = config.RoleAgent
	for name, c := range map[string]struct {
		before []join.Member
		others bool // this server knows others
		want   error
		keys   int // that the site has of it afterwards
	}{
		"the first server":             {keys: 1},
		"a server that was let in":     {before: []join.Member{serverMember("node1", "192.0.2.11", "old")}, others: true, keys: 2},
		"one that was removed":         {before: []join.Member{gone}, want: join.ErrRemoved},
		"one that was forgotten":       {others: true, want: join.ErrNotMember},
		"an agent took its name":       {before: []join.Member{agent}, want: join.ErrNotMember},
		"one of its name is elsewhere": {before: []join.Member{serverMember("node1", "192.0.2.99", "old")}, want: join.ErrNotMember},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := branch(t)
			for _, m := range c.before {
				if err := s.members.Put(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
			if c.others {
				s.servers = serversAt(s.derived.Address, netip.MustParseAddr("192.0.2.12"))
			}
			for range 2 { // the second time changes nothing
				if err := s.enroll(t.Context()); !errors.Is(err, c.want) {
					t.Fatalf("error %v, want %v", err, c.want)
				}
			}
			if c.want != nil {
				return
			}
			key, err := s.ownKey()
			if err != nil {
				t.Fatal(err)
			}
			m, err := s.members.Get(t.Context(), join.Caller{Name: "node1", Key: key})
			if err != nil || len(m.Keys) != c.keys {
				t.Errorf("%+v, %v", m, err)
			}
		})
	}
}

func TestCurrentServers(t *testing.T) {
	t.Parallel()
	s := branch(t)
	gone := serverMember("node4", "192.0.2.14")
	gone.Removed = new(time.Now())
	agent := serverMember("node5", "192.0.2.15")
	agent.Role = config.RoleAgent
	for _, m := range []join.Member{serverMember("node3", "192.0.2.9"), serverMember("node1", "192.0.2.11"), gone, agent} {
		if err := s.members.Put(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.currentServers(t.Context())
	want := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.9:6443"), netip.MustParseAddrPort("192.0.2.11:6443")}
	if err != nil || !slices.Equal(got.API, want) {
		t.Errorf("%v, %v", got, err)
	}
	if err := s.keepServers(got); err != nil {
		t.Fatal(err)
	}
	s.servers = join.Servers{}
	if err := s.openServers(); err != nil || !slices.Equal(s.knownServers().API, want) {
		t.Errorf("after a restart: %v, %v", s.knownServers(), err)
	}
	if others := s.otherServers(); !slices.Equal(others, []netip.Addr{netip.MustParseAddr("192.0.2.9")}) {
		t.Errorf("others %v", others)
	}
}

func TestRoomForServer(t *testing.T) {
	t.Parallel()
	s := branch(t)
	for _, name := range []string{"node1", "node2", "node3", "node4"} {
		if err := s.members.Put(t.Context(), serverMember(name, "192.0.2.1"+name[4:])); err != nil {
			t.Fatal(err)
		}
		if err := s.roomForServer(t.Context(), "new"); err != nil {
			t.Errorf("with %s: %v", name, err)
		}
	}
	if err := s.members.Put(t.Context(), serverMember("node5", "192.0.2.15")); err != nil {
		t.Fatal(err)
	}
	if err := s.roomForServer(t.Context(), "new"); !errors.Is(err, join.ErrNotPossible) {
		t.Errorf("a sixth: %v", err)
	}
	if err := s.roomForServer(t.Context(), "node5"); err != nil {
		t.Errorf("one that comes back: %v", err)
	}
	s.Config.Datastore.Store = config.StoreSQLite
	if err := s.roomForServer(t.Context(), "node5"); !errors.Is(err, join.ErrNotPossible) {
		t.Errorf("on sqlite: %v", err)
	}
}

// What a server is given that was let in must be all that it needs to be one.
func TestAdmissionOfAServer(t *testing.T) {
	t.Parallel()
	s := branch(t)
	if _, _, err := s.pki.ServiceAccountKey(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pki.Secret("encryption", 32); err != nil {
		t.Fatal(err)
	}
	for role, want := range map[config.Role]bool{config.RoleServer: true, config.RoleAgent: false} {
		a, err := s.admission(t.Context(), role, nil)
		if err != nil || (len(a.Keys) > 0) != want || len(a.Authorities) == 0 {
			t.Errorf("%s: %d keys, %d authorities, %v", role, len(a.Keys), len(a.Authorities), err)
		}
	}
}

// A server without a vote is ready when all is that can be.
func TestStandbyIsReady(t *testing.T) {
	t.Parallel()
	s := branch(t)
	unit := func(name string, needs ...string) component.Unit {
		return component.Unit{New: func() component.Component { return component.Task{TaskName: name, TaskNeeds: needs} }}
	}
	var err error
	if s.supervisor, err = component.NewSupervisor(s.Log, unit(datastore.EtcdName), unit(datastore.EtcdMemberName, datastore.EtcdName),
		unit(controlplane.APIServerName, datastore.EtcdMemberName), unit(addonsName, controlplane.APIServerName), unit(tenancyName, addonsName),
		unit(runtime.Name)); err != nil {
		t.Fatal(err)
	}
	waiting := func(name string) component.Status { return component.Status{Name: name, State: component.Waiting} }
	for _, c := range []struct {
		name             string
		missing, standby bool
	}{
		{datastore.EtcdMemberName, true, false},
		{controlplane.APIServerName, true, false},
		{addonsName, true, false},
		{tenancyName, true, false},
		{datastore.EtcdName, true, true},
		{runtime.Name, true, true},
	} {
		s.standby.Store(false)
		if got := s.isMissing(waiting(c.name)); got != c.missing {
			t.Errorf("%s: %t", c.name, got)
		}
		s.standby.Store(true)
		if got := s.isMissing(waiting(c.name)); got != c.standby {
			t.Errorf("%s of a standby: %t", c.name, got)
		}
	}
}

// While a server has two addresses both are listed, the new one first.
func TestServersOnTheMove(t *testing.T) {
	t.Parallel()
	s := branch(t)
	mover := serverMember("node3", "192.0.2.9")
	for _, c := range []struct {
		state join.MoveState
		want  string
	}{
		{join.MoveAsked, "192.0.2.9 192.0.2.11"},
		{join.MoveTrying, "192.0.2.11 192.0.2.42 192.0.2.9"},
		{join.MoveFailed, "192.0.2.9 192.0.2.11"},
	} {
		mover.Move = &join.Move{From: mover.Address, To: netip.MustParseAddr("192.0.2.42"), State: c.state}
		for _, m := range []join.Member{serverMember("node1", "192.0.2.11"), mover} {
			if err := s.members.Put(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.currentServers(t.Context())
		var list []string
		for _, at := range got.Node {
			list = append(list, at.Addr().String())
		}
		if strings.Join(list, " ") != c.want || err != nil {
			t.Errorf("%s: %v (%v), want %s", c.state, list, err, c.want)
		}
	}
}

// What a node has told is forgotten with the node; one that is to clean its machine still belongs to the site.
func TestForgetOthers(t *testing.T) {
	t.Parallel()
	s := branch(t)
	leaving := serverMember("node4", "192.0.2.14")
	leaving.Removed = new(time.Now())
	s.reports = map[string]api.Report{"node2": {}, "node3": {}, "node4": {}}
	s.forgetOthers([]join.Member{serverMember("node1", "192.0.2.11"), serverMember("node3", "192.0.2.13"), leaving})
	if got := slices.Sorted(maps.Keys(s.reports)); !slices.Equal(got, []string{"node3", "node4"}) {
		t.Errorf("reports of %v", got)
	}
}
