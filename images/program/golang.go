// Package program builds executables so that equal sources give equal bytes on any machine.
package program

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Go says how to build one Go program.
type Go struct {
	Dir     string            `yaml:"dir"`               // of the module, relative to the repository's root
	Package string            `yaml:"package"`           // import path, or ./path of a package of that module
	Tags    []string          `yaml:"tags,omitempty"`    // build tags
	Stamps  map[string]string `yaml:"stamps,omitempty"`  // string variables set by the linker: import/path.Name -> value
	LDFlags []string          `yaml:"ldflags,omitempty"` // further linker flags
	CGO     bool              `yaml:"cgo,omitempty"`     // link C code; needs gcc

	// Programs are main packages to link into one executable that goes by argv[0]: name -> import path.
	// Package is empty then.
	Programs map[string]string `yaml:"programs,omitempty"`
}

// Build makes the executable out. root is the repository's root.
func (g Go) Build(ctx context.Context, root, out string) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	if len(g.Programs) > 0 {
		return g.buildMulticall(ctx, root, out)
	}
	cmd := exec.CommandContext(ctx, "go", g.args(out)...)
	cmd.Dir = filepath.Join(root, g.Dir)
	cmd.Env = append(cleanEnv(os.Environ()), g.env()...)
	return run(cmd)
}

func (g Go) args(out string) []string {
	// -buildid= : the build id is the only thing in the file that would tell where it was built.
	ldflags := append([]string{"-s", "-w", "-buildid="}, g.LDFlags...)
	for _, name := range slices.Sorted(maps.Keys(g.Stamps)) {
		ldflags = append(ldflags, "-X", fmt.Sprintf("'%s=%s'", name, g.Stamps[name]))
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-o", out, "-ldflags", strings.Join(ldflags, " ")}
	if len(g.Tags) > 0 {
		args = append(args, "-tags", strings.Join(g.Tags, ","))
	}
	return append(args, g.packages()...)
}

func (g Go) packages() []string {
	if len(g.Programs) > 0 {
		return slices.Sorted(maps.Values(g.Programs))
	}
	return []string{g.Package}
}

func (g Go) env() []string {
	enabled := "0"
	if g.CGO {
		enabled = "1"
	}
	return []string{"CGO_ENABLED=" + enabled, "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "GOFLAGS=", "GOWORK=off"}
}

// Deps lists the import paths of everything that is linked into the program, itself included.
func (g Go) Deps(ctx context.Context, root string) ([]string, error) {
	args := append([]string{"list", "-deps", "-mod=readonly", "-tags", strings.Join(g.Tags, ",")}, g.packages()...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Join(root, g.Dir)
	cmd.Env = append(cleanEnv(os.Environ()), g.env()...)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	if err := run(cmd); err != nil {
		return nil, err
	}
	return strings.Fields(stdout.String()), nil
}

// cleanEnv drops what could change the result of a compiler without being part of the key.
func cleanEnv(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return strings.HasPrefix(name, "CGO_") || name == "CC" || name == "GOEXPERIMENT" || name == "GOFIPS140"
	})
}

// run runs cmd and puts what it said on stderr into the error.
func run(cmd *exec.Cmd) error {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s in %s: %w\n%s", strings.Join(cmd.Args, " "), cmd.Dir, err, tail(stderr.Bytes(), 4096))
	}
	return nil
}

func tail(b []byte, n int) []byte {
	b = bytes.TrimSpace(b)
	return b[max(0, len(b)-n):]
}
