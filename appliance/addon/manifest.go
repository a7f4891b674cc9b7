// Package addon applies what the platform runs inside Kubernetes: manifests that the bundle
// carries, filled in for this site, applied server-side, with an inventory so that what a newer
// bundle no longer has is removed.
package addon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"islet/bundle"
)

// imagesFile is the layer that lists the images a component was packed with.
const imagesFile = "images.json"

// manifestLimit bounds one file of manifests, which is held in memory.
const manifestLimit = 4 << 20

// Component is one add-on as the bundle carries it.
type Component struct {
	Name    string
	Version string
	Digest  string
	Files   []File
	// Images maps an image's name to its full reference with tag and digest.
	Images map[string]string
}

// File is one manifest file, not filled in yet.
type File struct {
	Name    string
	Content []byte
}

// Load reads every manifest component of the bundle.
func Load(ctx context.Context, b *bundle.Reader) ([]Component, error) {
	var out []Component
	for _, c := range b.Components() {
		if c.Kind != bundle.KindManifest {
			continue
		}
		manifest, err := b.Manifest(ctx, c.Descriptor)
		if err != nil {
			return nil, fmt.Errorf("add-on %s: %w", c.Name, err)
		}
		component := Component{Name: c.Name, Version: c.Version, Digest: c.Descriptor.Digest.String()}
		for _, layer := range manifest.Layers {
			content, err := b.ReadBlob(ctx, layer.Digest, manifestLimit)
			if err != nil {
				return nil, fmt.Errorf("add-on %s: %w", c.Name, err)
			}
			name := layer.Annotations[v1.AnnotationTitle]
			if name != imagesFile {
				component.Files = append(component.Files, File{name, content})
				continue
			}
			if err := json.Unmarshal(content, &component.Images); err != nil {
				return nil, fmt.Errorf("add-on %s: decode %s: %w", c.Name, imagesFile, err)
			}
		}
		out = append(out, component)
	}
	return out, nil
}

// variable is the only thing that is filled in: ${NAME}. Kubernetes' own $(NAME) is left alone.
var variable = regexp.MustCompile(`\$\{([A-Z][A-Z0-9_]*)\}`)

// ErrUnknownVariable is returned for a manifest that asks for something nobody sets.
var ErrUnknownVariable = errors.New("no such variable")

// Render fills in the site's values and the images, and parses the objects. Each image NAME is the
// variable IMAGE_NAME, always with its digest. Its errors name the file, not the add-on.
func (c Component) Render(values map[string]string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, f := range c.Files {
		var unknown []string
		text := variable.ReplaceAllStringFunc(string(f.Content), func(m string) string {
			name := m[2 : len(m)-1]
			if value, ok := values[name]; ok {
				return value
			}
			if value, ok := c.image(name); ok {
				return value
			}
			unknown = append(unknown, name)
			return m
		})
		if len(unknown) > 0 {
			slices.Sort(unknown)
			return nil, fmt.Errorf("%s: %w: %s", f.Name, ErrUnknownVariable, strings.Join(slices.Compact(unknown), ", "))
		}
		parsed, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		objects = append(objects, parsed...)
	}
	return objects, nil
}

func (c Component) image(variable string) (string, bool) {
	wanted, ok := strings.CutPrefix(variable, "IMAGE_")
	if !ok {
		return "", false
	}
	for name, ref := range c.Images {
		if strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(name)) == wanted {
			return ref, true
		}
	}
	return "", false
}

// YAML writes objects as a file of manifests.
func YAML(objects []*unstructured.Unstructured) (string, error) {
	var b strings.Builder
	for _, o := range objects {
		text, err := yaml.Marshal(o)
		if err != nil {
			return "", err
		}
		b.Write(text)
		b.WriteString("---\n")
	}
	return b.String(), nil
}

// parse reads the objects of a YAML file. What it cannot make sense of is an error and never left
// out: a key written twice, a document without a kind or a name.
func parse(text string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	documents := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for n := 1; ; n++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		var content map[string]any
		if err := yaml.UnmarshalStrict(document, &content); err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		if len(content) == 0 {
			continue // only comments
		}
		object := &unstructured.Unstructured{Object: content}
		if object.GetKind() == "" || object.GetAPIVersion() == "" || object.GetName() == "" {
			return nil, fmt.Errorf("document %d: an object needs an apiVersion, a kind and a name", n)
		}
		objects = append(objects, object)
	}
}
