package imagefile

import (
	"fmt"

	"github.com/distribution/reference"

	"islet/appliance/registry/content"
)

// FullName writes the name of an image out in full, as Kubernetes and docker understand it: nginx is
// docker.io/library/nginx:latest.
func FullName(name string) (string, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", fmt.Errorf("%w: %.200q: %w", ErrName, name, err)
	}
	if _, pinned := named.(reference.Digested); pinned {
		return "", fmt.Errorf("%w: %.200q names a digest, which nobody can choose", ErrName, name)
	}
	named = reference.TagNameOnly(named)
	if err := content.CheckName(named.Name()); err != nil {
		return "", fmt.Errorf("%w: %w", ErrName, err)
	}
	return named.String(), nil
}

// Split is the repository, as the site's registries call it, and the tag of an image.
func Split(full string) (repository, tag string, err error) {
	named, err := reference.ParseNormalizedNamed(full)
	if err != nil {
		return "", "", fmt.Errorf("%w: %.200q: %w", ErrName, full, err)
	}
	tagged, ok := reference.TagNameOnly(named).(reference.NamedTagged)
	if !ok {
		return "", "", fmt.Errorf("%w: %.200q has no tag", ErrName, full)
	}
	repository, err = content.FullName(content.SplitName(tagged.Name()))
	return repository, tagged.Tag(), err
}
