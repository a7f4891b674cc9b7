package images

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/bundle"
	"islet/images/oci"
	"islet/images/sbom"
)

// unprivileged is the user of every image that does not say why it needs another.
const unprivileged = "65532:65532"

func (b *builder) images() ([]component, error) {
	var out []component
	for _, image := range b.lock.Images {
		out = append(out, imageComponent{b, image})
	}
	return out, nil
}

// imageComponent builds one container image.
type imageComponent struct {
	*builder
	image Image
}

// FullReference is the name under which the image is known everywhere, tag included.
func (m Image) FullReference() string { return m.Reference + ":" + m.Version }

func (c imageComponent) id() componentID {
	return componentID{bundle.KindImage, c.image.Name, c.image.Version}
}

func (c imageComponent) key(context.Context) (string, error) {
	description, err := json.Marshal(c.image)
	if err != nil {
		return "", err
	}
	more := []string{"image", string(description)}
	if c.image.Root != nil {
		root, err := c.lock.rootKey(c.image.Root)
		if err != nil {
			return "", err
		}
		more = append(more, root)
	}
	return c.keyOf(c.image.Files, more...)
}

func (c imageComponent) build(ctx context.Context, key string) (record, error) {
	made := record{Key: key}
	document := sbom.Document{Name: c.image.Reference, Version: c.image.Version, Created: c.lock.Created()}
	var layers []oci.Layer
	for _, file := range c.image.Files {
		e, err := c.executable(ctx, file)
		if err != nil {
			return record{}, err
		}
		layer, size, err := c.layer(ctx, e)
		if err != nil {
			return record{}, fmt.Errorf("layer of %s: %w", file.Path, err)
		}
		parts, err := c.parts(e)
		if err != nil {
			return record{}, err
		}
		layers = append(layers, layer)
		made.Cached = append(made.Cached, e.cached)
		made.Sizes.Raw += size
		made.Sizes.Compressed += layer.Descriptor.Size
		document.Files = append(document.Files, sbom.File{Path: file.Path, Digest: e.digest, Parts: parts})
	}
	if c.image.Root != nil {
		layer, size, files, err := c.rootLayer(ctx)
		if err != nil {
			return record{}, fmt.Errorf("files of Debian packages: %w", err)
		}
		layers = append(layers, layer)
		made.Sizes.Raw += size
		made.Sizes.Compressed += layer.Descriptor.Size
		document.Files = append(document.Files, files...)
	}
	manifest, err := c.layout.PutImage(oci.Image{
		Platform: v1.Platform{OS: "linux", Architecture: "amd64"},
		Config:   c.config(), Created: c.lock.Created(), Layers: layers,
	})
	if err != nil {
		return record{}, err
	}
	document.Subject = manifest.Digest
	bom, err := c.attachSBOM(c.id(), manifest, document)
	made.Entries = []v1.Descriptor{c.id().entry(manifest, c.image.FullReference()), bom}
	return made, err
}

// layer stores one executable and its links as a layer, and returns the size of its tar stream. Each executable has a
// layer of its own, so that images that share one share its bytes.
func (c imageComponent) layer(ctx context.Context, e executable) (oci.Layer, int64, error) {
	entries := []oci.Entry{{Path: e.file.Path, Mode: 0o755, Source: e.path}}
	for _, link := range e.file.Links {
		entries = append(entries, oci.Entry{Path: link, Link: path.Join("/", e.file.Path)})
	}
	return c.tarLayer(ctx, entries, "build /"+e.file.Path)
}

// tarLayer stores entries as a layer, and returns the size of its tar stream.
func (c imageComponent) tarLayer(ctx context.Context, entries []oci.Entry, createdBy string) (oci.Layer, int64, error) {
	write := func(w io.Writer) error { return oci.WriteTar(w, entries, c.lock.Created()) }
	// Written twice: its digest and size say whether it has been packed before.
	var size counter
	diffID := digest.SHA256.Digester()
	if err := write(io.MultiWriter(&size, diffID.Hash())); err != nil {
		return oci.Layer{}, 0, err
	}
	packed, err := c.pack(ctx, v1.MediaTypeImageLayerZstd, diffID.Digest(), int64(size), write)
	return oci.Layer{Descriptor: packed, DiffID: diffID.Digest(), CreatedBy: createdBy}, int64(size), err
}

func (c imageComponent) config() v1.ImageConfig {
	config := v1.ImageConfig{
		User:       cmp.Or(c.image.User, unprivileged),
		Entrypoint: c.image.Entrypoint,
		Env:        c.image.Env,
		WorkingDir: "/",
		StopSignal: c.image.StopSignal,
		Labels: map[string]string{
			v1.AnnotationTitle:    c.image.Title,
			v1.AnnotationVersion:  c.image.Version,
			v1.AnnotationSource:   c.image.Source,
			v1.AnnotationLicenses: c.image.Licenses,
			v1.AnnotationCreated:  c.lock.Created().Format(time.RFC3339),
			v1.AnnotationRefName:  c.image.FullReference(),
		},
	}
	for _, port := range c.image.Ports {
		if config.ExposedPorts == nil {
			config.ExposedPorts = map[string]struct{}{}
		}
		config.ExposedPorts[port] = struct{}{}
	}
	return config
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
