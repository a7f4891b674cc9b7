package program

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// Make says how to build one program of another project's source archive with that project's own configure script. The
// result is static, so that it runs on any distribution, and loaded at a random address.
type Make struct {
	Source    string   `yaml:"source"`    // of the lock's Debian sources
	Configure []string `yaml:"configure"` // options of the configure script
	Program   string   `yaml:"program"`   // what make leaves, relative to the archive's root
}

// flags are the compiler's and the linker's.
var flags = []string{
	"CFLAGS=-Os -fPIE -fstack-protector-strong -D_FORTIFY_SOURCE=2 -ffunction-sections -fdata-sections",
	"LDFLAGS=-static-pie -s -Wl,--gc-sections -Wl,--build-id=none -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack",
	"LC_ALL=C",
}

// Build makes the executable out from the archive.
func (m Make) Build(ctx context.Context, archive, out string) error {
	dir, err := os.MkdirTemp("", "make-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, args := range [][]string{
		{"tar", "--extract", "--file", archive, "--strip-components=1", "--no-same-owner"},
		append([]string{"./configure"}, m.Configure...),
		{"make", "--silent", fmt.Sprintf("--jobs=%d", runtime.NumCPU())},
	} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Dir = dir
		cmd.Env = append(cleanEnv(os.Environ()), flags...)
		if err := run(cmd); err != nil {
			return err
		}
	}
	if err := copyFile(out, filepath.Join(dir, m.Program)); err != nil {
		return err
	}
	return os.Chmod(out, 0o755)
}

// Key identifies everything that the executable is made from. compiler is what gcc says of its version, sha256 the archive's.
func (m Make) Key(compiler, sha256 string) string {
	s := &sum{lines: append([]string{compiler, sha256, m.Program}, flags...)}
	s.lines = append(s.lines, m.Configure...)
	return s.String()
}
