package guest

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"islet/appliance/lab/hierarchy"
)

const (
	noExec = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	noDev  = unix.MS_NOSUID | unix.MS_NODEV
)

// buildRoot mounts the host's file systems below spec.Root. All of it lives and dies with the mount namespace.
func buildRoot(spec Spec, tree hierarchy.Tree) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts from spreading to the machine: %w", err)
	}
	root := spec.Root
	// the index and metacopy features tie an upper directory to one lower; the machine's / may change between boots
	options := "lowerdir=/,upperdir=" + spec.Upper + ",workdir=" + spec.Work + ",index=off,metacopy=off"
	if err := unix.Mount("overlay", root, "overlay", 0, options); err != nil {
		return fmt.Errorf("mount overlay of / with upper directory %s (it must be on a real file system, not on an overlay or tmpfs without xattrs): %w",
			spec.Upper, err)
	}
	if err := bind(spec.VarLib, filepath.Join(root, "var/lib"), 0); err != nil {
		return err
	}
	steps := []func() error{
		func() error { return mount(root, "proc", "proc", "proc", noExec, "") },
		func() error { return mount(root, "tmpfs", "tmp", "tmpfs", noDev, "mode=700") },
		func() error { return guardProc(root) },
		func() error { return mount(root, "sysfs", "sys", "sysfs", noExec, "") },
		func() error { return mountCgroups(root, tree) },
		func() error { return remountReadOnly(filepath.Join(root, "sys"), noExec) },
		func() error { return buildDev(root) },
		func() error { return mount(root, "tmpfs", "run", "tmpfs", noDev, "mode=755") },
		func() error { return os.MkdirAll(filepath.Join(root, "run/lock"), 0o755) },
		func() error { return mount(root, "tmpfs", "tmp", "tmpfs", noDev, "mode=1777") },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// remountReadOnly keeps a host from changing what belongs to the whole machine, such as /sys/module.
func remountReadOnly(path string, flags uintptr) error {
	if err := unix.Mount("", path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|flags, ""); err != nil {
		return fmt.Errorf("make %s read-only: %w", path, err)
	}
	return nil
}

func mountCgroups(root string, tree hierarchy.Tree) error {
	for _, inside := range tree.InsideMounts() {
		if err := mount(root, inside.FSType, inside.Target, inside.FSType, noExec, inside.Data); err != nil {
			return err
		}
		target := filepath.Join(root, inside.Target)
		for _, alias := range inside.Aliases {
			if err := os.Symlink(filepath.Base(target), filepath.Join(filepath.Dir(target), alias)); err != nil {
				return fmt.Errorf("link control group hierarchy: %w", err)
			}
		}
	}
	return nil
}
