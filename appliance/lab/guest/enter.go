package guest

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"islet/appliance/lab/hierarchy"
)

// enter builds the host around the calling process, which was cloned into new mount, pid, uts, ipc and network
// namespaces, and executes the keep stage. It returns only with an error.
//
// The cgroup namespace comes last but for the mounts: its root is whatever groups the process is in when it is made.
func enter(spec Spec) error {
	unix.Umask(0o022)
	runtime.LockOSThread() // the cgroup namespace belongs to this thread until execve
	unix.CloseOnExec(lockFD)
	// whatever the tool had inherited and passed on by accident is not for the host
	if err := unix.CloseRange(lockFD+1, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close inherited files: %w", err)
	}
	tree, err := hierarchy.Detect()
	if err != nil {
		return err
	}
	if err := tree.Group(spec.Cgroup).JoinSelf(); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("make cgroup namespace: %w", err)
	}
	if err := unix.Sethostname([]byte(spec.Hostname)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if err := buildRoot(spec, tree); err != nil {
		return err
	}
	if err := pivot(spec.Root); err != nil {
		return err
	}
	if err := tree.SettleInside(); err != nil {
		return err
	}
	if err := awaitGo(); err != nil {
		return err
	}
	keepAcrossExec()
	if err := unix.Exec("/proc/self/exe", []string{Argv0, StageKeep, spec.Label}, Environ()); err != nil {
		return fmt.Errorf("execute the keep stage: %w", err)
	}
	return nil
}

// pivot makes root the root of the mount namespace and drops everything of the machine from it.
func pivot(root string) error {
	if err := os.Chdir(root); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	// both arguments the same: the old root ends up mounted over the new one, see pivot_root(2)
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot root to %s: %w", root, err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("drop the machine's mounts: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	// systemd shares the root mount; volumes with mount propagation rely on it
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share mounts: %w", err)
	}
	return nil
}

// mount is mount(2) on a path below root, creating the directory if it is missing.
func mount(root, source, target, fstype string, flags uintptr, data string) error {
	path := filepath.Join(root, target)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("mount %s: %w", target, err)
	}
	if err := unix.Mount(source, path, fstype, flags, data); err != nil {
		return fmt.Errorf("mount %s on %s: %w", fstype, target, err)
	}
	return nil
}

// bind is a bind mount with flags; the kernel takes flags only in a second step.
func bind(source, target string, flags uintptr) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", source, target, err)
	}
	if flags == 0 {
		return nil
	}
	if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|flags, ""); err != nil {
		return fmt.Errorf("bind %s to %s: set flags: %w", source, target, err)
	}
	return nil
}
