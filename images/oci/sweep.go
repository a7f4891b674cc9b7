package oci

import (
	"fmt"
	"os"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Sweep removes the blobs that the index does not reach, and what was left of interrupted writes.
// It returns how many bytes that freed. A listed manifest that is missing is an error, and then nothing is removed.
func (l *Layout) Sweep() (freed int64, err error) {
	listed, err := l.Index()
	if err != nil {
		return 0, err
	}
	reached := map[string]bool{}
	for _, d := range listed {
		blobs, err := l.Reach(d)
		if err != nil {
			return 0, err
		}
		for _, b := range blobs {
			reached[b.Digest.Encoded()] = true
		}
	}
	entries, err := os.ReadDir(l.blobDir())
	if err != nil {
		return 0, err
	}
	for _, entry := range entries {
		if reached[entry.Name()] {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			return freed, err
		}
		if err := os.Remove(l.Path(digest.NewDigestFromEncoded(digest.SHA256, entry.Name()))); err != nil {
			return freed, err
		}
		freed += info.Size()
	}
	return freed, nil
}

// Reach returns the manifest and every blob that it names: config and layers. Its subject is not part of it.
func (l *Layout) Reach(d v1.Descriptor) ([]v1.Descriptor, error) {
	var manifest v1.Manifest
	if err := l.ReadJSON(d.Digest, &manifest); err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", d.Digest, err)
	}
	return append([]v1.Descriptor{d, manifest.Config}, manifest.Layers...), nil
}
