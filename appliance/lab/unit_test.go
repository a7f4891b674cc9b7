package lab

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	rest := " S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 777 1 2 3"
	for _, test := range []struct {
		name    string
		content string
		want    processStat
		fails   bool
	}{
		{"plain", "42 (sh)" + rest, processStat{'S', 9, 777}, false},
		{"name that looks like more fields", "42 (a) Z 1 (b c)" + rest, processStat{'S', 9, 777}, false},
		{"cut short", "42 (sh) S 1", processStat{}, true},
		{"empty", "", processStat{}, true},
	} {
		got, err := parseStat(test.content)
		if (err != nil) != test.fails || got != test.want {
			t.Errorf("%s: got %+v, %v", test.name, got, err)
		}
	}
}

func TestReadCounters(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "snmp")
	content := "Ip: Forwarding OutNoRoutes\nIp: 2 17\nTcp: RtoMin MaxConn\nTcp: 200 -1\nIp6OutNoRoutes                  \t5\n"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readCounters(path)
	want := map[string]uint64{"Ip.Forwarding": 2, "Ip.OutNoRoutes": 17, "Tcp.RtoMin": 200, "Ip6OutNoRoutes": 5}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestHostsGetFixedAddresses(t *testing.T) {
	t.Parallel()
	spec := Spec{Name: "x", Subnet: netip.MustParsePrefix("10.9.8.77/24"), Hosts: []HostSpec{{}, {Name: "b"}, {}}}
	rec, err := spec.complete()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range rec.Hosts {
		got = append(got, h.Name+" "+h.Addr.String()+" "+h.MAC)
	}
	want := []string{"node1 10.9.8.11 02:69:0a:09:08:0b", "b 10.9.8.12 02:69:0a:09:08:0c", "node3 10.9.8.13 02:69:0a:09:08:0d"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDiskPath(t *testing.T) {
	t.Parallel()
	d := disk{"/d"}
	for inside, want := range map[string]string{
		"/etc/x": "/d/upper/etc/x", "/var/lib/x": "/d/var-lib/x", "/var/lib": "/d/var-lib", "/var/library": "/d/upper/var/library",
		"../../var/lib/../../x": "/d/upper/x", "/": "/d/upper",
	} {
		if got := d.path(inside); got != want {
			t.Errorf("%s is at %s, want %s", inside, got, want)
		}
	}
}

func TestDiffCountsLines(t *testing.T) {
	t.Parallel()
	before := Snapshot{Processes: []string{"a", "b", "b"}, Files: []string{"/x"}}
	after := Snapshot{Processes: []string{"b", "c"}, Files: []string{"/x"}}
	if got, want := before.Diff(after), "processes:\n  - a\n  - b\n  + c\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := before.Diff(before); got != "" {
		t.Errorf("differs from itself: %q", got)
	}
	if n := reflect.TypeFor[Snapshot]().NumField(); n != len(before.sections()) {
		t.Errorf("%d sections of %d are compared", len(before.sections()), n)
	}
	if !strings.Contains((Snapshot{}).Diff(before), "+ /x") {
		t.Error("a gained file is not shown")
	}
}
