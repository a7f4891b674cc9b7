package etcd

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"islet/appliance/datastore"
)

// join adds a member that has nothing and starts it.
func join(t *testing.T, endpoints string, m *member) datastore.Addition {
	t.Helper()
	added := tool[datastore.Addition](t, "add", "--endpoints", endpoints, "--name", m.name, "--peer", m.peer)
	m.initial, m.state = added.InitialCluster, "existing"
	m.start(t)
	return added
}

// promoted promotes until nobody is late.
func promoted(t *testing.T, endpoints string) datastore.Promotion {
	t.Helper()
	var done datastore.Promotion
	eventually(t, "promote", func() error {
		last := tool[datastore.Promotion](t, "promote", "--endpoints", endpoints)
		done.Promoted = append(done.Promoted, last.Promoted...)
		done.Voters, done.Waiting = last.Voters, last.Waiting
		if strings.Contains(done.Waiting, "up to date") || strings.Contains(done.Waiting, "caught up") {
			return errors.New(done.Waiting)
		}
		return nil
	})
	return done
}

// TestGrowsAndShrinks follows a site from one server to three, through the loss of one, and of two.
func TestGrowsAndShrinks(t *testing.T) {
	t.Parallel()
	a, b, c := newMember(t, "a"), newMember(t, "b"), newMember(t, "c")
	a.start(t)
	fill(t, a.connect(t))
	dead := freeURL(t, "http")
	endpoints := strings.Join([]string{dead, a.client, b.client, c.client}, ",")

	if added := join(t, endpoints, b); !added.Member.Learner || added.Member.Peer != b.peer {
		t.Errorf("b: %+v", added)
	}
	if done := promoted(t, endpoints); done.Voters != 1 || len(done.Promoted) > 0 || done.Waiting != "b has no vote yet: two voters would tolerate no loss, a third server is needed" {
		t.Errorf("two servers: %+v", done)
	}
	added := tool[datastore.Addition](t, "add", "--endpoints", endpoints, "--name", "c", "--peer", c.peer)
	if want := fmt.Sprintf("c=%s,a=%s,b=%s", c.peer, a.peer, b.peer); added.InitialCluster != want {
		t.Errorf("c starts with %s, want %s", added.InitialCluster, want)
	}
	if done := promoted(t, endpoints); done.Voters != 1 || !strings.Contains(done.Waiting, c.peer+" has not started yet") {
		t.Errorf("c is late: %+v", done)
	}
	if again := join(t, endpoints, c); again.Member.ID != added.Member.ID {
		t.Errorf("added twice: %+v, then %+v", added, again)
	}
	if done := promoted(t, endpoints); done.Voters != 3 || !slices.Equal(done.Promoted, []string{"b", "c"}) || done.Waiting != "" {
		t.Errorf("three servers: %+v", done)
	}
	alike(t, endpoints, a, b, c)

	c.stop()
	if err := os.RemoveAll(c.dir); err != nil {
		t.Fatal(err)
	}
	lost := status(t, endpoints, "c")
	if lost.Error == "" || lost.Peer != c.peer {
		t.Errorf("c is dead: %+v", lost)
	}
	if added := join(t, endpoints, c); added.Member.ID == lost.ID {
		t.Errorf("installed anew, it is still %+v", lost)
	}
	if done := promoted(t, endpoints); done.Voters != 3 || !slices.Equal(done.Promoted, []string{"c"}) {
		t.Errorf("three servers again: %+v", done)
	}
	alike(t, endpoints, a, b, c)

	c.stop()
	c.peer = freeURL(t, "http")
	for range 2 {
		if m := tool[datastore.Member](t, "seat", "--endpoints", endpoints, "--name", "c", "--peer", c.peer); m.Peer != c.peer || m.Name != "c" {
			t.Errorf("c has moved to %+v", m)
		}
	}
	if _, err := try[datastore.Member](t, "seat", "--endpoints", endpoints, "--name", "d", "--peer", c.peer); err == nil {
		t.Error("a server that is no member has moved")
	}
	c.start(t)
	alike(t, endpoints, a, b, c)

	c.stop()
	for range 2 {
		tool[struct{}](t, "remove", "--endpoints", endpoints, "--name", "c")
	}
	if list := tool[[]datastore.Member](t, "members", "--endpoints", endpoints); len(list) != 2 {
		t.Errorf("after the removal: %+v", list)
	}
	b.stop()
	list := tool[[]datastore.MemberStatus](t, "status", "--endpoints", endpoints)
	if len(list) != 2 || list[0].Error != "" || list[0].Leader || list[0].Revision < 100 || list[1].Error == "" {
		t.Errorf("without a quorum: %+v", list)
	}
	if _, err := try[datastore.Promotion](t, "promote", "--endpoints", endpoints); err == nil || !strings.Contains(err.Error(), "no leader") {
		t.Errorf("promote without a quorum: %v", err)
	}
}

func status(t *testing.T, endpoints, name string) datastore.MemberStatus {
	t.Helper()
	list := tool[[]datastore.MemberStatus](t, "status", "--endpoints", endpoints)
	i := slices.IndexFunc(list, func(s datastore.MemberStatus) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("no %s: %+v", name, list)
	}
	return list[i]
}

// alike checks that members have the same and that one of them leads.
func alike(t *testing.T, endpoints string, members ...*member) {
	t.Helper()
	list := tool[[]datastore.MemberStatus](t, "status", "--endpoints", endpoints)
	leaders := 0
	for i, s := range list {
		if s.Error != "" || s.Learner || s.Name != members[i].name || s.Version == "" || s.Applied == 0 || s.InUse == 0 || s.Bytes < s.InUse {
			t.Errorf("%+v", s)
		}
		if s.Leader {
			leaders++
		}
	}
	if leaders != 1 || len(list) != len(members) {
		t.Errorf("%d leaders of %d members", leaders, len(list))
	}
	want := all(t, members[0].connect(t))
	for _, m := range members[1:] {
		sameKeys(t, all(t, m.connect(t)), want)
	}
	if d := tool[datastore.Digest](t, "digest", "--endpoints", endpoints); d.Keys != int64(len(want.Kvs)) || d.Revision != want.Header.Revision {
		t.Errorf("%+v of %d keys at %d", d, len(want.Kvs), want.Header.Revision)
	}
}

func TestTooManyWithoutAVote(t *testing.T) {
	t.Parallel()
	a := newMember(t, "a")
	a.start(t)
	for i := range 3 {
		_, err := try[datastore.Addition](t, "add", "--endpoints", a.client, "--name", fmt.Sprint(i), "--peer", freeURL(t, "http"))
		if i < 2 && err != nil || i == 2 && !errors.Is(err, ErrLearner) {
			t.Errorf("member %d: %v", i, err)
		}
	}
}

func TestInitialCluster(t *testing.T) {
	t.Parallel()
	members := []*etcdserverpb.Member{
		{ID: 0xabc, PeerURLs: []string{"http://1"}},
		{ID: 1, Name: "a", PeerURLs: []string{"http://2", "http://3"}, ClientURLs: []string{"http://a"}},
		{ID: 2, IsLearner: true, PeerURLs: []string{"http://4"}},
	}
	got, err := seat{"new", "http://4"}.addition(members)
	want := datastore.Addition{
		Member:         datastore.Member{ID: "2", Peer: "http://4", Learner: true},
		InitialCluster: "member-abc=http://1,a=http://2,a=http://3,new=http://4",
	}
	if err != nil || got != want {
		t.Errorf("%+v (%v), want %+v", got, err, want)
	}
	if _, err := (seat{"new", "http://5"}).addition(members); err == nil {
		t.Error("one that is not among them is added")
	}
}

func TestOddNumberOfVoters(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ voters, ready, want int }{
		{1, 0, 0}, {1, 1, 0}, {1, 2, 2}, {1, 3, 2}, {1, 4, 4}, {2, 0, 0}, {2, 1, 1}, {2, 2, 1}, {2, 3, 3}, {3, 1, 0}, {3, 2, 2}, {4, 0, 0}, {4, 1, 1}, {5, 1, 0},
	} {
		if got := due(tc.voters, tc.ready); got != tc.want {
			t.Errorf("%d voters and %d that are ready: %d promoted, want %d", tc.voters, tc.ready, got, tc.want)
		}
	}
}

func TestWhoIsReady(t *testing.T) {
	t.Parallel()
	leader := datastore.MemberStatus{Applied: 1000}
	named := func(name string, applied uint64, trouble string) datastore.MemberStatus {
		return datastore.MemberStatus{Member: datastore.Member{Name: name, Peer: "http://p"}, Applied: applied, Error: trouble}
	}
	cases := []struct {
		name, want string
		voters     int
		without    []datastore.MemberStatus
	}{
		{"none", "", 3, nil},
		{"not started", "http://p has not started yet", 1, []datastore.MemberStatus{named("", 0, "it has not started yet")}},
		{"dead", "b does not answer: refused", 1, []datastore.MemberStatus{named("b", 0, "refused")}},
		{"behind", "b has not caught up yet", 1, []datastore.MemberStatus{named("b", 899, "")}},
		{"the second", "b has no vote yet: two voters would tolerate no loss, a third server is needed", 1, []datastore.MemberStatus{named("b", 900, "")}},
		{"the fourth", "d has no vote yet: 4 voters would tolerate no more losses than 3, one more server is needed", 3, []datastore.MemberStatus{named("d", 1000, "")}},
		{"several", "b has not caught up yet; c has no vote yet: two voters would tolerate no loss, a third server is needed", 1,
			[]datastore.MemberStatus{named("b", 1, ""), named("c", 990, "")}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := judge(leader, tc.without).waiting(tc.voters); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestAlarmsInTheTextOfTheStatus(t *testing.T) {
	t.Parallel()
	alarm := func(id uint64, kind etcdserverpb.AlarmType) string {
		return (&etcdserverpb.AlarmMember{MemberID: id, Alarm: kind}).String()
	}
	said := [][]string{
		{"etcdserver: no leader", alarm(12, etcdserverpb.AlarmType_NOSPACE)}, nil,
		{alarm(12, etcdserverpb.AlarmType_NOSPACE), alarm(12, etcdserverpb.AlarmType_CORRUPT), alarm(123, etcdserverpb.AlarmType_NOSPACE)},
	}
	for id, want := range map[uint64][]string{12: {"NOSPACE", "CORRUPT"}, 123: {"NOSPACE"}, 1: nil} {
		if got := alarmsOf(id, said); !slices.Equal(got, want) {
			t.Errorf("%d: %v, want %v", id, got, want)
		}
	}
}
