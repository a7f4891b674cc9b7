package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestWriteReplaces(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	for _, c := range []struct {
		data string
		mode os.FileMode
	}{{"old", 0o600}, {"new, longer", 0o644}, {"", 0o640}} {
		if err := Write(path, []byte(c.data), c.mode); err != nil {
			t.Fatal(err)
		}
		have, err := os.ReadFile(path)
		info, statErr := os.Stat(path)
		if err != nil || statErr != nil || string(have) != c.data || info.Mode() != c.mode {
			t.Errorf("%q with mode %v (%v, %v), want %q with %v", have, info.Mode(), err, statErr, c.data, c.mode)
		}
	}
	onlyEntry(t, path)
}

func TestFailedWriteLeavesTheOldFileAlone(t *testing.T) {
	t.Parallel()
	if err := Write(filepath.Join(t.TempDir(), "no/such/dir/file"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("x"), 0o600); err == nil || !strings.HasPrefix(err.Error(), "write "+path) {
		t.Errorf("a directory in the way: %v", err)
	}
	onlyEntry(t, path)
}

func TestWriteIfChanged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := WriteIfChanged(path, []byte("a"), 0o644); err != nil {
		t.Fatal(err)
	}
	past := time.Unix(1_000_000_000, 0)
	if err := os.Chtimes(path, past, past); err != nil {
		t.Fatal(err)
	}
	if err := WriteIfChanged(path, []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || !info.ModTime().Equal(past) || info.Mode() != 0o600 {
		t.Errorf("unchanged content: %v (%v), want the old time and the new mode", info, err)
	}
	if err := WriteIfChanged(path, []byte("b"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "b" {
		t.Errorf("changed content: %q (%v)", data, err)
	}
}

// onlyEntry checks that no temporary file was left beside path.
func onlyEntry(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside %s there are %v (%v)", path, entries, err)
	}
}

func TestSyncDir(t *testing.T) {
	t.Parallel()
	if err := SyncDir(t.TempDir()); err != nil {
		t.Error(err)
	}
	if err := SyncDir("/no/such/dir"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
