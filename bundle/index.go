package bundle

import (
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Index is the signed table of contents of a bundle: docs/bundle-format.md section 4.
type Index struct {
	FormatVersion uint32      `json:"formatVersion"`
	Name          string      `json:"name"`
	Version       string      `json:"version"`
	Kind          string      `json:"kind"` // what the bundle is for: platform, application, ...
	Created       time.Time   `json:"created"`
	Archive       Archive     `json:"archive"`
	Blobs         []Blob      `json:"blobs"`      // in the order of their offsets
	Components    []Component `json:"components"` // in the order of kind, name, digest
}

// Archive pins the tar around the blobs.
type Archive struct {
	Size int64 `json:"size"`
	// FrameDigest is over all bytes of the tar but the blobs', in their order: headers, padding, the layout's own files.
	// With the blobs' digests it pins every byte of the archive while each is hashed once.
	FrameDigest digest.Digest `json:"frameDigest"`
}

// Blob is one blob and where its content begins, in bytes from the bundle's start.
type Blob struct {
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
	Offset int64         `json:"offset"`
}

// Component is one thing that a bundle carries. Kind and Name together are unique but for SBOMs, which are named after
// their subject.
type Component struct {
	Kind        Kind              `json:"kind"`
	Name        string            `json:"name"`
	Version     string            `json:"version,omitempty"`
	Reference   string            `json:"reference,omitempty"` // images: the full name, digest or tag included
	Subject     digest.Digest     `json:"subject,omitempty"`   // SBOMs: the manifest that this one describes
	Descriptor  v1.Descriptor     `json:"descriptor"`          // of the manifest or image index; without annotations
	Annotations map[string]string `json:"annotations,omitempty"`
}
