package reset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// errProtected is returned for a path that no reset may delete, whatever a configuration says.
var errProtected = errors.New("refusing to delete it: it belongs to the system")

// protected are directories that are never deleted, nor anything above them.
func protected() []string {
	return []string{
		"/bin", "/boot", "/dev", "/etc/systemd/system", "/home", "/lib", "/lib64", "/media", "/mnt", "/opt", "/proc", "/root",
		"/run/systemd", "/run/lock", "/sbin", "/srv", "/sys", "/tmp", "/usr/bin", "/usr/lib", "/usr/local/bin", "/usr/local/lib", "/usr/sbin", "/usr/share",
		"/var/cache", "/var/lib/dpkg", "/var/lib/rpm", "/var/lib/systemd", "/var/log", "/var/run", "/var/spool", "/var/tmp",
	}
}

// checkRemovable refuses what can only be a mistake. Links on the way are followed before judging.
func checkRemovable(path string) (resolved string, err error) {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return "", fmt.Errorf("delete %q: want a clean absolute path", path)
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	resolved = filepath.Join(dir, filepath.Base(path))
	for _, p := range []string{path, resolved} {
		if p == "/" || slices.ContainsFunc(protected(), func(s string) bool { return s == p || under(s, p) }) {
			return "", fmt.Errorf("%s: %w", p, errProtected)
		}
	}
	return resolved, nil
}

// removeAll deletes path and everything below it. It never follows a link and never enters another
// mount, not even a bind mount of the same file system: what is mounted stays, and so do the
// directories above it, and the error says so. A path that is not there is deleted already.
func removeAll(ctx context.Context, path string) error {
	path, err := checkRemovable(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	parent, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: filepath.Dir(path), Err: err}
	}
	defer unix.Close(parent)
	return removeAt(ctx, parent, path)
}

// removeAt deletes the last element of path from the directory parent.
func removeAt(ctx context.Context, parent int, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	name := filepath.Base(path)
	err := unix.Unlinkat(parent, name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if !errors.Is(err, unix.EISDIR) {
		return &os.PathError{Op: "delete", Path: path, Err: err}
	}
	if err := emptyAt(ctx, parent, path); err != nil {
		return err
	}
	if err := unix.Unlinkat(parent, name, unix.AT_REMOVEDIR); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "delete", Path: path, Err: err}
	}
	return nil
}

func emptyAt(ctx context.Context, parent int, path string) error {
	fd, err := unix.Openat2(parent, filepath.Base(path), &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_BENEATH,
	})
	if errors.Is(err, unix.EXDEV) {
		return fmt.Errorf("%s: a file system is mounted there; unmount it, or leave it", path)
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	errs := []error{err}
	for _, name := range names {
		if err := removeAt(ctx, fd, filepath.Join(path, name)); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// removeEmpty deletes a directory that others may use, if nobody does.
func removeEmpty(path string) error {
	err := unix.Rmdir(path)
	if err == nil || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EBUSY) {
		return nil
	}
	return &os.PathError{Op: "delete", Path: path, Err: err}
}
