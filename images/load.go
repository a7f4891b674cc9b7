package images

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/bundle"
)

// Built is a container image in a layout.
type Built struct {
	Name      string // of the component: coredns
	Version   string
	Reference string        // full, with tag: islet.internal/system/coredns:v1.15.0
	Digest    digest.Digest // of its manifest
}

// Pinned is the reference with tag and digest: what a manifest should say.
func (b Built) Pinned() string { return b.Reference + "@" + b.Digest.String() }

// Load lists the images of a layout that this package built.
func Load(layoutDir string) ([]Built, error) {
	content, err := os.ReadFile(filepath.Join(layoutDir, v1.ImageIndexFile))
	if err != nil {
		return nil, fmt.Errorf("%w; build the layout with `go run ./images/cmd/build`", err)
	}
	var index v1.Index
	if err := json.Unmarshal(content, &index); err != nil {
		return nil, fmt.Errorf("decode index of %s: %w", layoutDir, err)
	}
	return builtImages(index.Manifests), nil
}

func builtImages(entries []v1.Descriptor) []Built {
	var out []Built
	for _, entry := range entries {
		if entry.Annotations[bundle.AnnotationComponentKind] != string(bundle.KindImage) {
			continue
		}
		out = append(out, Built{
			Name:      entry.Annotations[bundle.AnnotationComponentName],
			Version:   entry.Annotations[bundle.AnnotationVersion],
			Reference: entry.Annotations[bundle.AnnotationRefName],
			Digest:    entry.Digest,
		})
	}
	return out
}
