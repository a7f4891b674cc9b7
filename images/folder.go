package images

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"islet/images/debian"
	"islet/images/sbom"
)

// folderKey identifies the folder's description and the packages it is made of.
func (l *Lock) folderKey(folder Folder) (string, error) {
	pinned := []debian.Package{}
	for _, name := range folder.Packages {
		p, err := l.Package(name)
		if err != nil {
			return "", err
		}
		pinned = append(pinned, p)
	}
	key, err := json.Marshal(struct {
		Folder Folder
		Pinned []debian.Package
	}{folder, pinned})
	return string(key), err
}

// folderFiles unpacks the folder's packages and picks its programs, what they open at run time, and the libraries of
// all these: PATH/libexec, PATH/<plugins> and PATH/lib, where cmd/engine/launcher looks for them. cleanup is never nil
// and is called when the files have been read.
func (b *builder) folderFiles(ctx context.Context, folder Folder) (files []engineFile, cleanup func(), err error) {
	root, err := os.MkdirTemp(b.cacheDir, ".folder-*")
	cleanup = func() { os.RemoveAll(root) }
	if err != nil {
		return nil, cleanup, err
	}
	owner, err := b.unpack(ctx, folder.Packages, root)
	if err != nil {
		return nil, cleanup, err
	}
	p := picker{root: root, folder: folder, owner: owner}
	if err := p.programs(); err != nil {
		return nil, cleanup, err
	}
	if err := p.plugins(); err != nil {
		return nil, cleanup, err
	}
	return p.files, cleanup, p.libraries()
}

// unpack puts the packages under root and says which package each file came from.
func (b *builder) unpack(ctx context.Context, packages []string, root string) (map[string]sbom.Component, error) {
	owner := map[string]sbom.Component{}
	for _, name := range packages {
		p, err := b.lock.Package(name)
		if err != nil {
			return nil, err
		}
		deb, err := p.Fetch(ctx, b.cached("deb", ""))
		if err != nil {
			return nil, err
		}
		before, err := regularFiles(root)
		if err != nil {
			return nil, err
		}
		if err := debian.Unpack(ctx, deb, root); err != nil {
			return nil, err
		}
		licenses, err := debian.Licenses(root, name)
		if err != nil {
			return nil, err
		}
		component := sbom.Component{Name: p.Name, Version: p.Version, PURL: p.PURL(b.lock.Debian.Suite), SHA256: p.SHA256, Licenses: licenses}
		after, err := regularFiles(root)
		if err != nil {
			return nil, err
		}
		for file := range after {
			if !before[file] {
				owner[file] = component
			}
		}
	}
	return owner, nil
}

func regularFiles(root string) (map[string]bool, error) {
	files := map[string]bool{}
	return files, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			files[path] = true
		}
		return err
	})
}

// picker collects the files of a folder from unpacked packages.
type picker struct {
	root   string
	folder Folder
	owner  map[string]sbom.Component
	files  []engineFile
}

func (p *picker) add(target, source string, links ...string) error {
	digest, size, err := digestFile(source)
	if err != nil {
		return err
	}
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	p.files = append(p.files, engineFile{
		path: path.Join(p.folder.Path, target), source: source, mode: info.Mode().Perm(), links: links,
		digest: digest, size: size, parts: []sbom.Component{p.owner[source]},
	})
	return nil
}

func (p *picker) programs() error {
	for _, name := range slices.Sorted(maps.Keys(p.folder.Programs)) {
		source, err := debian.Resolve(p.root, p.folder.Programs[name])
		if err != nil {
			return fmt.Errorf("program %s: %w", name, err)
		}
		var links []string
		for _, link := range slices.Sorted(maps.Keys(p.folder.Links)) {
			if p.folder.Links[link] == name {
				links = append(links, path.Join(p.folder.Path, "libexec", link))
			}
		}
		if err := p.add("libexec/"+name, source, links...); err != nil {
			return err
		}
	}
	return nil
}

// plugins adds each plug-in's file once, and the other names it goes by as links.
func (p *picker) plugins() error {
	for _, set := range p.folder.Plugins {
		byFile := map[string][]string{}
		for _, name := range set.Names {
			source, err := debian.Resolve(p.root, path.Join(set.From, name))
			if err != nil {
				return fmt.Errorf("plug-in %s: %w", name, err)
			}
			byFile[source] = append(byFile[source], path.Join(set.Path, name))
		}
		for _, source := range slices.Sorted(maps.Keys(byFile)) {
			names := byFile[source]
			slices.Sort(names)
			var links []string
			for _, other := range names[1:] {
				links = append(links, path.Join(p.folder.Path, other))
			}
			if err := p.add(names[0], source, links...); err != nil {
				return err
			}
		}
	}
	return nil
}

// libraries adds what the files so far need.
func (p *picker) libraries() error {
	var users []string
	for _, file := range p.files {
		users = append(users, file.source)
	}
	found, err := debian.Closure(p.root, users)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if err := p.add("lib/"+name, found[name]); err != nil {
			return err
		}
	}
	return nil
}
