package images

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/bundle"
)

// Run is the build program: args are those after its name. What it does goes to stdout.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parseArgs(args, stderr)
	if err != nil {
		return err
	}
	if o.updateLock {
		return UpdateLock(ctx, filepath.Join(o.root, LockFile), stdout)
	}
	lock, err := ReadLock(o.root)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.cache, 0o755); err != nil {
		return err
	}
	release, err := lockDir(o.cache)
	if err != nil {
		return err
	}
	defer release()
	b, err := newBuilder(ctx, o, lock, slog.New(newProgress(stdout)))
	if err != nil {
		return err
	}
	return b.run(ctx, o)
}

// component is one thing to build.
type component interface {
	id() componentID
	// key identifies everything that the component is made from.
	key(ctx context.Context) (string, error)
	// build stores the component in the layout and returns its index entries, the component itself first.
	build(ctx context.Context, key string) (record, error)
}

type componentID struct {
	kind          bundle.Kind
	name, version string
}

// run builds what the options name, then lists all that is there and removes what no component needs any more.
func (b *builder) run(ctx context.Context, o options) error {
	started := time.Now()
	targets := []struct {
		name string
		list func() ([]component, error)
	}{{"engines", b.engines}, {"images", b.images}, {"manifests", b.manifests}}
	matched := o.only == ""
	for _, target := range targets {
		if o.what != "all" && o.what != target.name {
			continue
		}
		components, err := target.list()
		if err != nil {
			return err
		}
		for _, c := range components {
			if o.only != "" && o.only != c.id().name {
				continue
			}
			matched = true
			if err := b.ensure(ctx, c); err != nil {
				return fmt.Errorf("%s %s: %w", c.id().kind, c.id().name, err)
			}
		}
		if err := b.list(); err != nil { // manifests look their images up in the index
			return err
		}
	}
	if !matched {
		return fmt.Errorf("nothing named %q among %s; the names are in %s", o.only, o.what, LockFile)
	}
	freed, err := b.clean()
	if err != nil {
		return err
	}
	b.log.Info("done", "layout", o.out, "size", mebibytes(b.layoutSize()), "removed", mebibytes(freed), "took", time.Since(started))
	return nil
}

// ensure builds the component unless what was built before is still right and whole.
func (b *builder) ensure(ctx context.Context, c component) error {
	id, started := c.id(), time.Now()
	log := b.log.With("kind", id.kind, "name", id.name)
	key, err := c.key(ctx)
	if err != nil {
		return err
	}
	if known, ok := b.recorded(id); ok && known.Key == key && b.whole(known) {
		log.Info("unchanged", "version", id.version, "size", known.Sizes)
		return nil
	}
	log.Info("building", "version", id.version)
	made, err := c.build(ctx, key)
	if err != nil {
		return err
	}
	if err := b.remember(id, made); err != nil {
		return err
	}
	log.Info("built", "version", id.version, "size", made.Sizes, "digest", made.Entries[0].Digest, "took", time.Since(started))
	return nil
}

// list writes the index from the records of all components of the lock file.
func (b *builder) list() error {
	var entries []v1.Descriptor
	ids, err := b.all()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if known, ok := b.recorded(id); ok && b.whole(known) {
			entries = append(entries, known.Entries...)
		}
	}
	return b.layout.SetIndex(entries)
}

// entry annotates a stored manifest for the index.
func (id componentID) entry(d v1.Descriptor, reference string) v1.Descriptor {
	d.Annotations = map[string]string{
		bundle.AnnotationComponentKind: string(id.kind),
		bundle.AnnotationComponentName: id.name,
		bundle.AnnotationVersion:       id.version,
	}
	if reference != "" {
		d.Annotations[bundle.AnnotationRefName] = reference
	}
	return d
}

// record is what is remembered of a component that was built.
type record struct {
	Key     string          `json:"key"`
	Entries []v1.Descriptor `json:"entries"`
	Sizes   sizes           `json:"sizes"`
	Cached  []string        `json:"cached"` // names of executables in the cache that it is made of
}

// sizes are in bytes.
type sizes struct {
	Raw        int64 `json:"raw"`
	Compressed int64 `json:"compressed"`
}

func (s sizes) String() string {
	return fmt.Sprintf("%s (%s packed)", mebibytes(s.Raw), mebibytes(s.Compressed))
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// whole reports whether all blobs of a component are still in the layout.
func (b *builder) whole(r record) bool {
	for _, entry := range r.Entries {
		if !b.layout.Has(entry) {
			return false
		}
		blobs, err := b.layout.Reach(entry)
		if err != nil || slices.ContainsFunc(blobs, func(d v1.Descriptor) bool { return !b.layout.Has(d) }) {
			return false
		}
	}
	return len(r.Entries) > 0
}
