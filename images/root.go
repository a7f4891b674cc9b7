package images

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"islet/images/debian"
	"islet/images/oci"
	"islet/images/sbom"
)

// libraryDir and loaderDir are where an image has its libraries, and the loader that its programs name.
const (
	libraryDir = "lib/x86_64-linux-gnu"
	loaderDir  = "lib64"
)

// Root takes programs out of Debian packages into an image: each where Debian has it, with the libraries that it needs and the
// copyright files of all packages. There is no shell and no package manager.
type Root struct {
	Packages []string `yaml:"packages"` // of the lock's Debian packages
	Programs []string `yaml:"programs"` // paths in the packages
	// Include are patterns of what the programs open at run time; of a directory all is taken.
	Include []string `yaml:"include,omitempty" json:",omitempty"`
	// Texts are small files of the image's own: path -> content.
	Texts map[string]string `yaml:"texts,omitempty" json:",omitempty"`
}

// rootFiles unpacks the packages and picks what the image gets. cleanup is never nil and is called when the files have been read.
func (b *builder) rootFiles(ctx context.Context, r Root) (files []engineFile, cleanup func(), err error) {
	root, err := os.MkdirTemp(b.cacheDir, ".root-*")
	cleanup = func() { os.RemoveAll(root) }
	if err != nil {
		return nil, cleanup, err
	}
	owner, err := b.unpack(ctx, r.Packages, root)
	if err != nil {
		return nil, cleanup, err
	}
	p := picker{root: root, owner: owner}
	var programs []string
	for _, name := range r.Programs {
		source, err := debian.Resolve(root, name)
		if err != nil {
			return nil, cleanup, fmt.Errorf("program %s: %w", name, err)
		}
		if err := p.add(name, source); err != nil {
			return nil, cleanup, err
		}
		programs = append(programs, source)
	}
	included, err := p.include(r)
	if err != nil {
		return nil, cleanup, err
	}
	return p.files, cleanup, p.rest(r, append(programs, included...))
}

// include adds what the patterns name and the texts, and returns the libraries among it.
func (p *picker) include(r Root) (libraries []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(r.Texts)) {
		source := filepath.Join(p.root, ".texts", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(source), 0o755), os.WriteFile(source, []byte(r.Texts[name]), 0o644)); err != nil {
			return nil, err
		}
		p.owner[source] = sbom.Component{Name: "islet/" + name, Licenses: []string{"Apache-2.0"}}
		if err := p.add(name, source); err != nil {
			return nil, err
		}
	}
	for _, pattern := range r.Include {
		found, err := filepath.Glob(filepath.Join(p.root, pattern))
		if err != nil {
			return nil, fmt.Errorf("include %s: %w", pattern, err)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("include %s: nothing in the packages is called so", pattern)
		}
		for _, file := range found {
			if err := p.includeAll(file, &libraries); err != nil {
				return nil, err
			}
		}
	}
	return libraries, nil
}

// includeAll adds a file, or all below a directory.
func (p *picker) includeAll(from string, libraries *[]string) error {
	return filepath.WalkDir(from, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(p.root, file)
		if err != nil {
			return err
		}
		source, err := debian.Resolve(p.root, name)
		if err != nil {
			return err
		}
		if strings.HasSuffix(name, ".so") {
			*libraries = append(*libraries, source)
		}
		return p.add(name, source)
	})
}

// rest adds the libraries that programs need, and the copyright files.
func (p *picker) rest(r Root, programs []string) error {
	libraries, err := debian.Closure(p.root, programs)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(libraries)) {
		dir := libraryDir
		if name == debian.LoaderName {
			dir = loaderDir
		}
		if err := p.add(path.Join(dir, name), libraries[name]); err != nil {
			return err
		}
	}
	for _, name := range r.Packages {
		file := path.Join("usr/share/doc", name, "copyright")
		source, err := debian.Resolve(p.root, file)
		if err != nil {
			return fmt.Errorf("copyright of %s: %w", name, err)
		}
		if err := p.add(file, source); err != nil {
			return err
		}
	}
	return nil
}

// rootLayer is the layer of what comes from Debian packages, and what is in it.
func (c imageComponent) rootLayer(ctx context.Context) (oci.Layer, int64, []sbom.File, error) {
	files, cleanup, err := c.rootFiles(ctx, *c.image.Root)
	defer cleanup()
	if err != nil {
		return oci.Layer{}, 0, nil, err
	}
	var entries []oci.Entry
	var listed []sbom.File
	for _, f := range files {
		entries = append(entries, oci.Entry{Path: f.path, Mode: f.mode, Source: f.source})
		listed = append(listed, sbom.File{Path: f.path, Digest: f.digest, Parts: f.parts})
	}
	layer, size, err := c.tarLayer(ctx, entries, "unpack Debian packages")
	return layer, size, listed, err
}

// rootKey identifies the description and the packages it is made of.
func (l *Lock) rootKey(r *Root) (string, error) {
	return l.folderKey(Folder{Packages: r.Packages}) // the image's own description has the programs
}
