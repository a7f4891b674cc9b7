package reset

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"islet/appliance/layout"
)

func tempTarget(t *testing.T) Target {
	t.Helper()
	dir := t.TempDir()
	target := testTarget()
	target.Layout = layout.Layout{EtcDir: dir + "/etc", StateDir: dir + "/state", RunDir: dir + "/run", CNIDir: dir + "/cni/net.d"}
	target.Storage = target.Layout.Storage()
	return target
}

// The first record counts: a later start sees its own traces.
func TestRecordOnce(t *testing.T) {
	t.Parallel()
	needRoot(t)
	target := tempTarget(t)
	l := target.Layout
	if _, err := ReadJournal(l); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("before: %v", err)
	}
	for _, dir := range []string{l.RunDir, l.StateDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(l.StateDir, "lost+found", "x"))
	if err := Record(target, "0.1.0", l.RunDir); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(journalPath(l))
	if err != nil {
		t.Fatal(err)
	}
	if err := Record(target, "0.2.0"); err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(journalPath(l))
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("the journal was written again: %v", err)
	}
	j, err := ReadJournal(l)
	if err != nil {
		t.Fatal(err)
	}
	p := past{known: true, State: j.Before}
	for path, want := range map[string]bool{l.StateDir: true, l.RunDir: false, l.EtcDir: false} {
		if p.had(path) != want {
			t.Errorf("had %s: %v, want %v", path, !want, want)
		}
	}
	if got := j.Before.Paths[l.StateDir].Entries; len(got) != 1 || got[0] != "lost+found" {
		t.Errorf("entries of the state directory: %q", got)
	}
	if j.Target != target || j.BootID == "" || j.Appliance != "0.1.0" || len(j.Before.Mounts) == 0 || len(j.Before.Settings) == 0 || len(j.Before.Links) == 0 {
		t.Errorf("journal lacks something: %+v", j.Target)
	}
}

func TestReadJournalRefuses(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"newer": `{"version":2}`, "empty": ``, "cut short": `{"version":1`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := tempTarget(t).Layout
			write(t, journalPath(l))
			if err := os.WriteFile(journalPath(l), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := New(Target{Layout: l}, Options{}); err == nil || errors.Is(err, ErrNotNode) {
				t.Errorf("got %v; what was here before is unknown then, which must be said", err)
			}
		})
	}
}

func TestFence(t *testing.T) {
	t.Parallel()
	l := tempTarget(t).Layout
	write(t, filepath.Join(l.Journal(), "x"))
	if err := CheckFence(l); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(journalPath(l), []byte(`{"version":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := raiseFence(l, Options{KeepConfig: true}); err != nil {
		t.Fatal(err)
	}
	if err := CheckFence(l); !errors.Is(err, ErrBegun) {
		t.Errorf("got %v, want ErrBegun", err)
	}
	for given, want := range map[Options]Options{{}: {KeepConfig: true}, {KeepVolumes: true}: {KeepVolumes: true}} {
		r, err := New(Target{Layout: l}, given)
		if err != nil || r.options != want {
			t.Errorf("given %+v the next reset has %+v, %v", given, r.options, err)
		}
	}
}

func TestNotNode(t *testing.T) {
	t.Parallel()
	groups, err := observeGroups()
	if err != nil || len(groups) > 0 {
		t.Skipf("this machine is a node, or was: %v %v", groups, err)
	}
	if _, err := New(tempTarget(t), Options{}); !errors.Is(err, ErrNotNode) {
		t.Errorf("got %v, want ErrNotNode", err)
	}
}

func TestDaemonPID(t *testing.T) {
	t.Parallel()
	l := tempTarget(t).Layout
	if pid, err := daemonPID(l); pid != 0 || err != nil {
		t.Errorf("without a lock: %d, %v", pid, err)
	}
	lock, err := takeLock(l)
	if err != nil {
		t.Fatal(err)
	}
	if pid, err := daemonPID(l); pid != os.Getpid() || err != nil {
		t.Errorf("held: %d, %v, want %d", pid, err, os.Getpid())
	}
	if _, err := takeLock(l); err == nil {
		t.Error("the lock was taken twice")
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if pid, err := daemonPID(l); pid != 0 || err != nil {
		t.Errorf("released: %d, %v", pid, err)
	}
}

func TestStopDaemon(t *testing.T) {
	t.Parallel()
	child := exec.CommandContext(t.Context(), "sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	if err := stopDaemon(t.Context(), child.Process.Pid); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil || err.Error() != "signal: terminated" {
		t.Errorf("ended with %v, want SIGTERM", err)
	}
}
