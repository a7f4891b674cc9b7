package lab_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"islet/appliance/lab"
)

// traces lists all that a lab of the layout could leave on the machine.
func traces(t *testing.T, layout lab.Layout) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{
		layout.StateDir + "/*", layout.StateDir + "/.*", layout.RunDir, "/sys/fs/cgroup/" + layout.Cgroup, "/sys/fs/cgroup/*/" + layout.Cgroup,
	} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, paths...)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, layout.Cgroup) {
			found = append(found, line)
		}
	}
	return append(found, processes(t, layout)...)
}

// processes lists those in a control group of the layout. A zombie whose parent is init counts no more.
func processes(t *testing.T, layout lab.Layout) []string {
	t.Helper()
	groups, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range groups {
		content, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(content), layout.Cgroup) {
			continue
		}
		status, err := os.ReadFile(filepath.Join(filepath.Dir(path), "status"))
		if err != nil { // it has ended since
			continue
		}
		ours := strings.Contains(string(status), fmt.Sprintf("PPid:\t%d\n", os.Getpid()))
		if !strings.Contains(string(status), "State:\tZ") || ours {
			found = append(found, fmt.Sprintf("process %s:\n%s", path, status))
		}
	}
	return found
}

// machineLinks lists the devices of the machine's own network namespace.
func machineLinks(t *testing.T) []string {
	t.Helper()
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, link := range links {
		names = append(names, link.Attrs().Name)
	}
	return names
}

func TestUpAndDownLeaveNoTrace(t *testing.T) {
	t.Parallel()
	layout := newLayout(t)
	links := machineLinks(t)
	l := up(t, layout, lab.Spec{Hosts: []lab.HostSpec{{Boot: toolService("parent")}}}, 3)
	for _, h := range l.Hosts() {
		output(t, h, `mount -t tmpfs x /mnt; mkdir -p /sys/fs/cgroup/memory/a/b; echo $$ >/sys/fs/cgroup/memory/a/b/cgroup.procs
			unshare -pf --mount-proc sleep 1004 >/dev/null 2>&1 </dev/null & ip netns add x`)
	}
	if now := machineLinks(t); !slices.Equal(links, now) {
		t.Errorf("the machine's network devices were %v and are %v", links, now)
	}
	if len(traces(t, layout)) == 0 {
		t.Fatal("the test looks for traces in the wrong places")
	}
	if err := l.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := traces(t, layout); len(left) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
	if now := machineLinks(t); !slices.Equal(links, now) {
		t.Errorf("the machine's network devices were %v and are %v", links, now)
	}
	if err := layout.Down(t.Context(), "t"); err != nil {
		t.Errorf("second down: %v", err)
	}
	if left := traces(t, layout); len(left) > 0 {
		t.Errorf("left behind by the second down:\n%s", strings.Join(left, "\n"))
	}
}

func TestDownOfARunningExecDoesNotHarmTheTool(t *testing.T) {
	t.Parallel()
	l := up(t, newLayout(t), lab.Spec{}, 1)
	h := host(t, l, "node1")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // this very process forks into the lab's control groups all the time
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = h.Output(context.WithoutCancel(t.Context()), "true") // fails as soon as the host is gone
			}
		}
	}()
	err := l.Down(t.Context())
	close(stop)
	<-stopped
	if err != nil {
		t.Error(err)
	}
}

// TestCrashedUpIsCleanedUp kills the tool at random points of an Up; whatever there is by then, DownAll removes it.
func TestCrashedUpIsCleanedUp(t *testing.T) {
	t.Parallel()
	layout := newLayout(t)
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	crashed := 0
	for i := range rounds {
		if err := os.MkdirAll(layout.StateDir, 0o755); err != nil {
			t.Fatal(err)
		}
		tool := exec.CommandContext(t.Context(), "/proc/self/exe", layout.StateDir, layout.RunDir, layout.Cgroup)
		tool.Env = append(os.Environ(), toolVariable+"=up")
		tool.Stderr = os.Stderr
		if err := tool.Start(); err != nil {
			t.Fatal(err)
		}
		// measured from the first trace, so that the process's own start does not count
		eventually(t, func() error {
			_, err := os.Stat(layout.RunDir)
			return err
		})
		delay := rand.N(150 * time.Millisecond)
		time.Sleep(delay)
		if err := tool.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		_ = tool.Wait() // killed, or done before
		if _, err := os.Stat(filepath.Join(layout.StateDir, "done")); err != nil {
			crashed++
		}
		_ = os.Remove(filepath.Join(layout.StateDir, "done"))
		if err := layout.DownAll(t.Context()); err != nil {
			t.Errorf("round %d, killed after %v: %v", i, delay, err)
		}
		if left := traces(t, layout); len(left) > 0 {
			t.Fatalf("round %d, killed after %v, left behind:\n%s", i, delay, strings.Join(left, "\n"))
		}
	}
	t.Logf("%d of %d were killed before they were done", crashed, rounds)
	if crashed == 0 {
		t.Error("no Up was killed on its way; the test proves nothing")
	}
}

// TestRebootOfTheMachine takes away what a boot would: processes, network namespaces and the run directory.
func TestRebootOfTheMachine(t *testing.T) {
	t.Parallel()
	layout := newLayout(t)
	h := host(t, up(t, layout, lab.Spec{}, 1), "node1")
	if err := h.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := unix.Unmount(filepath.Join(layout.RunDir, "t/netns/switch"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(layout.RunDir); err != nil {
		t.Fatal(err)
	}
	l, err := layout.Open("t")
	if err != nil {
		t.Fatal(err)
	}
	h = host(t, l, "node1")
	if status, err := h.Status(t.Context()); err != nil || status.Running {
		t.Errorf("status %+v, %v", status, err)
	}
	for name, do := range map[string]func(context.Context) error{"start": h.Start, "kill": h.Kill, "stop": h.Stop, "cut": h.Cut} {
		if err := do(t.Context()); !errors.Is(err, lab.ErrBroken) {
			t.Errorf("%s: got %v, want ErrBroken", name, err)
		}
	}
	if err := layout.DownAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := traces(t, layout); len(left) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
}

func TestCommandsWaitForEachOther(t *testing.T) {
	t.Parallel()
	layout := newLayout(t)
	h := host(t, up(t, layout, lab.Spec{}, 1), "node1")
	var all errgroup.Group
	for range 8 {
		all.Go(func() error { return h.Kill(t.Context()) })
		all.Go(func() error {
			if err := h.Start(t.Context()); !errors.Is(err, lab.ErrRunning) {
				return err
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
	lock, err := os.Open(filepath.Join(layout.RunDir, "t.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := h.Kill(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "another command") {
		t.Errorf("while another holds the lock: %v", err)
	}
}

func TestDownSparesWhatIsNoLab(t *testing.T) {
	t.Parallel()
	layout := newLayout(t)
	precious := filepath.Join(layout.StateDir, "t", "file")
	if err := os.MkdirAll(filepath.Dir(precious), 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(filepath.Dir(precious))
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := layout.Up(t.Context(), lab.Spec{Name: "t"}, testLog(t)); err == nil {
		t.Error("Up took a directory that is not a lab's")
	}
	if err := layout.Down(t.Context(), "t"); err == nil {
		t.Error("Down of a directory that is not a lab's succeeded")
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}
