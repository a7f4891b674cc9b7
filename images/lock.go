// Package images builds everything that a bundle carries, engines, container images and manifests with their SBOMs,
// from the sources and versions in images/lock.yaml, into one OCI image layout. There is no registry to pull from and no
// container engine is needed.
package images

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"

	"islet/images/debian"
	"islet/images/program"
)

// LockFile is where the lock file is, relative to the repository's root.
const LockFile = "images/lock.yaml"

// Lock is the one place for every version and checksum that is not in a go.mod, and for what is built of them.
type Lock struct {
	Format          int    `yaml:"format"`
	SourceDateEpoch int64  `yaml:"sourceDateEpoch"` // Unix seconds: the time that everything built is dated to
	Debian          Debian `yaml:"debian"`

	Engines   []Engine  `yaml:"engines"`
	Images    []Image   `yaml:"images"`
	Manifests Manifests `yaml:"manifests"`
}

// Debian pins packages of one release.
type Debian struct {
	Suite    string           `yaml:"suite"` // as in package URLs: debian-12
	Packages []debian.Package `yaml:"packages"`
	Sources  []debian.Source  `yaml:"sources,omitempty"`
}

// Manifests says where the platform's Kubernetes manifests are: each folder in dir is one component.
type Manifests struct {
	Dir     string           `yaml:"dir"`
	Modules []ModuleManifest `yaml:"modules,omitempty"`
	Version string           `yaml:"version"`
}

// ModuleManifest is a component whose files are those of a Go module at the version that a go.mod pins.
type ModuleManifest struct {
	Name   string `yaml:"name"`
	Dir    string `yaml:"dir"`    // of the go.mod
	Module string `yaml:"module"` // module path
	Files  string `yaml:"files"`  // pattern below the module's root
}

// File is one file of an engine or image: a program built from source.
type File struct {
	Path  string   `yaml:"path"`            // where it goes, relative to the root
	Links []string `yaml:"links,omitempty"` // symbolic links to it

	// How it is built: exactly one of these.
	Go   *program.Go   `yaml:"go,omitempty"`
	C    *program.C    `yaml:"c,omitempty"`
	Make *program.Make `yaml:"make,omitempty"`
}

// Engine is a set of host programs.
type Engine struct {
	Name    string  `yaml:"name"`
	Version string  `yaml:"version"`
	Files   []File  `yaml:"files,omitempty"`
	Folder  *Folder `yaml:"folder,omitempty"`
	Budget  Budget  `yaml:"budget"`
	Forbid  []Rule  `yaml:"forbid,omitempty"`
}

// Folder takes programs out of Debian packages into a directory that runs on any distribution.
type Folder struct {
	Path     string            `yaml:"path"`              // relative to the engine's root
	Packages []string          `yaml:"packages"`          // of the lock's Debian packages
	Programs map[string]string `yaml:"programs"`          // name in libexec/ -> path in a package
	Links    map[string]string `yaml:"links,omitempty"`   // name in libexec/ -> program that goes by its name
	Plugins  []Plugins         `yaml:"plugins,omitempty"` // what the programs open at run time
}

// Plugins is a directory of shared objects that a program opens by name.
type Plugins struct {
	Path  string   `yaml:"path"`  // relative to the folder
	From  string   `yaml:"from"`  // directory in a package
	Names []string `yaml:"names"` // of the files
}

// Budget is the most that an engine may weigh. Exceeding it fails the build.
type Budget struct {
	RawMiB        float64 `yaml:"rawMiB"`
	CompressedMiB float64 `yaml:"compressedMiB"`
}

// Rule names a package that must not be linked, and why.
type Rule struct {
	Package string `yaml:"package"` // import path; with /... also all below it
	Reason  string `yaml:"reason"`
}

// Image is a container image.
type Image struct {
	Name        string   `yaml:"name"`      // of the component
	Reference   string   `yaml:"reference"` // without the tag, which is the version
	Version     string   `yaml:"version"`
	Title       string   `yaml:"title"`
	Source      string   `yaml:"source"`
	Licenses    string   `yaml:"licenses"`       // SPDX expression
	User        string   `yaml:"user,omitempty"` // numeric; 65532:65532 if empty
	Files       []File   `yaml:"files"`
	Root        *Root    `yaml:"root,omitempty" json:",omitempty"` // what it has from Debian packages
	Entrypoint  []string `yaml:"entrypoint"`
	Env         []string `yaml:"env,omitempty"`
	Ports       []string `yaml:"ports,omitempty"`                        // exposed: 8080/tcp
	StopSignal  string   `yaml:"stopSignal,omitempty" json:",omitempty"` // TERM if empty
	Because     string   `yaml:"because,omitempty"`
	SharesFiles string   `yaml:"sharesFiles,omitempty"` // take the files of that image instead
}

// Created is the time that everything built is dated to.
func (l *Lock) Created() time.Time { return time.Unix(l.SourceDateEpoch, 0).UTC() }

// Package returns the pinned Debian package of that name.
func (l *Lock) Package(name string) (debian.Package, error) {
	for _, p := range l.Debian.Packages {
		if p.Name == name {
			return p, nil
		}
	}
	return debian.Package{}, fmt.Errorf("%s: no Debian package %q under debian.packages", LockFile, name)
}

// Source returns the pinned Debian source of that name.
func (l *Lock) Source(name string) (debian.Source, error) {
	for _, s := range l.Debian.Sources {
		if s.Name == name {
			return s, nil
		}
	}
	return debian.Source{}, fmt.Errorf("%s: no Debian source %q under debian.sources", LockFile, name)
}

// ReadLock reads and checks the lock file of the repository at root, with all versions filled in.
func ReadLock(root string) (*Lock, error) {
	content, err := os.ReadFile(filepath.Join(root, LockFile))
	if err != nil {
		return nil, err
	}
	lock, err := DecodeLock(content)
	if err != nil {
		return nil, err
	}
	return lock, lock.expand(root)
}

// DecodeLock decodes a lock file strictly and reports everything that is wrong with it.
func DecodeLock(content []byte) (*Lock, error) {
	lock := &Lock{}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(lock); err != nil {
		return nil, fmt.Errorf("%s: %w", LockFile, err)
	}
	if err := lock.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", LockFile, err)
	}
	return lock, nil
}
