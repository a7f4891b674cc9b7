package lab_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"islet/appliance/lab"
)

// TestCgroupV2Alone runs a lab where /sys/fs/cgroup shows cgroup v2 and nothing else, in a mount namespace that is set up
// like that. On a hybrid machine v2 has no controllers to hand down; all else is as on a v2 machine.
func TestCgroupV2Alone(t *testing.T) {
	t.Parallel()
	layout := newLayout(t)
	if err := os.MkdirAll(layout.StateDir, 0o755); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "/proc/self/exe", layout.StateDir, layout.RunDir, layout.Cgroup)
	command.Env = append(os.Environ(), toolVariable+"=v2")
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if left := traces(t, layout); len(left) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
}

// runOnV2 is the tool that the test starts. Its arguments are those of a layout.
func runOnV2(args []string) (err error) {
	const root = "/sys/fs/cgroup"
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
		return err
	}
	if err := unix.Mount("cgroup2", root, "cgroup2", 0, ""); err != nil {
		return err
	}
	layout := lab.Layout{StateDir: args[0], RunDir: args[1], Cgroup: args[2]}
	ctx := context.Background()
	defer func() { err = errors.Join(err, layout.DownAll(ctx)) }()
	l, err := layout.Up(ctx, lab.Spec{Name: "v2", Hosts: []lab.HostSpec{{Boot: toolService("parent")}}}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	h := l.Hosts()[0]
	for range 2 {
		// the root of the host has no processes, so that it can hand controllers down; commands are beside it
		out, err := h.Output(ctx, "sh", "-c", `grep ^0: /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.procs; mkdir /sys/fs/cgroup/pods; sh -c 'echo $$ >/sys/fs/cgroup/pods/cgroup.procs; grep ^0: /proc/self/cgroup'`)
		if want := "0::/init.scope\n0::/pods"; err != nil || out != want {
			return fmt.Errorf("got %q, %w, want %q", out, err, want)
		}
		pids, err := h.Processes()
		if err != nil || len(pids) < 2 {
			return fmt.Errorf("processes %v: %w", pids, errors.Join(err, errors.New("want PID 1 and the boot command")))
		}
		if err := errors.Join(h.Kill(ctx), h.Start(ctx)); err != nil { // the groups that were made are in the way of nothing
			return err
		}
	}
	return nil
}
