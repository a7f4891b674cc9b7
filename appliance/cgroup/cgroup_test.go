package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fakeRoot has the given files, as a hierarchy mount would.
func fakeRoot(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		path := filepath.Join(dir, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDetect(t *testing.T) {
	t.Parallel()
	v1 := []string{"cpu,cpuacct/cgroup.procs", "memory/cgroup.procs", "pids/cgroup.procs", "unified/cgroup.controllers", "blkio/cgroup.procs"}
	hybrid := fakeRoot(t, v1...)
	for link, target := range map[string]string{"cpu": "cpu,cpuacct", "cpuacct": "cpu,cpuacct"} {
		if err := os.Symlink(target, filepath.Join(hybrid, link)); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		root    string
		unified bool
		roots   []string
	}{
		"v2":                           {fakeRoot(t, "cgroup.controllers"), true, []string{"."}},
		"hybrid, linked controllers":   {hybrid, false, []string{"cpu,cpuacct", "memory", "pids"}},
		"v1, some controllers missing": {fakeRoot(t, "memory/cgroup.procs"), false, []string{"memory"}},
		"v1, not mounted":              {fakeRoot(t, "memory/x"), false, nil},
		"nothing":                      {t.TempDir(), false, nil},
	} {
		tree, err := detect(c.root, "a")
		if c.roots == nil {
			if err == nil || !strings.Contains(err.Error(), "mount cgroup2 there") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var roots []string
		for _, r := range c.roots {
			roots = append(roots, filepath.Join(c.root, r))
		}
		if err != nil || tree.unified != c.unified || !slices.Equal(tree.roots, roots) {
			t.Errorf("%s: %+v (%v), want %v", name, tree, err, roots)
		}
	}
}

func TestUnifiedGroupsHandControllersDown(t *testing.T) {
	t.Parallel()
	dir := fakeRoot(t, "cgroup.controllers")
	tree, err := detect(dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	group := tree.Group("b")
	for range 2 { // a second time changes nothing
		if err := group.Create(); err != nil {
			t.Fatal(err)
		}
	}
	if group.Path() != "/a/b" || group.UnifiedDir() != filepath.Join(dir, "a/b") {
		t.Errorf("path %s, directory %s", group.Path(), group.UnifiedDir())
	}
	for _, parent := range []string{"", "a"} {
		if _, err := os.Stat(filepath.Join(dir, parent, "cgroup.subtree_control")); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "a/b/cgroup.subtree_control")); err == nil {
		t.Error("the group with the processes hands controllers down: the kernel then refuses its processes")
	}
}

func TestMissingGroupHasNoProcesses(t *testing.T) {
	t.Parallel()
	tree, err := detect(fakeRoot(t, "memory/cgroup.procs"), "a")
	if err != nil {
		t.Fatal(err)
	}
	if pids, err := tree.Group("b").Processes(); err != nil || len(pids) > 0 {
		t.Errorf("%v (%v)", pids, err)
	}
	if err := tree.Group("b").Kill(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if err := tree.Remove(); err != nil {
		t.Error(err)
	}
}

// The kernel's own hierarchies: every version that this machine has mounted.
func TestRealGroups(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("control groups need root")
	}
	for name, at := range map[string]string{"as the node sees them": root, "v2 beside v1": filepath.Join(root, "unified")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree, err := detect(at, fmt.Sprintf("islet-test-%s-%d", filepath.Base(at), os.Getpid()))
			if err != nil {
				t.Skip(err)
			}
			inner, outer := tree.Group("outer/inner"), tree.Group("outer")
			if err := inner.Create(); err != nil {
				t.Skipf("control groups cannot be made here: %v", err)
			}
			t.Cleanup(func() { _ = tree.Remove() }) // again, if the test ended early
			keep, end := sleeper(t, outer), sleeper(t, inner)
			pids, err := outer.Processes()
			slices.Sort(pids)
			want := []int{keep, end}
			slices.Sort(want)
			if err != nil || !slices.Equal(pids, want) {
				t.Errorf("processes %v (%v), want %v", pids, err, want)
			}
			if err := tree.Remove(); err == nil {
				t.Error("removed groups with processes in them")
			}
			if err := outer.Kill(t.Context(), func(pid int) bool { return pid != keep }); err != nil {
				t.Error(err)
			}
			if pids, err := outer.Processes(); err != nil || !slices.Equal(pids, []int{keep}) {
				t.Errorf("processes %v (%v), want %d", pids, err, keep)
			}
			if err := outer.Kill(t.Context(), nil); err != nil {
				t.Error(err)
			}
			if err := tree.Remove(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(tree.roots[0], tree.name)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the tree is still there: %v", err)
			}
		})
	}
}

// sleeper starts a process in the group; it is waited for when the test ends.
func sleeper(t *testing.T, g *Group) int {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "/bin/sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	if err := g.Add(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func TestKillGivesUp(t *testing.T) {
	t.Parallel()
	dir := fakeRoot(t, "memory/cgroup.procs", "memory/a/b/cgroup.procs")
	// A process id beyond the kernel's largest: it cannot be killed, and stays in the list.
	if err := os.WriteFile(filepath.Join(dir, "memory/a/b/cgroup.procs"), []byte("99999999\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tree, err := detect(dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := tree.Group("b").Kill(ctx, nil); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 processes in control group /a/b") {
		t.Errorf("%v", err)
	}
}
