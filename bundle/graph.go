package bundle

import (
	"context"
	"encoding/json"
	"fmt"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Docker's names for what OCI later standardized; archives that people bring still carry them.
const (
	mediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	mediaTypeDockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// graph is the part of a manifest or image index that says what it refers to and what it is.
type graph struct {
	ArtifactType string            `json:"artifactType"`
	Config       v1.Descriptor     `json:"config"`
	Layers       []v1.Descriptor   `json:"layers"`
	Manifests    []v1.Descriptor   `json:"manifests"`
	Subject      *v1.Descriptor    `json:"subject"`
	Annotations  map[string]string `json:"annotations"`
}

// readGraph returns nil for a descriptor that is neither a manifest nor an index.
func readGraph(ctx context.Context, s store, desc v1.Descriptor) (*graph, error) {
	switch desc.MediaType {
	case v1.MediaTypeImageManifest, v1.MediaTypeImageIndex, mediaTypeDockerManifest, mediaTypeDockerIndex:
	default:
		return nil, nil
	}
	raw, err := s.ReadBlob(ctx, desc.Digest, MaxManifestSize)
	if err != nil {
		return nil, err
	}
	g := new(graph)
	if err := json.Unmarshal(raw, g); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", short(desc), ErrInvalid, err)
	}
	return g, nil
}
