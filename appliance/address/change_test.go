package address

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"islet/appliance/host"
)

var (
	from   = netip.MustParsePrefix("192.0.2.11/24")
	to     = netip.MustParsePrefix("192.0.2.42/24")
	former = netip.MustParsePrefix("192.0.2.7/24")
)

func TestChangeIsKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "address.json")
	if c, err := Read(path); err != nil || c.State != None || c.Own().IsValid() || c.Other().IsValid() {
		t.Errorf("without a change: %+v, %v", c, err)
	}
	want := Change{State: Trying, Asked: time.Unix(100, 0).UTC(), Interface: "eth0", From: from, To: to, Former: []netip.Addr{former.Addr()}}
	if err := want.Write(path); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(path); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil {
		t.Error("half a file is read")
	}
}

func TestOwnAndOther(t *testing.T) {
	t.Parallel()
	for state, want := range map[State][2]netip.Addr{
		Trying: {to.Addr(), from.Addr()}, Settled: {to.Addr(), {}}, TakenBack: {from.Addr(), {}},
	} {
		c := Change{State: state, From: from, To: to}
		if got := [2]netip.Addr{c.Own(), c.Other()}; got != want {
			t.Errorf("%s: %v, want %v", state, got, want)
		}
	}
}

func TestLeft(t *testing.T) {
	t.Parallel()
	begun := time.Unix(1000, 0)
	c := Change{Started: begun, Deadline: begun.Add(time.Minute)}
	for name, row := range map[string]struct {
		now  time.Duration
		want time.Duration
	}{
		"half of it":          {30 * time.Second, 30 * time.Second},
		"up":                  {2 * time.Minute, -time.Minute},
		"a clock of long ago": {-24 * time.Hour, time.Minute},
	} {
		if got := c.Left(begun.Add(row.now)); got != row.want {
			t.Errorf("%s: %s, want %s", name, got, row.want)
		}
	}
}

// What the machine's own settings give the node must not come back after a second change.
func TestNextRemembersFormerAddresses(t *testing.T) {
	t.Parallel()
	c := Change{}.Next(Change{State: Settled, From: former, To: from})
	c = c.Next(Change{State: Settled, From: from, To: to})
	if !slices.Equal(c.Former, []netip.Addr{former.Addr()}) {
		t.Errorf("%v", c.Former)
	}
	if c = c.Next(Change{State: Trying, From: to, To: former}); !slices.Equal(c.Former, []netip.Addr{from.Addr()}) {
		t.Errorf("on the way back: %v", c.Former)
	}
	taken := Change{State: TakenBack, From: from, To: to}
	if c := taken.Next(Change{From: from, To: former}); len(c.Former) != 0 {
		t.Errorf("after one that was taken back: %v", c.Former)
	}
}

// TestApply follows changes on an interface of its own: what is on it, the primary address first.
func TestApply(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("this makes an interface in a network namespace of its own, which needs root")
	}
	change := func(state State) Change {
		return Change{State: state, Interface: "test0", From: from, To: to, Former: []netip.Addr{former.Addr()}}
	}
	err := host.InNewNamespaces(unix.CLONE_NEWNET, func() error {
		link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "test0"}, PeerName: "test1"}
		if err := netlink.LinkAdd(link); err != nil {
			return err
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return err
		}
		if err := netlink.AddrAdd(link, addrOf(from)); err != nil {
			return err
		}
		for _, step := range []struct {
			name   string
			before []netip.Prefix // that the machine gets by itself
			change Change
			want   []netip.Prefix
		}{
			{"none", nil, Change{}, []netip.Prefix{from}},
			{"another interface", nil, Change{State: Settled, From: from, To: to}, []netip.Prefix{from}},
			{"tried", nil, change(Trying), []netip.Prefix{to, from}},
			{"tried again", nil, change(Trying), []netip.Prefix{to, from}},
			{"taken back", nil, change(TakenBack), []netip.Prefix{from}},
			{"tried once more", nil, change(Trying), []netip.Prefix{to, from}},
			{"settled", nil, change(Settled), []netip.Prefix{to}},
			{"settled, after a power cut", []netip.Prefix{former, from}, change(Settled), []netip.Prefix{to}},
		} {
			for _, p := range step.before {
				if err := netlink.AddrAdd(link, addrOf(p)); err != nil {
					return err
				}
			}
			if err := step.change.Apply(); err != nil {
				t.Errorf("%s: %v", step.name, err)
			}
			all, err := netlink.AddrList(link, netlink.FAMILY_V4)
			if err != nil {
				return err
			}
			var got []netip.Prefix
			for _, a := range all {
				got = append(got, netip.MustParsePrefix(a.IPNet.String()))
			}
			if !slices.Equal(got, step.want) {
				t.Errorf("%s: %v, want %v", step.name, got, step.want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
