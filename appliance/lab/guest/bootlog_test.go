package guest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBootLogRotates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := openBootLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	l.max = 10
	for _, line := range []string{"1111\n", "2222\n", "3333\n", "4444\n", "5555\n", "6666666666666\n", "7\n", "8\n", "9999999\n", "a\n"} {
		if n, err := l.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatalf("write %q: %d, %v", line, n, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"boot.log": "9999999\na\n", "boot.log.1": "7\n8\n", "boot.log.2": "6666666666666\n", "boot.log.3": "5555\n",
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(want) {
		t.Errorf("%d files, %v, want %d", len(entries), err, len(want))
	}
	for name, content := range want {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != content {
			t.Errorf("%s: %q, %v, want %q", name, got, err, content)
		}
	}
}

func TestBootLogGoesOnWhereItEnded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 2 {
		l, err := openBootLog(dir)
		if err != nil {
			t.Fatal(err)
		}
		l.max = 8
		_, _ = l.Write([]byte("12345\n"))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	old, err := os.ReadFile(filepath.Join(dir, "boot.log.1"))
	if err != nil || strings.Count(string(old), "\n") != 1 {
		t.Errorf("the second open did not count what was there: %q, %v", old, err)
	}
}

func TestBootIDIsAVersion4UUID(t *testing.T) {
	t.Parallel()
	id := newBootID()
	if len(id) != 36 || id[14] != '4' || strings.Count(id, "-") != 4 || id == newBootID() {
		t.Errorf("boot id %q", id)
	}
}
