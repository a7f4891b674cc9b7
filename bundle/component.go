package bundle

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Components returns all components in the order of kind and name.
func (r *Reader) Components() []Component { return r.index.Components }

// Find returns the component of the given kind and name, or ErrNotFound.
func (r *Reader) Find(kind Kind, name string) (Component, error) {
	i := slices.IndexFunc(r.index.Components, func(c Component) bool { return c.Kind == kind && c.Name == name })
	if i < 0 {
		return Component{}, r.refuse(ErrNotFound, "%s %.80q", kind, name)
	}
	return r.index.Components[i], nil
}

// Referrers returns the components (SBOMs) that describe the manifest with the given digest.
func (r *Reader) Referrers(subject digest.Digest) []Component {
	var found []Component
	for _, c := range r.index.Components {
		if c.Subject == subject && subject != "" {
			found = append(found, c)
		}
	}
	return found
}

// Walk calls visit for desc and everything it refers to, each digest once, parents first. It reads the manifests on the
// way and fails with ErrNotFound on the first blob that the bundle lacks. A subject is not followed.
func (r *Reader) Walk(ctx context.Context, desc v1.Descriptor, visit func(v1.Descriptor) error) error {
	return walk(ctx, r, desc, map[digest.Digest]bool{}, visit)
}

// store is what walk needs of a place that holds blobs.
type store interface {
	ReadBlob(ctx context.Context, d digest.Digest, limit int64) ([]byte, error)
	Stat(d digest.Digest) (Blob, error)
}

// walk visits the graph below desc depth first; seen carries over between calls.
func walk(ctx context.Context, s store, desc v1.Descriptor, seen map[digest.Digest]bool, visit func(v1.Descriptor) error) error {
	if seen[desc.Digest] {
		return nil
	}
	seen[desc.Digest] = true
	if err := ctx.Err(); err != nil {
		return err
	}
	b, err := s.Stat(desc.Digest)
	if err != nil {
		return err
	}
	if b.Size != desc.Size {
		return fmt.Errorf("%s has %d bytes, its descriptor says %d: %w", desc.Digest, b.Size, desc.Size, ErrInvalid)
	}
	if err := visit(desc); err != nil {
		return err
	}
	children, err := children(ctx, s, desc)
	if err != nil {
		return err
	}
	for _, child := range children {
		if err := walk(ctx, s, child, seen, visit); err != nil {
			return fmt.Errorf("%s: %w", short(desc), err)
		}
	}
	return nil
}

// children returns what the manifest or index desc refers to, nothing for other media types.
func children(ctx context.Context, s store, desc v1.Descriptor) ([]v1.Descriptor, error) {
	m, err := readGraph(ctx, s, desc)
	if err != nil || m == nil {
		return nil, err
	}
	next := m.Manifests
	if m.Config.Digest != "" {
		next = append(next, m.Config)
	}
	return append(next, m.Layers...), nil
}

// short names a manifest in messages. Both strings come from a file: they are quoted.
func short(desc v1.Descriptor) string {
	return fmt.Sprintf("%.80q %.19q", desc.MediaType, desc.Digest)
}

// complete walks every component and reports all that is missing or cannot be read.
func (r *Reader) complete(ctx context.Context) error {
	var problems []error
	seen := map[digest.Digest]bool{}
	for _, c := range r.index.Components {
		if err := walk(ctx, r, c.Descriptor, seen, func(v1.Descriptor) error { return nil }); err != nil {
			problems = append(problems, fmt.Errorf("%s %s: %w", c.Kind, c.Name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(problems...)
}
