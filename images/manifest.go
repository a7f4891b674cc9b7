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
	var out []component
	for _, m := range b.lock.Manifests.Modules {
		out = append(out, manifestsComponent{builder: b, name: m.Name, module: m})
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
			out = append(out, manifestsComponent{builder: b, name: entry.Name(), files: files})
		}
	}
	return out, nil
}

// manifestsComponent packs the Kubernetes manifests of one folder, or of a Go module.
type manifestsComponent struct {
	*builder
	name   string
	files  []string       // of a folder
	module ModuleManifest // where files is empty
}

// sources lists the files to pack. Those of a module are downloaded when they are first asked for.
func (c manifestsComponent) sources(ctx context.Context) ([]string, error) {
	if len(c.files) > 0 {
		return c.files, nil
	}
	m := c.module
	download := exec.CommandContext(ctx, "go", "mod", "download", "-json", m.Module)
	download.Dir = filepath.Join(c.root, m.Dir)
	answer, err := download.Output()
	if err != nil {
		return nil, fmt.Errorf("download module %s: %w", m.Module, err)
	}
	var at struct{ Dir string }
	if err := json.Unmarshal(answer, &at); err != nil {
		return nil, fmt.Errorf("download module %s: %w", m.Module, err)
	}
	files, err := filepath.Glob(filepath.Join(at.Dir, m.Files))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("module %s has no files %s", m.Module, m.Files)
	}
	slices.Sort(files)
	return files, nil
}

func (c manifestsComponent) id() componentID {
	return componentID{bundle.KindManifest, c.name, c.lock.Manifests.Version}
}

func (c manifestsComponent) key(ctx context.Context) (string, error) {
	files, err := c.sources(ctx)
	if err != nil {
		return "", err
	}
	_, images, err := c.imageList()
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "%s %s %d %s\n", recipeVersion, c.lock.Manifests.Version, c.lock.SourceDateEpoch, images)
	for _, path := range files {
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

func (c manifestsComponent) build(ctx context.Context, key string) (record, error) {
	made := record{Key: key}
	files, err := c.sources(ctx)
	if err != nil {
		return record{}, err
	}
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
	for _, path := range files {
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
