package server

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"islet/appliance/component"
	"islet/appliance/datastore"
	"islet/appliance/health"
	"islet/appliance/layout"
	"islet/appliance/pki"
	"islet/appliance/version"
)

// judge runs do on a node without problems and returns those that last, as "code subject: detail".
func judge(t *testing.T, do func(n *node)) (out []string) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		n := &node{problems: health.NewTracker(health.Catalogue())}
		defer n.problems.Close()
		do(n)
		time.Sleep(time.Hour) // longer than any problem needs to count
		for _, p := range n.problems.Snapshot() {
			out = append(out, string(p.Code)+" "+p.Subject+": "+p.Detail)
		}
	})
	return out
}

func TestJudgeComponents(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		status component.Status
		want   []string
	}{
		{"ready", component.Status{Name: "kubelet", State: component.Ready}, nil},
		{"stopped for good", component.Status{Name: "kubelet", State: component.Stopped}, nil},
		{"waiting", component.Status{Name: "kubelet", State: component.Waiting, Reason: "waiting for containerd"}, []string{"component-not-ready kubelet: waiting: waiting for containerd"}},
		{"starting, without words", component.Status{Name: "kubelet", State: component.Starting}, []string{"component-not-ready kubelet: starting"}},
		{"degraded", component.Status{Name: "kine", State: component.Degraded, Reason: "slow"}, []string{"component-not-ready kine: degraded: slow"}},
		{"the node", component.Status{Name: nodeName, State: component.Degraded, Reason: "no network"}, []string{"node-not-ready node: degraded: no network"}},
		{"the add-ons", component.Status{Name: addonsName, State: component.Backoff, Reason: "no"}, []string{"addon-failed addons: backoff: no"}},
		{"snapshots", component.Status{Name: datastore.SnapshotsName, State: component.Degraded, Reason: "full"}, []string{"snapshot-failed snapshots: degraded: full"}},
		{"many restarts on request", component.Status{Name: "kubelet", State: component.Ready, Restarts: 99}, nil},
		{"failed a little", component.Status{Name: "kubelet", State: component.Backoff, Failures: 2, Reason: "x"}, []string{"component-not-ready kubelet: backoff: x"}},
		{
			"keeps failing", component.Status{Name: "kubelet", State: component.Backoff, Failures: 3, Reason: "x"},
			[]string{"component-crashing kubelet: backoff: x", "component-not-ready kubelet: backoff: x"},
		},
		{
			"keeps failing, starting just now", component.Status{Name: "kubelet", State: component.Starting, Failures: 3},
			[]string{"component-crashing kubelet: starting", "component-not-ready kubelet: starting"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := judge(t, func(n *node) {
				c.status.Since = time.Now()
				n.judgeComponents([]component.Status{c.status})
			})
			if !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
			gone := judge(t, func(n *node) {
				n.judgeComponents([]component.Status{c.status})
				n.judgeComponents([]component.Status{{Name: c.status.Name, State: component.Ready, Since: time.Now()}})
			})
			if len(gone) > 0 {
				t.Errorf("%q stays when it is ready again", gone)
			}
		})
	}
}

func TestJudgeRestoration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	kept := datastore.Database(layout.Layout{StateDir: dir}) + ".damaged-1"
	if err := os.MkdirAll(filepath.Dir(kept), 0o700); err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{kept: "", kept + ".json": `{"kept": "` + kept + `", "snapshot": "sqlite-1.db", "taken": "2026-11-20T10:00:00Z"}`} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := judge(t, func(n *node) {
		n.layout = layout.Layout{StateDir: dir}
		n.judgeComponents(nil)
	})
	want := []string{"datastore-restored datastore: from the snapshot of 2026-11-20T10:00:00Z; the damaged file is " + kept}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestJudgeSpace(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30 / 4096 // in blocks
	for name, c := range map[string]struct {
		stat unix.Statfs_t
		want []string
	}{
		"plenty":              {unix.Statfs_t{Bsize: 4096, Bavail: 9 * gib, Files: 1000, Ffree: 900}, nil},
		"just enough":         {unix.Statfs_t{Bsize: 4096, Bavail: gib, Files: 1000, Ffree: 50}, nil},
		"bytes low":           {unix.Statfs_t{Bsize: 4096, Bavail: gib - 1, Files: 1000, Ffree: 900}, []string{"disk-bytes-low /x: 1023 MiB free"}},
		"inodes low":          {unix.Statfs_t{Bsize: 4096, Bavail: 9 * gib, Files: 1000, Ffree: 49}, []string{"disk-inodes-low /x: 49 inodes free"}},
		"counts no inodes":    {unix.Statfs_t{Bsize: 4096, Bavail: 9 * gib}, nil},
		"free for root alone": {unix.Statfs_t{Bsize: 4096, Bfree: 9 * gib, Files: 1000, Ffree: 900}, []string{"disk-bytes-low /x: 0 MiB free"}},
	} {
		if got := judge(t, func(n *node) { n.judgeSpace("/x", c.stat) }); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestJudgeCertificates(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	for days, want := range map[int][]string{
		365: nil, 30: nil,
		29: {"certificate-expiring admin: on 2026-06-01"},
		0:  {"certificate-expiring admin: on 2026-06-01"},
		-1: {"certificate-expired admin: on 2026-06-01"},
	} {
		if got := judge(t, func(n *node) { n.judgeCertificates([]pki.Entry{{Name: "admin", DaysLeft: days, NotAfter: at}}) }); !slices.Equal(got, want) {
			t.Errorf("%d days: %q, want %q", days, got, want)
		}
	}
}

func TestJudgeClock(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		built time.Duration // from now
		want  bool
	}{"built before": {-time.Hour, false}, "built after": {time.Hour, true}} {
		got := judge(t, func(n *node) {
			n.Build = version.Info{Date: time.Now().Add(c.built).Format(time.RFC3339)}
			n.judgeClock()
		})
		if (len(got) == 1 && strings.HasPrefix(got[0], "clock-behind ")) != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := judge(t, func(n *node) { n.judgeClock() }); len(got) > 0 {
		t.Errorf("a build without a date: %q", got)
	}
}

func TestJudgeAddress(t *testing.T) {
	t.Parallel()
	n := imagined(t)
	n.judgeAddress() // 192.0.2.11 is on no machine
	if now := n.problems.Snapshot(); len(now) > 0 {
		t.Errorf("%v at once: a cable that is pulled and put back would alarm", now)
	}
	if got := judge(t, func(m *node) { m.derived = n.derived; m.judgeAddress() }); !slices.Equal(got, []string{"address-missing 192.0.2.11: "}) {
		t.Errorf("%q", got)
	}
}
