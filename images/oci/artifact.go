package oci

import (
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Artifact is something other than an image: a manifest with an artifact type and an empty config
// (image-spec v1.1, manifest.md, "Guidelines for Artifact Usage").
type Artifact struct {
	Type        string
	Layers      []v1.Descriptor // their blobs are in the layout
	Subject     *v1.Descriptor  // what it is about; may be nil
	Annotations map[string]string
}

// PutArtifact stores the artifact's manifest and describes it.
func (l *Layout) PutArtifact(a Artifact) (v1.Descriptor, error) {
	if _, err := l.PutBytes(v1.MediaTypeEmptyJSON, v1.DescriptorEmptyJSON.Data); err != nil {
		return v1.Descriptor{}, err
	}
	empty := v1.DescriptorEmptyJSON
	empty.Data = nil
	d, err := l.PutJSON(v1.MediaTypeImageManifest, v1.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    v1.MediaTypeImageManifest,
		ArtifactType: a.Type,
		Config:       empty,
		Layers:       a.Layers,
		Subject:      bare(a.Subject),
		Annotations:  a.Annotations,
	})
	d.ArtifactType = a.Type
	return d, err
}

// bare drops what is only said in an index.
func bare(d *v1.Descriptor) *v1.Descriptor {
	if d == nil {
		return nil
	}
	return &v1.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}
