package images

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/bundle"
	"islet/images/oci"
	"islet/images/sbom"
)

// ErrBudget is returned for an engine that has outgrown its budget.
var ErrBudget = errors.New("over its size budget")

func (b *builder) engines() ([]component, error) {
	var out []component
	for _, e := range b.lock.Engines {
		out = append(out, engineComponent{b, e})
	}
	return out, nil
}

// engineComponent builds one engine.
type engineComponent struct {
	*builder
	engine Engine
}

func (c engineComponent) id() componentID {
	return componentID{bundle.KindEngine, c.engine.Name, c.engine.Version}
}

func (c engineComponent) key(context.Context) (string, error) {
	more := []string{"engine", c.engine.Name, c.engine.Version, fmt.Sprint(c.engine.Budget)}
	if c.engine.Folder != nil {
		folder, err := c.lock.folderKey(*c.engine.Folder)
		if err != nil {
			return "", err
		}
		more = append(more, folder)
	}
	return c.keyOf(c.engine.Files, more...)
}

// engineFile is one file to be carried.
type engineFile struct {
	path, source string
	mode         fs.FileMode
	links        []string
	digest       digest.Digest
	size         int64
	parts        []sbom.Component
}

func (c engineComponent) build(ctx context.Context, key string) (record, error) {
	made := record{Key: key}
	var files []engineFile
	for _, file := range c.engine.Files {
		e, err := c.executable(ctx, file)
		if err != nil {
			return record{}, err
		}
		parts, err := c.parts(e)
		if err != nil {
			return record{}, err
		}
		made.Cached = append(made.Cached, e.cached)
		files = append(files, engineFile{
			path: file.Path, source: e.path, mode: 0o755, links: file.Links, digest: e.digest, size: e.size, parts: parts,
		})
	}
	if c.engine.Folder != nil {
		carried, cleanup, err := c.folderFiles(ctx, *c.engine.Folder)
		defer cleanup()
		if err != nil {
			return record{}, err
		}
		files = append(files, carried...)
	}
	manifest, err := c.store(ctx, files, &made.Sizes)
	if err != nil {
		return record{}, err
	}
	if err := c.engine.Budget.check(made.Sizes); err != nil {
		return record{}, err
	}
	bom, err := c.sbom(manifest, files)
	made.Entries = []v1.Descriptor{c.id().entry(manifest, ""), bom}
	return made, err
}

// store puts the files and the engine's manifest into the layout.
func (c engineComponent) store(ctx context.Context, files []engineFile, total *sizes) (v1.Descriptor, error) {
	var layers []v1.Descriptor
	for _, file := range files {
		layer, err := c.pack(ctx, bundle.MediaTypeEngineFile, file.digest, file.size, copyFile(file.source))
		if err != nil {
			return v1.Descriptor{}, fmt.Errorf("pack %s: %w", file.path, err)
		}
		layer.Annotations = file.annotations()
		layers = append(layers, layer)
		total.Raw += file.size
		total.Compressed += layer.Size
	}
	return c.layout.PutArtifact(oci.Artifact{
		Type:   bundle.ArtifactTypeEngine,
		Layers: layers,
		Annotations: map[string]string{
			v1.AnnotationTitle:   c.engine.Name,
			v1.AnnotationVersion: c.engine.Version,
			v1.AnnotationCreated: c.lock.Created().Format(time.RFC3339),
		},
	})
}

func (f engineFile) annotations() map[string]string {
	notes := map[string]string{
		bundle.AnnotationTitle:      f.path,
		bundle.AnnotationFileMode:   fmt.Sprintf("%04o", f.mode),
		bundle.AnnotationFileDigest: string(f.digest),
		bundle.AnnotationFileSize:   strconv.FormatInt(f.size, 10),
	}
	if len(f.links) > 0 {
		notes[bundle.AnnotationFileLinks] = strings.Join(f.links, ",")
	}
	return notes
}

func (c engineComponent) sbom(subject v1.Descriptor, files []engineFile) (v1.Descriptor, error) {
	document := sbom.Document{Name: c.engine.Name, Version: c.engine.Version, Subject: subject.Digest, Created: c.lock.Created()}
	for _, file := range files {
		document.Files = append(document.Files, sbom.File{Path: file.path, Digest: file.digest, Parts: file.parts})
	}
	return c.attachSBOM(c.id(), subject, document)
}

// check returns ErrBudget with the figures if s is too large.
func (m Budget) check(s sizes) error {
	limits := sizes{Raw: int64(m.RawMiB * (1 << 20)), Compressed: int64(m.CompressedMiB * (1 << 20))}
	if s.Raw > limits.Raw || s.Compressed > limits.Compressed {
		return fmt.Errorf("%s, allowed %s: %w; find what was linked with `go version -m` and `go list -deps`, or raise the budget in %s with the reason",
			s, limits, ErrBudget, LockFile)
	}
	return nil
}
