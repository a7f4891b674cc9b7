package images

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"

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
	return p.files, cleanup, p.rest(r, programs)
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
