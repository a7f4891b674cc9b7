package runtime

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
)

// bind mounts from where the test can see what is mounted.
func bind(t *testing.T) (mounts []mount.Mount, from string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	from = t.TempDir()
	if err := os.WriteFile(filepath.Join(from, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return []mount.Mount{{Type: "bind", Source: from, Options: []string{"rbind", "rw"}}}, from
}

func TestWithMount(t *testing.T) {
	t.Parallel()
	mounts, from := bind(t)
	m := &importer{tmp: t.TempDir()}
	refused := errors.New("no")
	if err := m.withMount(mounts, func(root string) error {
		if _, err := os.Stat(filepath.Join(root, "file")); err != nil {
			t.Error(err)
		}
		return refused
	}); !errors.Is(err, refused) {
		t.Errorf("%v", err)
	}
	if err := m.withMount([]mount.Mount{{Type: "bind", Source: "/no/such/dir", Options: []string{"bind"}}}, func(string) error { return nil }); err == nil {
		t.Error("mounted nothing")
	}
	empty(t, m.tmp)
	if _, err := os.Stat(filepath.Join(from, "file")); err != nil {
		t.Errorf("what was mounted is gone: %v", err)
	}
}

func empty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

func TestClearMounts(t *testing.T) {
	t.Parallel()
	mounts, from := bind(t)
	dir := filepath.Join(t.TempDir(), "tmp")
	for range 2 { // the first time it makes the directory
		if err := clearMounts(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"layer-1", "layer-2"} {
		root := filepath.Join(dir, name)
		if err := os.Mkdir(root, 0o700); err != nil {
			t.Fatal(err)
		}
		if name == "layer-1" {
			if err := mount.All(mounts, root); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := clearMounts(dir); err != nil {
		t.Error(err)
	}
	empty(t, dir)
	if _, err := os.Stat(filepath.Join(from, "file")); err != nil {
		t.Errorf("what was mounted is gone: %v", err)
	}
}
