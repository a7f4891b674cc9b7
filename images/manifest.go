package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/bundle"
	"islet/images/oci"
)

// ImagesFile is the title of the layer of a manifests component that lists the images it was packed with: a JSON object,
// image name -> full reference with tag and digest.
const ImagesFile = "images.json"

// MediaTypeYAML is the media type of a Kubernetes manifest file.
const MediaTypeYAML = "application/yaml"

// MediaTypeImages is the media type of ImagesFile.
const MediaTypeImages = "application/vnd.islet.images.v1+json"

// manifests lists one component for each folder with manifests; none while there is no such folder.
func (b *builder) manifests() ([]component, error) {
	out, err := b.moduleManifests()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.root, b.lock.Manifests.Dir)
	entries, err := os.ReadDir(dir)
	if b.lock.Manifests.Dir == "" || errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		files, err := filepath.Glob(filepath.Join(dir, entry.Name(), "*.yaml"))
		if err != nil {
			return nil, err
		}
		if len(files) > 0 {
			slices.Sort(files)
			out = append(out, manifestsComponent{b, entry.Name(), files})
		}
	}
	return out, nil
}

// moduleManifests lists the components whose files a Go module carries.
func (b *builder) moduleManifests() ([]component, error) {
	var out []component
	for _, m := range b.lock.Manifests.Modules {
		list := exec.Command("go", "list", "-mod=mod", "-m", "-f", "{{.Dir}}", m.Module)
		list.Dir = filepath.Join(b.root, m.Dir)
		dir, err := list.Output()
		if err != nil {
			return nil, fmt.Errorf("find module %s: %w", m.Module, err)
		}
		files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), m.Files))
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("module %s has no files %s; run `go mod download` in %s", m.Module, m.Files, m.Dir)
		}
		slices.Sort(files)
		out = append(out, manifestsComponent{b, m.Name, files})
	}
	return out, nil
}

// manifestsComponent packs the Kubernetes manifests of one folder.
type manifestsComponent struct {
	*builder
	name  string
	files []string
}

func (c manifestsComponent) id() componentID {
	return componentID{bundle.KindManifest, c.name, c.lock.Manifests.Version}
}

func (c manifestsComponent) key(context.Context) (string, error) {
	_, images, err := c.imageList()
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "%s %s %d %s\n", recipeVersion, c.lock.Manifests.Version, c.lock.SourceDateEpoch, images)
	for _, path := range c.files {
		digest, size, err := digestFile(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(hash, "%s %s %d\n", filepath.Base(path), digest, size)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// imageList returns all images in the layout and the content of ImagesFile for them.
func (c manifestsComponent) imageList() ([]Built, []byte, error) {
	entries, err := c.layout.Index()
	if err != nil {
		return nil, nil, err
	}
	built := builtImages(entries)
	pinned := map[string]string{}
	for _, image := range built {
		pinned[image.Name] = image.Pinned()
	}
	content, err := json.MarshalIndent(pinned, "", "  ")
	return built, content, err
}

func (c manifestsComponent) build(_ context.Context, key string) (record, error) {
	made := record{Key: key}
	built, images, err := c.imageList()
	if err != nil {
		return record{}, err
	}
	var layers []v1.Descriptor
	add := func(mediaType, title string, content []byte) error {
		layer, err := c.layout.PutBytes(mediaType, content)
		layer.Annotations = map[string]string{v1.AnnotationTitle: title}
		layers = append(layers, layer)
		made.Sizes.Raw += layer.Size
		made.Sizes.Compressed += layer.Size
		return err
	}
	for _, path := range c.files {
		content, err := os.ReadFile(path)
		if err != nil {
			return record{}, err
		}
		if err := checkReferences(string(content), built); err != nil {
			return record{}, fmt.Errorf("%s: %w", path, err)
		}
		if err := add(MediaTypeYAML, filepath.Base(path), content); err != nil {
			return record{}, err
		}
	}
	if err := add(MediaTypeImages, ImagesFile, images); err != nil {
		return record{}, err
	}
	manifest, err := c.layout.PutArtifact(oci.Artifact{
		Type:   bundle.ArtifactTypeManifests,
		Layers: layers,
		Annotations: map[string]string{
			v1.AnnotationTitle:   c.name,
			v1.AnnotationVersion: c.lock.Manifests.Version,
			v1.AnnotationCreated: c.lock.Created().Format(time.RFC3339),
		},
	})
	made.Entries = []v1.Descriptor{c.id().entry(manifest, "")}
	return made, err
}
