package join

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"islet/appliance/config"
	"islet/appliance/kube/client/fake"
)

func TestWords(t *testing.T) {
	t.Parallel()
	a, b := KeyOf([]byte("a")), KeyOf([]byte("b"))
	if got := strings.Fields(a.Words()); len(got) != words || a.Words() == b.Words() || a.Words() != KeyOf([]byte("a")).Words() {
		t.Errorf("%q and %q", a.Words(), b.Words())
	}
	// 66 bits of zeros and of ones are the first and the last word of the list.
	for key, want := range map[Key]string{
		Key(strings.Repeat("00", 32)): "abandon", Key(strings.Repeat("ff", 32)): "zoo",
	} {
		if got := strings.Fields(key.Words()); !slices.Equal(got, slices.Repeat([]string{want}, words)) {
			t.Errorf("%q, want %s", got, want)
		}
	}
	for _, bad := range []Key{"", "zz", "00"} {
		if got := bad.Words(); got != "" {
			t.Errorf("%q has the words %q", bad, got)
		}
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	q := Requests{Client: fake.New(), Namespace: "islet-system", Clock: func() time.Time { return at }}
	one := Request{Name: "press2", Address: netip.MustParseAddr("10.77.0.12"), Role: config.RoleAgent, Key: KeyOf([]byte("one"))}
	two := one
	two.Key = KeyOf([]byte("two"))
	ask := func(r Request, want error) Request {
		t.Helper()
		got, err := q.Ask(t.Context(), r)
		if err == nil {
			err = got.Verdict()
		}
		if !errors.Is(err, want) || (want == nil) != (err == nil) {
			t.Fatalf("%v, want %v", err, want)
		}
		return got
	}
	decide := func(r Request, approve bool, want error) {
		t.Helper()
		if _, err := q.Decide(t.Context(), r.Name, r.Key, approve); !errors.Is(err, want) || (want == nil) != (err == nil) {
			t.Fatalf("%v, want %v", err, want)
		}
	}
	decide(one, true, ErrNotMember)
	ask(one, ErrAwaitingApproval)
	at = at.Add(10 * time.Second)
	if again := ask(one, ErrAwaitingApproval); again.Asked.Equal(again.Seen) || !again.Seen.Equal(at) {
		t.Errorf("asked again: %+v", again)
	}
	ask(two, ErrNameTaken) // while the first still waits
	decide(two, true, ErrNameTaken)
	decide(one, false, nil)
	ask(one, ErrNotApproved)
	decide(one, true, nil)
	ask(one, nil)
	at = at.Add(waitsFor + time.Second)
	ask(two, ErrAwaitingApproval) // what was decided about the first does not count for it
	ask(one, ErrNameTaken)
	list, err := q.List(t.Context())
	if err != nil || len(list) != 1 || list[0].Key != two.Key {
		t.Fatalf("%+v, %v", list, err)
	}
	at = at.Add(keepRequests + time.Second)
	if list, err = q.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v: want it forgotten", list, err)
	}
	ask(one, ErrAwaitingApproval)
	if err := q.Remove(t.Context(), one.Name); err != nil {
		t.Fatal(err)
	}
	decide(one, true, ErrNotMember)
}

func TestMembers(t *testing.T) {
	t.Parallel()
	m := Members{Client: fake.New(), Namespace: "islet-system"}
	first, second := KeyOf([]byte("first")), KeyOf([]byte("second"))
	is := func(c Caller, want error) {
		t.Helper()
		if _, err := m.Get(t.Context(), c); !errors.Is(err, want) || (want == nil) != (err == nil) {
			t.Errorf("%+v: %v, want %v", c, err, want)
		}
	}
	is(Caller{Name: "press2", Key: first}, ErrNotMember)
	if err := m.Put(t.Context(), Member{Name: "press2", Keys: []Key{first}}); err != nil {
		t.Fatal(err)
	}
	is(Caller{Name: "press2", Key: first}, nil)
	is(Caller{Name: "press2", Key: second}, ErrNotMember)
	// Renewal: the last few keys stay good, for an answer may be lost.
	for _, next := range []Key{"k1", "k2", second} {
		if err := m.AddKey(t.Context(), Caller{Name: "press2", Key: first}, next); err != nil {
			t.Fatal(err)
		}
	}
	is(Caller{Name: "press2", Key: first}, nil)
	is(Caller{Name: "press2", Key: second}, nil)
	if err := m.AddKey(t.Context(), Caller{Name: "press2", Key: second}, "k4"); err != nil {
		t.Fatal(err)
	}
	is(Caller{Name: "press2", Key: first}, ErrNotMember)
	if err := m.AddKey(t.Context(), Caller{Name: "press2", Key: first}, "k5"); !errors.Is(err, ErrNotMember) {
		t.Error(err)
	}
	// Another machine takes the name: the one before it gets nothing any more.
	if err := m.Put(t.Context(), Member{Name: "press2", Keys: []Key{"other"}}); err != nil {
		t.Fatal(err)
	}
	is(Caller{Name: "press2", Key: second}, ErrNotMember)
	is(Caller{Name: "press2", Key: "other"}, nil)
	if all, err := m.List(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	if err := m.Dismiss(t.Context(), "press2"); err != nil {
		t.Fatal(err)
	}
	is(Caller{Name: "press2", Key: "other"}, ErrRemoved)
	is(Caller{Name: "press2", Key: second}, ErrNotMember)
	if err := errors.Join(m.Remove(t.Context(), "press2"), m.Dismiss(t.Context(), "press2")); err != nil {
		t.Fatal(err)
	}
	is(Caller{Name: "press2", Key: "other"}, ErrNotMember)
}
