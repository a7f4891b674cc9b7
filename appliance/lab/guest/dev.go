package guest

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

type device struct {
	name         string
	major, minor uint32
	mode         uint32
}

// devices are the nodes that a node of the platform needs. Disks, loop devices and consoles belong to the machine.
func devices() []device {
	return []device{
		{"null", 1, 3, 0o666}, {"zero", 1, 5, 0o666}, {"full", 1, 7, 0o666},
		{"random", 1, 8, 0o666}, {"urandom", 1, 9, 0o666}, {"tty", 5, 0, 0o666},
		{"kmsg", 1, 11, 0o644}, // the kubelet watches it for out-of-memory kills
		{"fuse", 10, 229, 0o666}, {"net/tun", 10, 200, 0o666},
	}
}

// buildDev gives the host a /dev of its own.
func buildDev(root string) error {
	if err := mount(root, "tmpfs", "dev", "tmpfs", unix.MS_NOSUID, "mode=755,size=1m"); err != nil {
		return err
	}
	dev := filepath.Join(root, "dev")
	for _, d := range devices() {
		if err := d.make(dev); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
		"ptmx": "pts/ptmx", "core": "/proc/kcore",
	} {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil {
			return fmt.Errorf("link device: %w", err)
		}
	}
	if err := mount(root, "devpts", "dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"); err != nil {
		return err
	}
	if err := mount(root, "tmpfs", "dev/shm", "tmpfs", noDev, "mode=1777"); err != nil {
		return err
	}
	return mount(root, "mqueue", "dev/mqueue", "mqueue", noExec, "")
}

func (d device) make(dev string) error {
	path := filepath.Join(dev, d.name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make device %s: %w", d.name, err)
	}
	if err := unix.Mknod(path, unix.S_IFCHR|d.mode, int(unix.Mkdev(d.major, d.minor))); err != nil {
		return fmt.Errorf("make device %s: %w", d.name, err)
	}
	if err := os.Chmod(path, os.FileMode(d.mode)); err != nil { // mknod is subject to umask
		return fmt.Errorf("make device %s: %w", d.name, err)
	}
	return nil
}
