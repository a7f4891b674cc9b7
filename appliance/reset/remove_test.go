package reset

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"islet/appliance/host"
)

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("data"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestRemoveAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	outside, tree := filepath.Join(dir, "outside"), filepath.Join(dir, "tree")
	write(t, filepath.Join(outside, "photo"))
	write(t, filepath.Join(tree, "a", "b", "c", "file"))
	for link, target := range map[string]string{"dir": outside, "file": filepath.Join(outside, "photo"), "a/up": "../.."} {
		if err := os.Symlink(target, filepath.Join(tree, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(tree, "a", "b"), 0); err != nil {
		t.Fatal(err)
	}
	for range 2 { // what is gone is no error
		if err := removeAll(t.Context(), tree); err != nil {
			t.Fatal(err)
		}
	}
	if exists(tree) || !exists(filepath.Join(outside, "photo")) {
		t.Errorf("tree is there: %v; what a link points to: %v", exists(tree), exists(filepath.Join(outside, "photo")))
	}
}

// A mount below the tree is not entered: neither another file system nor a bind mount of the same one.
func TestRemoveAllStopsAtMounts(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := t.TempDir()
	volume, tree := filepath.Join(dir, "volume"), filepath.Join(dir, "tree")
	write(t, filepath.Join(volume, "photo"))
	write(t, filepath.Join(tree, "pods", "file"))
	for _, name := range []string{"bind", "tmpfs"} {
		if err := os.MkdirAll(filepath.Join(tree, "pods", name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	err := host.InNewNamespaces(unix.CLONE_NEWNS, func() error {
		if err := unix.Mount(volume, filepath.Join(tree, "pods", "bind"), "", unix.MS_BIND, ""); err != nil {
			return err
		}
		scratch := filepath.Join(tree, "pods", "tmpfs")
		if err := unix.Mount("tmpfs", scratch, "tmpfs", 0, ""); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(scratch, "file"), nil, 0o644); err != nil {
			return err
		}
		if err := removeAll(t.Context(), tree); err == nil {
			t.Error("no error though something is mounted")
		}
		if !exists(filepath.Join(scratch, "file")) || exists(filepath.Join(tree, "pods", "file")) {
			t.Error("want the mounts left alone, and all else deleted")
		}
		return errors.Join(unmount(scratch), unmount(filepath.Join(tree, "pods", "bind")), unmount(scratch))
	})
	if err != nil {
		t.Fatal(err)
	}
	if !exists(filepath.Join(volume, "photo")) {
		t.Error("the reset went through a bind mount and deleted what is behind it")
	}
	if err := removeAll(t.Context(), tree); err != nil || exists(tree) {
		t.Errorf("after the mounts: %v", err)
	}
}

func TestRemoveAllRefuses(t *testing.T) {
	t.Parallel()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("/", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/var", "/var/lib", "/var/log", "/etc", "/usr", "/usr/local", "/home", "/opt", "/run", "/srv", "/root", "/proc", "/sys", link + "/var"} {
		if _, err := checkRemovable(path); !errors.Is(err, errProtected) {
			t.Errorf("%s: %v, want a refusal", path, err)
		}
	}
	for _, path := range []string{"", "var/lib/appliance", "/var/lib/../lib/appliance", "/var/lib/appliance/"} {
		if _, err := checkRemovable(path); err == nil {
			t.Errorf("%q is accepted", path)
		}
	}
	for _, path := range []string{"/var/lib/appliance", "/run/appliance", "/etc/appliance", "/srv/appliance", "/usr/local/bin/appliance", "/appliance"} {
		if _, err := checkRemovable(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestRemoveAllStopsWhenCancelled(t *testing.T) {
	t.Parallel()
	tree := filepath.Join(t.TempDir(), "tree")
	write(t, filepath.Join(tree, "file"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := removeAll(ctx, tree); !errors.Is(err, context.Canceled) || !exists(filepath.Join(tree, "file")) {
		t.Errorf("got %v", err)
	}
}
