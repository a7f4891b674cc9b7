package program

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// C says how to build one of our own freestanding C programs: one source file, no C library.
type C struct {
	Source  string            `yaml:"source"`            // relative to the repository's root
	Defines map[string]string `yaml:"defines,omitempty"` // macros that are string literals
}

// Build makes the executable out with gcc.
func (c C) Build(ctx context.Context, root, out string) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "gcc", c.args(out)...)
	cmd.Dir = root
	cmd.Env = cleanEnv(os.Environ())
	return run(cmd)
}

func (c C) args(out string) []string {
	args := []string{
		"-std=gnu11", "-Os", "-Wall", "-Wextra", "-Werror",
		"-static", "-nostdlib", "-ffreestanding", "-fno-builtin", "-fno-stack-protector", "-fno-pie", "-no-pie",
		"-fno-asynchronous-unwind-tables", "-Wl,--build-id=none", "-Wl,-z,noexecstack", "-s", "-o", out,
	}
	for _, name := range slices.Sorted(maps.Keys(c.Defines)) {
		args = append(args, fmt.Sprintf("-D%s=%q", name, c.Defines[name]))
	}
	return append(args, c.Source)
}
