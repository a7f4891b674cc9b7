package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/appliance/registry/content"
	"islet/bundle"
	"islet/bundle/trust"
)

// carried is the images of a bundle, served from the file that they came in. They cannot be pushed over.
type carried struct {
	bundle *bundle.Reader // nil where there is none
	repos  map[string]content.Repository
}

// openCarried opens the bundle that the settings name. The caller closes it.
func openCarried(ctx context.Context, s Settings) (*carried, error) {
	c := &carried{repos: map[string]content.Repository{}}
	if s.Bundle == "" {
		return c, nil
	}
	b, err := bundle.Open(s.Bundle, trust.Set{}.Lenient())
	if err != nil {
		return nil, err
	}
	c.bundle = b
	if b.Digest() != s.Digest {
		return nil, errors.Join(fmt.Errorf("%s holds the bundle %s, not %s, which the daemon has checked: restart the appliance", s.Bundle, b.Digest(), s.Digest), b.Close())
	}
	for _, component := range b.Components() {
		if component.Kind != bundle.KindImage {
			continue
		}
		if err := c.add(ctx, component); err != nil {
			return nil, errors.Join(err, b.Close())
		}
	}
	return c, nil
}

// add lists the manifests of an image under its name.
func (c *carried) add(ctx context.Context, image bundle.Component) error {
	name, tag := splitReference(image.Reference)
	if !content.IsName(name) {
		return nil // no registry could serve it by such a name; containerd has it all the same
	}
	r, known := c.repos[name]
	if !known {
		r = content.Repository{Manifests: map[digest.Digest]content.Manifest{}, Tags: map[string]content.Tag{}}
		c.repos[name] = r
	}
	created := c.bundle.Index().Created
	if tag != "" {
		r.Tags[tag] = content.Tag{Digest: image.Descriptor.Digest, Changed: created}
	}
	return c.bundle.Walk(ctx, image.Descriptor, func(d v1.Descriptor) error {
		if strings.Contains(d.MediaType, "manifest") || d.MediaType == v1.MediaTypeImageIndex {
			r.Manifests[d.Digest] = content.Manifest{MediaType: d.MediaType, Size: d.Size, Changed: created}
		}
		return nil
	})
}

// splitReference is the name and the tag of an image; the tag is empty where there is a digest or nothing.
func splitReference(reference string) (name, tag string) {
	name, _, _ = strings.Cut(reference, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		return name[:colon], name[colon+1:]
	}
	return name, ""
}

// manifest returns the verified content of a manifest.
func (c *carried) manifest(ctx context.Context, d digest.Digest) ([]byte, error) {
	return c.bundle.ReadBlob(ctx, d, content.MaxManifest)
}

// blob is any blob of the bundle where it lies, or content.ErrUnknown. It is not verified: who reads it does.
func (c *carried) blob(d digest.Digest) (*io.SectionReader, error) {
	if c.bundle == nil {
		return nil, content.ErrUnknown
	}
	section, err := c.bundle.SectionReader(d)
	if errors.Is(err, bundle.ErrNotFound) {
		err = content.ErrUnknown
	}
	return section, err
}

func (c *carried) close() error {
	if c.bundle == nil {
		return nil
	}
	return c.bundle.Close()
}
