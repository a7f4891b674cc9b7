package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/bundle"
	"islet/images/compress"
	"islet/images/debian"
	"islet/images/oci"
	"islet/images/sbom"
)

// recipeVersion is part of every key. Raise it when this package makes something else of the same inputs.
const recipeVersion = "1"

// compressionLevel is zstd's. 19 is the strongest that unpacks in 8 MiB of memory; above it nothing is gained.
const compressionLevel = 19

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

// pack stores content of a known digest and size compressed, unless that was done before. write may be called or not.
func (b *builder) pack(ctx context.Context, mediaType string, of digest.Digest, size int64, write func(io.Writer) error) (v1.Descriptor, error) {
	if b.zstd.Program == "" {
		if err := b.fetchZstd(ctx); err != nil {
			return v1.Descriptor{}, err
		}
	}
	note := b.cached("packed", of.Encoded()+"-"+b.zstd.ID())
	if content, err := os.ReadFile(note); err == nil {
		var known v1.Descriptor
		if json.Unmarshal(content, &known) == nil && b.layout.Has(known) {
			known.MediaType = mediaType
			return known, nil
		}
	}
	packed, err := b.layout.Put(mediaType, func(dst io.Writer) error {
		src, feed := io.Pipe()
		fed := make(chan error, 1)
		go func() {
			err := write(feed)
			feed.CloseWithError(err) // nil ends the stream; it returns no error
			fed <- err
		}()
		err := b.zstd.Compress(ctx, dst, src, size)
		return errors.Join(err, src.Close(), <-fed)
	})
	if err != nil {
		return v1.Descriptor{}, err
	}
	content, err := json.Marshal(packed)
	if err != nil {
		return v1.Descriptor{}, err
	}
	return packed, oci.WriteFile(note, content, 0o644)
}

// fetchZstd takes the zstd program of the lock file, not this machine's: another version may compress to other bytes.
func (b *builder) fetchZstd(ctx context.Context) error {
	p, err := b.lock.Package("zstd")
	if err != nil {
		return err
	}
	deb, err := p.Fetch(ctx, b.cached("deb", ""))
	if err != nil {
		return err
	}
	dir := b.cached("deb", p.SHA256)
	if err := debian.Unpack(ctx, deb, dir); err != nil {
		return err
	}
	b.zstd = compress.Zstd{Program: filepath.Join(dir, "usr/bin/zstd"), Level: compressionLevel}
	return nil
}

// clean removes blobs and cached executables that no component is made of any more.
func (b *builder) clean() (freed int64, err error) {
	ids, err := b.all()
	if err != nil {
		return 0, err
	}
	var used []string
	for _, id := range ids {
		if known, ok := b.recorded(id); ok {
			used = append(used, known.Cached...)
		}
	}
	entries, err := os.ReadDir(b.cached("bin", ""))
	if err != nil {
		return 0, err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) || slices.Contains(used, entry.Name()) {
			continue
		}
		if err := errors.Join(err, os.Remove(b.cached("bin", entry.Name()))); err != nil {
			return freed, err
		}
		freed += info.Size()
	}
	swept, err := b.layout.Sweep()
	return freed + swept, err
}

// layoutSize is the sum of all blobs.
func (b *builder) layoutSize() int64 {
	var total int64
	seen := map[digest.Digest]bool{}
	entries, err := b.layout.Index()
	if err != nil {
		return 0
	}
	for _, entry := range entries {
		blobs, err := b.layout.Reach(entry)
		if err != nil {
			return 0
		}
		for _, blob := range blobs {
			if !seen[blob.Digest] {
				total += blob.Size
			}
			seen[blob.Digest] = true
		}
	}
	return total
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
