package program

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"go/build"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// Key identifies everything that the executable is made from: how it is built, the compiler, the module's go.mod and
// go.sum, and the sources of the module's own packages that it imports. It takes milliseconds, where asking the go
// command takes seconds. compiler is what the go command says of its version.
func (g Go) Key(root, compiler string) (string, error) {
	dir := filepath.Join(root, g.Dir)
	sum := &sum{lines: slices.Concat([]string{compiler}, g.env(), g.args("out"))}
	if err := sum.files(filepath.Join(dir, "go.mod"), filepath.Join(dir, "go.sum")); err != nil {
		return "", err
	}
	module, err := ModulePath(dir)
	if err != nil {
		return "", err
	}
	own := ownPackages{root: dir, module: module, context: g.buildContext(), seen: map[string]bool{}}
	if local, ok := strings.CutPrefix(g.Package, "."); ok {
		if err := own.visit(module+local, sum); err != nil {
			return "", err
		}
	}
	return sum.String(), nil
}

func (g Go) buildContext() build.Context {
	c := build.Default
	c.GOOS, c.GOARCH, c.CgoEnabled, c.BuildTags = "linux", "amd64", g.CGO, g.Tags
	return c
}

// ModulePath returns the path of the module whose go.mod is in dir.
func ModulePath(dir string) (string, error) {
	content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", err
	}
	path := modfile.ModulePath(content)
	if path == "" {
		return "", fmt.Errorf("%s/go.mod names no module", dir)
	}
	return path, nil
}

// ownPackages walks the imports of a program within its own module.
type ownPackages struct {
	root, module string
	context      build.Context
	seen         map[string]bool
}

func (o ownPackages) visit(importPath string, sum *sum) error {
	if o.seen[importPath] {
		return nil
	}
	o.seen[importPath] = true
	p, err := o.context.ImportDir(filepath.Join(o.root, strings.TrimPrefix(importPath, o.module)), 0)
	if err != nil {
		return err
	}
	embedded, err := embeddedFiles(p)
	if err != nil {
		return err
	}
	for _, name := range slices.Concat(p.GoFiles, p.CgoFiles, p.CFiles, p.HFiles, p.SFiles, embedded) {
		if err := sum.files(filepath.Join(p.Dir, name)); err != nil {
			return err
		}
	}
	for _, imported := range p.Imports {
		if imported == o.module || strings.HasPrefix(imported, o.module+"/") {
			if err := o.visit(imported, sum); err != nil {
				return err
			}
		}
	}
	return nil
}

// embeddedFiles lists what the package embeds, relative to it.
func embeddedFiles(p *build.Package) ([]string, error) {
	var names []string
	for _, pattern := range p.EmbedPatterns {
		matches, err := filepath.Glob(filepath.Join(p.Dir, strings.TrimPrefix(pattern, "all:")))
		if err != nil {
			return nil, err
		}
		for _, match := range matches {
			err := filepath.WalkDir(match, func(path string, entry fs.DirEntry, err error) error {
				if err == nil && entry.Type().IsRegular() {
					names = append(names, strings.TrimPrefix(path, p.Dir))
				}
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return names, nil
}

// Key identifies everything that the executable is made from. compiler is what gcc says of its version.
func (c C) Key(root, compiler string) (string, error) {
	sum := &sum{lines: append([]string{compiler}, c.args("out")...)}
	if err := sum.files(filepath.Join(root, c.Source)); err != nil {
		return "", err
	}
	return sum.String(), nil
}

// sum adds up what a key is made of.
type sum struct{ lines []string }

func (s *sum) files(paths ...string) error {
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && filepath.Base(path) == "go.sum" {
			continue // a module without requirements has none
		}
		if err != nil {
			return err
		}
		digest := sha256.Sum256(content)
		s.lines = append(s.lines, filepath.Base(path)+" "+hex.EncodeToString(digest[:]))
	}
	return nil
}

func (s *sum) String() string {
	digest := sha256.Sum256([]byte(strings.Join(s.lines, "\n")))
	return hex.EncodeToString(digest[:])
}
