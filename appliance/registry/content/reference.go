package content

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// The media types of Docker's manifests, which are of the same form as OCI's.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// ErrManifest is returned for what is no manifest that this registry takes.
var ErrManifest = errors.New("not a manifest of OCI or of Docker's schema 2")

// References is what a manifest refers to.
type References struct {
	MediaType    string
	ArtifactType string
	Annotations  map[string]string
	Manifests    []v1.Descriptor // of an index
	Blobs        []v1.Descriptor // config and layers, without those that are to be had elsewhere only
	Subject      *v1.Descriptor
}

// ParseManifest reads a manifest or an index. mediaType is what the sender calls it; it may be empty if the content says it.
func ParseManifest(mediaType string, raw []byte) (References, error) {
	var m struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     string            `json:"mediaType"`
		ArtifactType  string            `json:"artifactType"`
		Annotations   map[string]string `json:"annotations"`
		Config        *v1.Descriptor    `json:"config"`
		Layers        []v1.Descriptor   `json:"layers"`
		Manifests     []v1.Descriptor   `json:"manifests"`
		Subject       *v1.Descriptor    `json:"subject"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return References{}, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	mediaType, _, _ = strings.Cut(mediaType, ";")
	if m.MediaType != "" && mediaType != "" && m.MediaType != mediaType {
		return References{}, fmt.Errorf("%w: it is sent as %q and calls itself %q", ErrManifest, mediaType, m.MediaType)
	}
	if mediaType == "" {
		mediaType = m.MediaType
	}
	refs := References{MediaType: mediaType, ArtifactType: m.ArtifactType, Annotations: m.Annotations, Subject: m.Subject}
	switch {
	case m.SchemaVersion != 2:
		return References{}, fmt.Errorf("%w: schema version %d", ErrManifest, m.SchemaVersion)
	case mediaType == v1.MediaTypeImageIndex || mediaType == dockerIndex:
		refs.Manifests = m.Manifests
	case (mediaType == v1.MediaTypeImageManifest || mediaType == dockerManifest) && m.Config != nil:
		if refs.ArtifactType == "" {
			refs.ArtifactType = m.Config.MediaType
		}
		refs.Blobs = append(refs.Blobs, *m.Config)
		for _, layer := range m.Layers {
			if len(layer.URLs) == 0 {
				refs.Blobs = append(refs.Blobs, layer)
			}
		}
	default:
		return References{}, fmt.Errorf("%w: media type %q", ErrManifest, mediaType)
	}
	return refs, refs.check()
}

// check refuses digests that could not be those of a stored blob.
func (r References) check() error {
	all := append(append([]v1.Descriptor{}, r.Manifests...), r.Blobs...)
	if r.Subject != nil {
		all = append(all, *r.Subject)
	}
	for _, d := range all {
		if err := CheckDigest(d.Digest); err != nil {
			return fmt.Errorf("%w: %w", ErrManifest, err)
		}
	}
	return nil
}

// CheckDigest refuses what is not a SHA-256 digest in its one form.
func CheckDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("digest %.100q: %w", string(d), err)
	}
	if d.Algorithm() != digest.SHA256 {
		return fmt.Errorf("digest %.100q: only sha256 is kept here", string(d))
	}
	return nil
}
