// Package debian takes programs and libraries out of Debian packages, without installing them.
package debian

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Package is one version of a Debian package, pinned by the lock file.
type Package struct {
	Name    string `yaml:"name"`
	Version string `yaml:"version"`
	Arch    string `yaml:"arch"`
	SHA256  string `yaml:"sha256"` // of the .deb file
}

// ErrChanged is returned for a package whose content is not the one of the lock file.
var ErrChanged = errors.New("is not the file that the lock file pins")

// ErrUnavailable is returned for a package that the machine's package sources do not offer.
var ErrUnavailable = errors.New("is not offered by this machine's package sources")

// PURL is the package's name in the form of the package URL specification.
func (p Package) PURL(suite string) string {
	version := strings.NewReplacer("+", "%2B", ":", "%3A", "~", "~").Replace(p.Version)
	return fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s&distro=%s", p.Name, version, p.Arch, suite)
}

// Fetch makes sure that dir holds the package's .deb file, downloading it if need be, and returns its path.
// The content is checked every time. It needs what `apt-get update` writes.
func (p Package) Fetch(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, p.SHA256+".deb")
	if err := p.check(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	temp, err := os.MkdirTemp(dir, ".get-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	// Sandbox: the unprivileged user that apt would switch to can't write into our directories.
	cmd := exec.CommandContext(ctx, "apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", p.Name+":"+p.Arch+"="+p.Version)
	cmd.Dir = temp
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("download %s %s: %w: run `apt-get update`; if Debian has a newer version now, run the build with --update-lock\n%s",
			p.Name, p.Version, errors.Join(ErrUnavailable, err), bytes.TrimSpace(output))
	}
	files, err := filepath.Glob(filepath.Join(temp, "*.deb"))
	if err != nil || len(files) != 1 {
		return "", fmt.Errorf("download %s: got %d files: %w", p.Name, len(files), err)
	}
	if err := p.check(files[0]); err != nil {
		return "", err
	}
	return path, os.Rename(files[0], path)
}

// check compares the file's content with the package's checksum.
func (p Package) check(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != p.SHA256 {
		return fmt.Errorf("%s %s: %w: sha256 is %s, pinned is %s (%s)", p.Name, p.Version, ErrChanged, got, p.SHA256, path)
	}
	return nil
}

// Unpack puts the files of a .deb under root, as they would be installed.
func Unpack(ctx context.Context, deb, root string) error {
	if output, err := exec.CommandContext(ctx, "dpkg-deb", "-x", deb, root).CombinedOutput(); err != nil {
		return fmt.Errorf("unpack %s: %w: %s", deb, err, bytes.TrimSpace(output))
	}
	return nil
}

// Candidate returns the version of the named package that the machine's package sources offer now.
func Candidate(ctx context.Context, name string) (Package, error) {
	output, err := exec.CommandContext(ctx, "apt-cache", "--no-all-versions", "show", name).Output()
	if err != nil {
		return Package{}, fmt.Errorf("look up %s: %w", name, errors.Join(ErrUnavailable, err))
	}
	return parseRecord(output)
}

// parseRecord reads the first record of `apt-cache show` (deb822).
func parseRecord(record []byte) (Package, error) {
	var p Package
	fields := map[string]*string{"Package": &p.Name, "Version": &p.Version, "Architecture": &p.Arch, "SHA256": &p.SHA256}
	lines := bufio.NewScanner(bytes.NewReader(record))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() && lines.Text() != "" {
		name, value, _ := strings.Cut(lines.Text(), ":")
		if field := fields[name]; field != nil {
			*field = strings.TrimSpace(value)
		}
	}
	if err := lines.Err(); err != nil {
		return Package{}, err
	}
	for name, field := range fields {
		if *field == "" {
			return Package{}, fmt.Errorf("package record of %q lacks %s", p.Name, name)
		}
	}
	return p, nil
}
