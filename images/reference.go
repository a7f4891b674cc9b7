package images

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// ErrUnknownImage is returned for a manifest that asks for an image which the layout does not have.
var ErrUnknownImage = errors.New("no image of the lock file was built under that name; run `go run ./images/cmd/build images`, or correct the name")

// Manifests name images by variables, which the node daemon fills in from ImagesFile; some may name them outright.
var (
	imageVariable  = regexp.MustCompile(`\$\{(IMAGE_[A-Z0-9_]+)\}`)
	imageReference = regexp.MustCompile(`islet\.internal/[a-zA-Z0-9_./-]+:[a-zA-Z0-9_.-]+`)
)

// Variable is the name by which a manifest asks for an image: IMAGE_METRICS_SERVER for metrics-server.
func Variable(image string) string {
	return "IMAGE_" + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(image))
}

// checkReferences reports every image that a manifest asks for, by variable or outright, and that was not built.
func checkReferences(manifest string, built []Built) error {
	known := map[string]bool{}
	for _, image := range built {
		known[Variable(image.Name)], known[image.Reference] = true, true
	}
	var problems []error
	asked := imageReference.FindAllString(manifest, -1)
	for _, match := range imageVariable.FindAllStringSubmatch(manifest, -1) {
		asked = append(asked, match[1])
	}
	for _, name := range asked {
		if !known[name] {
			problems = append(problems, fmt.Errorf("%s: %w", name, ErrUnknownImage))
		}
	}
	return errors.Join(problems...)
}
