package images

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// expand fills in what the lock file leaves to be looked up, so that no version is written down twice:
//
//	${module:PATH}  the version of that module in the go.mod of the component's first Go program
//	${debian:NAME}  the version of that Debian package or source in the lock file
//	${tag:NAME}     the same as an image's tag may have it
//	${version}      the component's version, ${major} and ${minor} of it
//	${date}         sourceDateEpoch in RFC 3339
func (l *Lock) expand(root string) error {
	modules := moduleVersions{root: root, byDir: map[string]map[string]string{}}
	for i := range l.Engines {
		e := &l.Engines[i]
		if err := l.expandComponent(&e.Version, e.Files, modules); err != nil {
			return fmt.Errorf("%s: engine %s: %w", LockFile, e.Name, err)
		}
	}
	for i := range l.Images {
		m := &l.Images[i]
		m.Files = append([]File{}, m.Files...)
		if err := l.expandComponent(&m.Version, m.Files, modules); err != nil {
			return fmt.Errorf("%s: image %s: %w", LockFile, m.Name, err)
		}
	}
	return nil
}

func (l *Lock) expandComponent(version *string, files []File, modules moduleVersions) error {
	x := expansion{lock: l, modules: modules}
	for _, file := range files {
		if file.Go != nil {
			x.dir = file.Go.Dir
			break
		}
	}
	var err error
	if *version, err = x.expand(*version); err != nil {
		return fmt.Errorf("version: %w", err)
	}
	x.version = *version
	for i, file := range files {
		if file.Go != nil {
			g := *file.Go
			if g.Stamps, err = x.expandAll(g.Stamps); err != nil {
				return fmt.Errorf("%s: stamps: %w", file.Path, err)
			}
			files[i].Go = &g
		}
		if file.C != nil {
			c := *file.C
			if c.Defines, err = x.expandAll(c.Defines); err != nil {
				return fmt.Errorf("%s: defines: %w", file.Path, err)
			}
			files[i].C = &c
		}
	}
	return nil
}

// expansion resolves the variables of one component.
type expansion struct {
	lock    *Lock
	modules moduleVersions
	dir     string // module of the component's Go programs
	version string // empty while the version itself is expanded
}

func (x expansion) expand(text string) (string, error) {
	var failed error
	out := os.Expand(text, func(name string) string {
		value, err := x.lookUp(name)
		if err != nil {
			failed = err
		}
		return value
	})
	return out, failed
}

func (x expansion) expandAll(values map[string]string) (map[string]string, error) {
	out := maps.Clone(values)
	for name, value := range out {
		expanded, err := x.expand(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[name] = expanded
	}
	return out, nil
}

func (x expansion) lookUp(name string) (string, error) {
	switch kind, of, _ := strings.Cut(name, ":"); {
	case kind == "module":
		return x.modules.version(x.dir, of)
	case kind == "debian":
		if s, err := x.lock.Source(of); err == nil {
			return s.Version, nil
		}
		p, err := x.lock.Package(of)
		return p.Version, err
	case kind == "tag":
		p, err := x.lock.Package(of)
		return tagOf(p.Version), err
	case name == "date":
		return x.lock.Created().Format(time.RFC3339), nil
	case name == "version" && x.version != "":
		return x.version, nil
	case name == "major" && semver.IsValid(x.version):
		return strings.TrimPrefix(semver.Major(x.version), "v"), nil
	case name == "minor" && semver.IsValid(x.version):
		return strings.TrimPrefix(semver.MajorMinor(x.version), semver.Major(x.version)+"."), nil
	}
	return "", fmt.Errorf("no value for ${%s}", name)
}

// tagOf is a Debian version without its epoch, and with - for the characters that no tag may have.
func tagOf(version string) string {
	if _, rest, ok := strings.Cut(version, ":"); ok {
		version = rest
	}
	return strings.NewReplacer("~", "-", "+", "-").Replace(version)
}

// moduleVersions reads go.mod files, each once.
type moduleVersions struct {
	root  string
	byDir map[string]map[string]string
}

func (m moduleVersions) version(dir, module string) (string, error) {
	if _, ok := m.byDir[dir]; !ok {
		versions, err := requiredVersions(filepath.Join(m.root, dir, "go.mod"))
		if err != nil {
			return "", err
		}
		m.byDir[dir] = versions
	}
	version, ok := m.byDir[dir][module]
	if !ok {
		return "", fmt.Errorf("%s/go.mod does not require %s", dir, module)
	}
	return version, nil
}

func requiredVersions(path string) (map[string]string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	file, err := modfile.Parse(path, content, nil)
	if err != nil {
		return nil, err
	}
	versions := map[string]string{}
	for _, require := range file.Require {
		versions[require.Mod.Path] = require.Mod.Version
	}
	for _, replace := range file.Replace {
		if _, ok := versions[replace.Old.Path]; ok {
			versions[replace.Old.Path] = replace.New.Version
		}
	}
	return versions, nil
}
