package oci

import (
	"maps"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Layer is a stored layer and the digest of its tar stream before compression, which the image's config lists.
type Layer struct {
	Descriptor v1.Descriptor
	DiffID     digest.Digest
	CreatedBy  string // shown in the image's history
}

// Image says what an image's config says.
type Image struct {
	Platform v1.Platform
	Config   v1.ImageConfig // its labels are also the manifest's annotations
	Created  time.Time
	Layers   []Layer
}

// PutImage stores the image's config and manifest and describes the manifest. The layers are stored already.
func (l *Layout) PutImage(image Image) (v1.Descriptor, error) {
	config := v1.Image{
		Created:  &image.Created,
		Platform: image.Platform,
		Config:   image.Config,
		RootFS:   v1.RootFS{Type: "layers"},
	}
	manifest := v1.Manifest{
		Versioned:   specs.Versioned{SchemaVersion: 2},
		MediaType:   v1.MediaTypeImageManifest,
		Annotations: maps.Clone(image.Config.Labels),
	}
	for _, layer := range image.Layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, layer.DiffID)
		config.History = append(config.History, v1.History{Created: &image.Created, CreatedBy: layer.CreatedBy})
		manifest.Layers = append(manifest.Layers, layer.Descriptor)
	}
	var err error
	if manifest.Config, err = l.PutJSON(v1.MediaTypeImageConfig, config); err != nil {
		return v1.Descriptor{}, err
	}
	d, err := l.PutJSON(v1.MediaTypeImageManifest, manifest)
	d.Platform = &image.Platform
	return d, err
}
