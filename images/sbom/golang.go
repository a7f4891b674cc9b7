package sbom

import (
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"golang.org/x/mod/module"
)

// Modules reads from a Go executable which modules were linked into it. cache is the module cache (GOMODCACHE), where
// the license texts are. The main module comes first, then the standard library.
func Modules(executable, cache string) ([]Component, error) {
	info, err := buildinfo.ReadFile(executable)
	if err != nil {
		return nil, fmt.Errorf("read modules of %s: %w", executable, err)
	}
	parts := []Component{
		moduleComponent(info.Main, cache),
		{Name: "std", Version: strings.TrimPrefix(info.GoVersion, "go"), PURL: "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go"), Licenses: []string{"BSD-3-Clause"}},
	}
	for _, dependency := range info.Deps {
		if dependency.Replace != nil {
			dependency = dependency.Replace
		}
		parts = append(parts, moduleComponent(*dependency, cache))
	}
	return parts, nil
}

func moduleComponent(m debug.Module, cache string) Component {
	c := Component{Name: m.Path, Version: m.Version, PURL: "pkg:golang/" + m.Path + "@" + m.Version}
	if m.Version == "" || m.Version == "(devel)" { // our own
		return Component{Name: m.Path, PURL: "pkg:golang/" + m.Path, Licenses: []string{"Apache-2.0"}}
	}
	c.Licenses = licensesIn(moduleDir(cache, m))
	// "h1:" is a SHA-256 over the module's file list (golang.org/ref/mod, "Authenticating modules").
	if sum, ok := strings.CutPrefix(m.Sum, "h1:"); ok {
		if raw, err := base64.StdEncoding.DecodeString(sum); err == nil {
			c.SHA256 = hex.EncodeToString(raw)
		}
	}
	return c
}

// moduleDir is where the module cache keeps the module; it may be missing.
func moduleDir(cache string, m debug.Module) string {
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return ""
	}
	version, err := module.EscapeVersion(m.Version)
	if err != nil {
		return ""
	}
	return filepath.Join(cache, filepath.FromSlash(path)+"@"+version)
}

// licensesIn recognises the license texts in a module's root directory. None is not an error: the document then says
// nothing about it.
func licensesIn(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var found []string
	for _, entry := range entries {
		name := strings.ToUpper(entry.Name())
		if !strings.HasPrefix(name, "LICENSE") && !strings.HasPrefix(name, "LICENCE") && !strings.HasPrefix(name, "COPYING") {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			continue
		}
		if id := Recognise(string(content)); id != "" {
			found = append(found, id)
		}
	}
	return sortedUnique(found)
}
