package imagefile

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// dockerFile lists the images of an archive in docker's own form.
const dockerFile = "manifest.json"

// dockerImage is one entry of it. The paths are those of entries.
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func (f *File) dockerImages() ([]dockerImage, error) {
	e, known := f.lookup(dockerFile)
	if !known {
		return nil, nil
	}
	var list []dockerImage
	if err := json.Unmarshal(e.json, &list); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, dockerFile, err)
	}
	return list, nil
}

// parseDocker makes manifests for images that come without: config and layers stay what they are, so the image's ID does
// too.
func (f *File) parseDocker() error {
	list, err := f.dockerImages()
	if err != nil {
		return err
	}
	for _, d := range list {
		image, err := f.dockerImage(d)
		if err != nil {
			return err
		}
		f.Images = append(f.Images, image)
	}
	return nil
}

func (f *File) dockerImage(d dockerImage) (Image, error) {
	config, known := f.lookup(d.Config)
	if !known {
		return Image{}, fmt.Errorf("%w: it lacks the config %.200q", ErrDamaged, d.Config)
	}
	var settings v1.Image
	if err := json.Unmarshal(config.json, &settings); err != nil {
		return Image{}, fmt.Errorf("%w: config %.200q: %w", ErrDamaged, d.Config, err)
	}
	if err := checkPlatform(settings.Platform); err != nil {
		return Image{}, err
	}
	if len(settings.RootFS.DiffIDs) != len(d.Layers) {
		return Image{}, fmt.Errorf("%w: %d layers are listed, the config has %d", ErrDamaged, len(d.Layers), len(settings.RootFS.DiffIDs))
	}
	m := v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: config.digest, Size: config.size},
		Layers: []v1.Descriptor{},
	}
	for i, name := range d.Layers {
		layer, known := f.lookup(name)
		if !known {
			return Image{}, fmt.Errorf("%w: it lacks the layer %.200q", ErrDamaged, name)
		}
		mediaType, want := v1.MediaTypeImageLayer, settings.RootFS.DiffIDs[i]
		switch want {
		case layer.digest: // docker saves layers as they are unpacked
		case layer.plain:
			mediaType = v1.MediaTypeImageLayerGzip
		default:
			return Image{}, fmt.Errorf("%w: layer %.200q is %s, not %.100s", ErrDamaged, name, layer.digest, want)
		}
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: mediaType, Digest: layer.digest, Size: layer.size})
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return Image{}, err
	}
	desc := v1.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	return Image{Names: d.RepoTags, Manifests: []Manifest{{desc, raw}}, Blobs: unique(append(m.Layers, m.Config))}, nil
}

// unique drops descriptors of a digest that was there before.
func unique(list []v1.Descriptor) []v1.Descriptor {
	seen := map[digest.Digest]bool{}
	return slices.DeleteFunc(list, func(d v1.Descriptor) bool {
		twice := seen[d.Digest]
		seen[d.Digest] = true
		return twice
	})
}
