package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// disk is what a host keeps over a power cut: the upper layer over the machine's /, and /var/lib.
type disk struct {
	dir string // the host's directory
}

func (d disk) upper() string  { return filepath.Join(d.dir, "upper") }
func (d disk) work() string   { return filepath.Join(d.dir, "work") }
func (d disk) root() string   { return filepath.Join(d.dir, "root") } // mount point, empty as seen from the machine
func (d disk) varLib() string { return filepath.Join(d.dir, "var-lib") }

// path says where on the machine the host keeps a file that it has written. What it only inherits from the machine is
// not there.
func (d disk) path(inside string) string {
	inside = filepath.Join("/", inside)
	if rest, ok := strings.CutPrefix(inside+"/", "/var/lib/"); ok {
		return filepath.Join(d.varLib(), rest)
	}
	return filepath.Join(d.upper(), inside)
}

// seen lists the directories in / whose content hosts share with the machine. Of everything else hosts see nothing:
// home directories, checkouts, other software and data belong to the machine.
func seen(name string) bool {
	return strings.HasPrefix(name, "lib") || slices.Contains([]string{"bin", "boot", "etc", "sbin", "usr"}, name)
}

// own lists the directories in / that every host has, empty or a mount point, with their modes.
func own() map[string]fs.FileMode {
	return map[string]fs.FileMode{
		"dev": 0o755, "home": 0o755, "media": 0o755, "mnt": 0o755, "opt": 0o755, "proc": 0o555, "root": 0o700, "run": 0o755,
		"srv": 0o755, "sys": 0o555, "tmp": fs.ModeSticky | 0o777, "var": 0o755,
		"var/cache": 0o755, "var/lib": 0o755, "var/log": 0o755, "var/spool": 0o755, "var/tmp": fs.ModeSticky | 0o777,
	}
}

// foreign lists traces that a platform on the machine itself would leave in /etc.
func foreign() []string {
	return []string{"/etc/appliance", "/etc/cni", "/etc/containerd", "/etc/kubernetes", "/etc/rancher"}
}

// create lays out the disk of a new host.
func (d disk) create(hide []string) error {
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return fmt.Errorf("create disk: %w", err)
	}
	for _, dir := range []string{d.upper(), d.work(), d.root(), d.varLib(), filepath.Join(d.dir, "log")} {
		if err := makeDir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := d.checkUsr(); err != nil {
		return err
	}
	owned := own()
	names := make([]string, 0, len(owned))
	for name := range owned {
		names = append(names, name)
	}
	slices.Sort(names) // parents first
	for _, name := range names {
		if err := d.makeOpaque(name, owned[name]); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir("/")
	if err != nil {
		return fmt.Errorf("create disk: %w", err)
	}
	for name, target := range map[string]string{"var/run": "../run", "var/lock": "../run/lock"} {
		if err := os.Symlink(target, filepath.Join(d.upper(), name)); err != nil {
			return fmt.Errorf("create disk: %w", err)
		}
	}
	hidden := slices.Concat(foreign(), hide)
	for _, entry := range entries {
		if _, isOwn := owned[entry.Name()]; !isOwn && !seen(entry.Name()) {
			hidden = append(hidden, "/"+entry.Name())
		}
	}
	for _, path := range hidden {
		if err := d.hide(path); err != nil {
			return err
		}
	}
	return nil
}

// checkUsr refuses a machine whose programs are on a file system of their own: an overlay of / does not see into it.
func (d disk) checkUsr() error {
	var root, usr unix.Stat_t
	if err := errors.Join(unix.Stat("/", &root), unix.Stat("/usr", &usr)); err != nil {
		return fmt.Errorf("look at /usr: %w", err)
	}
	if root.Dev != usr.Dev {
		return errors.New("/usr is a mount of its own on this machine; labs need it on the file system of /")
	}
	return nil
}

// makeDir is mkdir with a mode that the caller's umask does not change: the host sees it.
func makeDir(path string, mode fs.FileMode) error {
	if err := os.Mkdir(path, mode); err != nil {
		return fmt.Errorf("create disk: %w", err)
	}
	if err := os.Chmod(path, mode); err != nil {
		return fmt.Errorf("create disk: %w", err)
	}
	return nil
}

// makeOpaque creates a directory that shows nothing of the machine's directory of that name.
func (d disk) makeOpaque(name string, mode fs.FileMode) error {
	path := filepath.Join(d.upper(), name)
	if err := makeDir(path, mode); err != nil {
		return err
	}
	if err := unix.Lsetxattr(path, "trusted.overlay.opaque", []byte("y"), 0); err != nil {
		return fmt.Errorf("create disk: mark %s opaque (the file system must support trusted xattrs): %w", path, err)
	}
	return nil
}

// hide makes a path of the machine absent in the host.
func (d disk) hide(path string) error {
	real, err := filepath.EvalSymlinks(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("hide %s: %w", path, err)
	}
	path = filepath.Join(real, filepath.Base(path))
	if top, _, below := strings.Cut(strings.TrimPrefix(path, "/"), "/"); below && !seen(top) {
		return nil // nothing of the machine's shows there
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := d.mirrorDir(filepath.Dir(path)); err != nil {
		return err
	}
	// a character device 0/0 is overlayfs's mark for a removed file
	err = unix.Mknod(filepath.Join(d.upper(), path), unix.S_IFCHR, int(unix.Mkdev(0, 0)))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("hide %s: %w", path, err)
	}
	return nil
}
