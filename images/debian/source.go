package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// Source is the upstream's archive in a Debian source package, pinned by the lock file.
type Source struct {
	Name    string `yaml:"name"`    // of the source package, and of a binary package made of it
	Version string `yaml:"version"` // of the source package
	File    string `yaml:"file"`    // such as NAME_VERSION.orig.tar.gz
	SHA256  string `yaml:"sha256"`  // of that file
	License string `yaml:"license"` // SPDX expression
}

// PURL is the source's name in the form of the package URL specification.
func (s Source) PURL(suite string) string {
	return Package{Name: s.Name, Version: s.Version, Arch: "source"}.PURL(suite)
}

// helper is apt's own downloader; it goes the way that apt is configured to go.
const helper = "/usr/lib/apt/apt-helper"

// printedURI finds the address in what `apt-get download --print-uris` says.
var printedURI = regexp.MustCompile(`(?m)^'([^']+)' `)

// Fetch makes sure that dir holds the archive, downloading it from beside the binary package if need be, and returns its
// path. The content is checked every time. It needs what `apt-get update` writes, but no source index.
func (s Source) Fetch(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, s.SHA256+".source")
	if err := s.check(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	address, err := s.locate(ctx)
	if err != nil {
		return "", err
	}
	temp, err := os.MkdirTemp(dir, ".get-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	got := filepath.Join(temp, s.File)
	cmd := exec.CommandContext(ctx, helper, "-o", "APT::Sandbox::User=root", "download-file", address, got, "SHA256:"+s.SHA256)
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("download %s: %w\n%s", s.File, errors.Join(ErrUnavailable, err), bytes.TrimSpace(output))
	}
	if err := s.check(got); err != nil {
		return "", err
	}
	return path, os.Rename(got, path)
}

// locate asks apt where the binary package is: the files of its source package are in the same place.
func (s Source) locate(ctx context.Context) (string, error) {
	output, err := exec.CommandContext(ctx, "apt-get", "-q", "download", "--print-uris", s.Name).Output()
	match := printedURI.FindSubmatch(output)
	if err != nil || match == nil {
		return "", fmt.Errorf("look up %s: %w: run `apt-get update`", s.Name, errors.Join(ErrUnavailable, err))
	}
	base, err := url.Parse(string(match[1]))
	if err != nil {
		return "", fmt.Errorf("look up %s: %w", s.Name, err)
	}
	return base.ResolveReference(&url.URL{Path: s.File}).String(), nil
}

func (s Source) check(path string) error {
	return Package{Name: s.File, Version: s.Version, SHA256: s.SHA256}.check(path)
}
