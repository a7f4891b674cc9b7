package datastore

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"islet/appliance/component"
	"islet/appliance/layout"
	"islet/appliance/pki"
)

var update = flag.Bool("update", false, "write golden files")

// answer is what a verb of the tool prints, or the error that it ends with.
type answer struct {
	value any
	err   string
}

// member is a server of which nothing runs. Its tool has prepared answers, and asked lists the verbs that it was asked.
type member struct {
	Params
	answers map[string]answer
	others  []netip.Addr
	newest  int // generation of the others' copies
	asked   []string
}

func newMember(t *testing.T) *member {
	t.Helper()
	dir := t.TempDir()
	l := layout.Layout{StateDir: dir, RunDir: dir}
	if err := os.MkdirAll(l.Datastore(), 0o700); err != nil {
		t.Fatal(err)
	}
	store, err := pki.Open(l.PKI(), time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &member{answers: map[string]answer{"check": {value: Report{}}}}
	m.Params = Params{
		Layout: l, Log: slog.New(slog.DiscardHandler), Ring: Ring{Dir: filepath.Join(dir, "ring"), Store: "etcd", Keep: 3, MaxBytes: 1 << 20},
		Child: func(_ string, args ...string) component.Spec {
			m.asked = append(m.asked, args[0])
			a := m.answers[args[0]]
			if a.err != "" {
				return component.Spec{Args: []string{"/bin/sh", "-c", `echo "$0" >&2; exit 1`, a.err}}
			}
			text, err := json.Marshal(a.value)
			if err != nil {
				t.Fatal(err)
			}
			return component.Spec{Args: []string{"/bin/echo", string(text)}}
		},
		Etcd: &Etcd{
			NodeName: "node2", Address: netip.MustParseAddr("192.0.2.12"), PKI: store,
			Others: func() []netip.Addr { return m.others }, Newest: func(context.Context) int { return m.newest }, Standby: func(bool) {},
		},
	}
	return m
}

// has makes the member one that has run before.
func (m *member) has(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(EtcdDir(m.Layout), "member", "wal"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// A member that was just added takes itself for a voter until it has read the log, and one whose copy was replaced has its
// vote no more.
func TestVote(t *testing.T) {
	t.Parallel()
	type state struct{ ready, votes bool }
	states := []state{{votes: true}, {ready: true}, {}, {ready: true, votes: true}}
	s := newMember(t)
	var told []bool
	s.Etcd.Standby = func(learner bool) { told = append(told, learner) }
	s.answers["promote"] = answer{value: Promotion{Waiting: "it catches up"}}
	s.answers["status"] = answer{value: []MemberStatus{{Member: Member{Name: "node2", Peer: peerURL(s.Etcd.Address), Learner: true}}}}
	m := &etcdMember{params: s.Params, health: func(_ context.Context, path string) error {
		now := states[0]
		if (path == readyPath && now.ready) || (path == votePath && now.votes) {
			return nil
		}
		if path == readyPath || now.ready { // the next question is one about the next state
			states = states[1:]
		}
		return errors.New("503 Service Unavailable")
	}}
	ready := 0
	if err := m.Run(t.Context(), func() { ready++ }); !errors.Is(err, errNoVote) {
		t.Errorf("ended with %v, want %v", err, errNoVote)
	}
	if ready != 1 || len(states) != 1 {
		t.Errorf("ready %d times, before %+v; want once, at the end", ready, states)
	}
	if !slices.Equal(told, []bool{true, false}) || m.WaitingFor() != "it catches up" {
		t.Errorf("stands by: %v; waits for %q", told, m.WaitingFor())
	}
}

func TestBeginning(t *testing.T) {
	t.Parallel()
	const own = "node2=https://192.0.2.12:2380"
	others := []netip.Addr{netip.MustParseAddr("192.0.2.11")}
	added := answer{value: Addition{InitialCluster: "node1=https://192.0.2.11:2380," + own}}
	damaged := answer{err: "etcd-tool: " + ErrDamaged.Error() + ": page 7"}
	for name, c := range map[string]struct {
		ran    bool
		check  answer
		add    answer
		others []netip.Addr
		newest int
		want   initial
		asked  string
		aside  bool // the data that was there
		fails  string
	}{
		"the first server":                  {want: initial{own, "new"}, asked: "check check"},
		"the first server again":            {ran: true, check: answer{value: Report{Rows: 9}}, want: initial{own, "new"}, asked: "check"},
		"a server that joins":               {others: others, add: added, want: initial{added.value.(Addition).InitialCluster, "existing"}, asked: "check add"},
		"nobody lets it in":                 {others: others, add: answer{err: "no member answers"}, asked: "check add", fails: "no member answers"},
		"a server before its first key":     {ran: true, others: others, want: initial{own, "new"}, asked: "check"},
		"a damaged one among others":        {ran: true, check: damaged, others: others, add: added, want: initial{added.value.(Addition).InitialCluster, "existing"}, asked: "check add", aside: true},
		"a damaged one that gets no answer": {ran: true, check: damaged, others: others, add: answer{err: "timeout"}, asked: "check add", fails: "timeout"},
		"a damaged one alone":               {ran: true, check: damaged, asked: "check check", fails: ErrNoSnapshot.Error()},
		"not readable":                      {ran: true, check: answer{err: "permission denied"}, asked: "check check", fails: "permission denied"},
		"not readable, among others":        {ran: true, check: answer{err: "permission denied"}, others: others, asked: "check check", fails: "permission denied"},
		"of an older generation":            {ran: true, check: answer{value: Report{Rows: 9}}, others: others, newest: 1, add: added, want: initial{added.value.(Addition).InitialCluster, "existing"}, asked: "check add", aside: true},
		"restored from a backup":            {check: answer{value: Report{Rows: 4}}, others: others, want: initial{own, "new"}, asked: "check"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMember(t)
			m.others, m.newest = c.others, c.newest
			m.answers["add"] = c.add
			if c.check != (answer{}) {
				m.answers["check"] = c.check
			}
			if c.ran {
				m.has(t)
			}
			got, err := m.beginning(t.Context())
			if (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Fatalf("error %v, want %q", err, c.fails)
			}
			if err == nil && got != c.want {
				t.Errorf("begins with %+v, want %+v", got, c.want)
			}
			if asked := strings.Join(m.asked, " "); asked != c.asked {
				t.Errorf("asked %s, want %s", asked, c.asked)
			}
			if have, err := Generation(m.Layout); err != nil || c.aside && have != c.newest {
				t.Errorf("generation %d (%v), the others have %d", have, err, c.newest)
			}
			_, gone := os.Stat(EtcdDir(m.Layout))
			if c.ran && (gone != nil) != c.aside {
				t.Errorf("its data: %v, put aside: %t", gone, c.aside)
			}
		})
	}
}

func TestPutAsideIsReported(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	m.has(t)
	m.others = []netip.Addr{netip.MustParseAddr("192.0.2.11")}
	m.answers["check"] = answer{err: ErrDamaged.Error() + ": page 7"}
	m.answers["add"] = answer{value: Addition{}}
	if _, err := m.beginning(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := LastRestoration(m.Layout)
	if err != nil || r == nil || !strings.Contains(r.Found, "page 7") || r.Snapshot != "" {
		t.Errorf("reported %+v, %v", r, err)
	}
}

func TestEtcdConfig(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	path := filepath.Join(t.TempDir(), "etcd.yaml")
	if err := m.writeEtcdConfig(path, initial{"node1=https://192.0.2.11:2380,node2=https://192.0.2.12:2380", "existing"}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(got), m.Layout.StateDir, "STATE")
	const golden = "testdata/etcd.yaml.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(golden); err != nil || string(want) != text {
		t.Errorf("%s has changed (%v); if that is right, run the test with -update\n%s", golden, err, text)
	}
}

func TestMayDefragment(t *testing.T) {
	t.Parallel()
	at := func(member int) time.Time { return time.Unix(int64(member)*int64(turn.Seconds()), 0) }
	full := MemberStatus{Bytes: 200 << 20, InUse: 190 << 20}
	loose := MemberStatus{Bytes: 200 << 20, InUse: 50 << 20}
	for name, c := range map[string]struct {
		members []MemberStatus
		own     int
		now     time.Time
		want    bool
	}{
		"its turn":            {[]MemberStatus{full, loose, full}, 1, at(1), true},
		"another's turn":      {[]MemberStatus{full, loose, full}, 1, at(2), false},
		"alone":               {[]MemberStatus{loose}, 0, at(5), true},
		"little to gain":      {[]MemberStatus{full, full, full}, 1, at(1), false},
		"a small one":         {[]MemberStatus{{Bytes: 1 << 20}}, 0, at(0), false},
		"another is not well": {[]MemberStatus{{Error: "timeout"}, loose, full}, 1, at(1), false},
	} {
		if got := mayDefragment(c.members, c.own, c.now); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestMaintain(t *testing.T) {
	t.Parallel()
	own := MemberStatus{Member: Member{Name: "node2"}}
	with := func(inUse int64, alarms ...string) answer {
		s := own
		s.InUse, s.Alarms = inUse, alarms
		return answer{value: []MemberStatus{s}}
	}
	for name, c := range map[string]struct {
		status answer
		asked  string
		want   error
		says   string
	}{
		"all is well":          {status: with(1 << 20), asked: "status"},
		"almost full":          {status: with(quotaBytes), asked: "status", want: ErrAlmostFull, says: "4096 MiB"},
		"an alarm of the past": {status: with(1<<20, "NOSPACE"), asked: "status disarm"},
		"an alarm":             {status: with(quotaBytes, "NOSPACE"), asked: "status", says: "node2: NOSPACE"},
		"two members disagree": {status: with(1<<20, "CORRUPT"), asked: "status", says: "node2: CORRUPT"},
		"not a member":         {status: answer{value: []MemberStatus{{Member: Member{Name: "node1"}}}}, asked: "status", says: "not a member"},
		"nobody can be asked":  {status: answer{err: "no member answers"}, asked: "status", says: "no member answers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMember(t)
			if members, ok := c.status.value.([]MemberStatus); ok {
				members[0].Peer = peerURL(m.Etcd.Address)
			}
			m.answers["status"], m.answers["disarm"] = c.status, answer{value: struct{}{}}
			err := (&etcdMember{params: m.Params}).maintain(t.Context())
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error %v, want %q", err, c.says)
			}
			if asked := strings.Join(m.asked, " "); asked != c.asked {
				t.Errorf("asked %s, want %s", asked, c.asked)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"[+]serializable_read ok\n[-]linearizable_read failed: no leader\nreadyz check failed\n": "linearizable_read failed: no leader",
		"  not found ": "not found",
	} {
		if got := failures(in); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Each member must be able to prove itself to the others and to serve its own API server, whatever else it may do.
func TestEtcdLeaves(t *testing.T) {
	t.Parallel()
	address := netip.MustParseAddr("192.0.2.12")
	for _, l := range EtcdLeaves(address) {
		if l.Authority != pki.EtcdCA {
			t.Errorf("%s is signed by %s", l.Name, l.Authority)
		}
		if l.Server && !slices.Contains(l.Addresses, address) {
			t.Errorf("%s serves, and not at its address", l.Name)
		}
	}
}

func TestPromoteTellsWhyNot(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	m.others = []netip.Addr{netip.MustParseAddr("192.0.2.11")}
	c := &etcdMember{params: m.Params}
	for want, a := range map[string]answer{
		"a third server is needed": {value: Promotion{Voters: 1, Waiting: "a third server is needed"}},
		"a vote: no leader":        {err: "no leader"},
	} {
		m.answers["promote"] = a
		c.promote(context.WithoutCancel(t.Context()))
		if got := c.WaitingFor(); got != want {
			t.Errorf("waiting for %q, want %q", got, want)
		}
	}
}

// A recovery ends with a new generation, later than any that another server has, whoever notices that etcd runs alone.
func TestRecovered(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	m.newest = 3
	m.answers["status"] = answer{value: []MemberStatus{{Member: Member{Name: "node2"}}}}
	if err := AskRecovery(m.Layout); err != nil {
		t.Fatal(err)
	}
	if !m.recovering() {
		t.Error("the recovery is not begun")
	}
	for range 2 { // the second time there is nothing to do
		if err := (&etcdMember{params: m.Params}).maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n, err := Generation(m.Layout); err != nil || n != 4 || m.recovering() {
			t.Errorf("generation %d, still recovering: %t (%v)", n, m.recovering(), err)
		}
	}
}
