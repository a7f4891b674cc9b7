package images

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"islet/images/debian"
)

func TestUpdateLock(t *testing.T) {
	t.Parallel()
	offered, err := debian.Candidate(t.Context(), "zstd")
	if errors.Is(err, debian.ErrUnavailable) {
		t.Skip("needs Debian's package lists: apt-get update")
	}
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "lock.yaml")
	if err := os.WriteFile(path, []byte("# kept\n"+minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	want := strings.Replace("# kept\n"+minimal, `{name: zstd, version: "1", arch: amd64, sha256: `+strings.Repeat("0", 64)+`}`, lockLine(offered), 1)
	for _, says := range []string{"zstd: 1 -> " + offered.Version, "all Debian packages are pinned"} {
		var stdout strings.Builder
		if err := UpdateLock(t.Context(), path, &stdout); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(stdout.String(), says) {
			t.Errorf("said %q, want %q", stdout.String(), says)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("lock file is now %v:\n%s", err, got)
		}
	}
}
