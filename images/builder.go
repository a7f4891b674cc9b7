package images

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/bundle"
	"islet/images/compress"
	"islet/images/oci"
	"islet/images/sbom"
)

// recipeVersion is part of every key. Raise it when this package makes something else of the same inputs.
const recipeVersion = "1"

// builder holds what all components are built with.
type builder struct {
	root     string
	cacheDir string
	lock     *Lock
	layout   *oci.Layout
	log      *slog.Logger
	zstd     compress.Zstd

	goVersion, gccVersion, moduleCache string
}

func newBuilder(ctx context.Context, o options, lock *Lock, log *slog.Logger) (*builder, error) {
	b := &builder{root: o.root, cacheDir: o.cache, lock: lock, log: log}
	for _, dir := range []string{"bin", "packed", "record", "deb"} {
		if err := os.MkdirAll(filepath.Join(o.cache, dir), 0o755); err != nil {
			return nil, err
		}
	}
	if err := b.clearUnfinished(); err != nil {
		return nil, err
	}
	var err error
	if b.layout, err = oci.Create(o.out); err != nil {
		return nil, fmt.Errorf("open layout %s: %w", o.out, err)
	}
	environment, err := output(ctx, "go", "env", "GOVERSION", "GOMODCACHE")
	if err != nil {
		return nil, err
	}
	b.goVersion, b.moduleCache, _ = strings.Cut(environment, "\n")
	if b.gccVersion, err = output(ctx, "gcc", "-dumpfullversion", "-dumpmachine"); err != nil {
		return nil, err
	}
	return b, nil
}

// output runs a program and returns what it printed, trimmed.
func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

func (b *builder) cached(kind, name string) string { return filepath.Join(b.cacheDir, kind, name) }

// all lists every component that there should be.
func (b *builder) all() ([]componentID, error) {
	var ids []componentID
	for _, list := range []func() ([]component, error){b.engines, b.images, b.manifests} {
		components, err := list()
		if err != nil {
			return nil, err
		}
		for _, c := range components {
			ids = append(ids, c.id())
		}
	}
	return ids, nil
}

func (b *builder) recordFile(id componentID) string {
	return b.cached("record", string(id.kind)+"-"+id.name+".json")
}

// recorded returns what is remembered of a component. A record that can't be read counts as none.
func (b *builder) recorded(id componentID) (record, bool) {
	var known record
	content, err := os.ReadFile(b.recordFile(id))
	if err != nil || json.Unmarshal(content, &known) != nil {
		return record{}, false
	}
	return known, true
}

func (b *builder) remember(id componentID, made record) error {
	content, err := json.Marshal(made)
	if err != nil {
		return err
	}
	return oci.WriteFile(b.recordFile(id), content, 0o644)
}

// attachSBOM stores the document as a referrer of the component's manifest and returns its index entry.
func (b *builder) attachSBOM(id componentID, subject v1.Descriptor, document sbom.Document) (v1.Descriptor, error) {
	encoded, err := document.Encode()
	if err != nil {
		return v1.Descriptor{}, err
	}
	layer, err := b.layout.PutBytes(sbom.MediaType, encoded)
	if err != nil {
		return v1.Descriptor{}, err
	}
	d, err := b.layout.PutArtifact(oci.Artifact{
		Type: sbom.MediaType, Layers: []v1.Descriptor{layer}, Subject: &subject,
		Annotations: map[string]string{v1.AnnotationCreated: document.Created.Format(time.RFC3339)},
	})
	id.kind = bundle.KindSBOM
	return id.entry(d, ""), err
}
