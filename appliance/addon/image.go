package addon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"islet/bundle"
)

// ErrImage is returned for a manifest that asks for an image which the bundle lacks, or that does not
// say by digest which one it means.
var ErrImage = errors.New("the bundle cannot provide the image")

// Images are the digests of the images that a bundle carries.
type Images map[digest.Digest]bool

// CarriedImages lists the images of b.
func CarriedImages(b *bundle.Reader) Images {
	carried := Images{}
	for _, c := range b.Components() {
		if c.Kind == bundle.KindImage {
			carried[c.Descriptor.Digest] = true
		}
	}
	return carried
}

// Check fails with ErrImage on each image that objects ask for and that is not carried: on a site
// without a registry such a pod would never start (LESSONS 3). It looks into the manifests of pods
// that a ConfigMap holds for a controller, too.
func (i Images) Check(objects []*unstructured.Unstructured) error {
	var problems []error
	for _, object := range objects {
		asked := map[string]bool{}
		collect(object.Object, asked)
		for _, reference := range slices.Sorted(maps.Keys(asked)) {
			at := fmt.Sprintf("%s %s", object.GetKind(), object.GetName())
			switch _, sum, pinned := strings.Cut(reference, "@"); {
			case !pinned:
				problems = append(problems, fmt.Errorf("%s: %w: %q has no digest", at, ErrImage, reference))
			case !i[digest.Digest(sum)]:
				problems = append(problems, fmt.Errorf("%s: %w: it does not carry %s", at, ErrImage, reference))
			}
		}
	}
	return errors.Join(problems...)
}

// collect adds the images of every list of containers below value to asked.
func collect(value any, asked map[string]bool) {
	switch v := value.(type) {
	case map[string]any:
		for key, child := range v {
			if list, ok := child.([]any); ok && (key == "containers" || key == "initContainers" || key == "ephemeralContainers") {
				for _, c := range list {
					if container, ok := c.(map[string]any); ok {
						image, _ := container["image"].(string) // one without is refused like an unknown one
						asked[image] = true
					}
				}
			}
			collect(child, asked)
		}
	case []any:
		for _, child := range v {
			collect(child, asked)
		}
	case string:
		var nested map[string]any
		if strings.Contains(v, "ontainers:") && yaml.Unmarshal([]byte(v), &nested) == nil {
			collect(nested, asked)
		}
	}
}

// Check renders every add-on of the bundle with values and reports all that could not be applied on
// a site: variables that nobody sets, text that is no object, and images that the bundle lacks.
func Check(ctx context.Context, b *bundle.Reader, values map[string]string) error {
	components, err := Load(ctx, b)
	if err != nil {
		return err
	}
	carried := CarriedImages(b)
	var problems []error
	for _, c := range components {
		objects, err := c.Render(values)
		if err == nil {
			err = carried.Check(objects)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("add-on %s: %w", c.Name, err))
		}
	}
	return errors.Join(problems...)
}
