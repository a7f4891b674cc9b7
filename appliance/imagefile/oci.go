package imagefile

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/appliance/registry/content"
)

// annotationName is where containerd and docker keep an image's whole name; OCI's own annotation often has the tag alone.
const annotationName = "io.containerd.image.name"

// maxDepth is how deep indexes may be nested.
const maxDepth = 4

// parseOCI finds the images of an image layout. One with several names is listed once for each.
func (f *File) parseOCI() error {
	e, _ := f.lookup(v1.ImageIndexFile)
	var index v1.Index
	if err := json.Unmarshal(e.json, &index); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, v1.ImageIndexFile, err)
	}
	tags, err := f.dockerTags()
	if err != nil {
		return err
	}
	for _, desc := range index.Manifests {
		image, err := f.image(desc, 0)
		if err != nil {
			return err
		}
		image.Names = namesOf(desc)
		for _, b := range image.Blobs {
			image.Names = append(image.Names, tags[b.Digest]...)
		}
		same := slices.IndexFunc(f.Images, func(i Image) bool { return i.Root().Digest == image.Root().Digest })
		if same < 0 {
			f.Images = append(f.Images, image)
			same = len(f.Images) - 1
		}
		names := append(f.Images[same].Names, image.Names...)
		slices.Sort(names)
		f.Images[same].Names = slices.Compact(names)
	}
	return nil
}

// dockerTags are the names of images by their configs, from archives that have docker's list too.
func (f *File) dockerTags() (map[digest.Digest][]string, error) {
	list, err := f.dockerImages()
	tags := map[digest.Digest][]string{}
	for _, d := range list {
		if config, known := f.lookup(d.Config); known {
			for _, tag := range d.RepoTags {
				if full, err := FullName(tag); err == nil {
					tags[config.digest] = append(tags[config.digest], full)
				}
			}
		}
	}
	return tags, err
}

// namesOf are the names that a layout gives an image. A tag without a repository is none.
func namesOf(desc v1.Descriptor) []string {
	for _, name := range []string{desc.Annotations[annotationName], desc.Annotations[v1.AnnotationRefName]} {
		if !strings.ContainsAny(name, "/:") {
			continue
		}
		if full, err := FullName(name); err == nil {
			return []string{full}
		}
	}
	return nil
}

// image collects what an image consists of.
func (f *File) image(desc v1.Descriptor, depth int) (Image, error) {
	raw, err := f.blobJSON(desc)
	if err != nil {
		return Image{}, err
	}
	refs, err := content.ParseManifest(desc.MediaType, raw)
	if err != nil {
		return Image{}, fmt.Errorf("%w: manifest %s: %w", ErrDamaged, desc.Digest, err)
	}
	self := Manifest{v1.Descriptor{MediaType: refs.MediaType, Digest: desc.Digest, Size: int64(len(raw))}, raw}
	if refs.Blobs == nil {
		return f.index(self, refs.Manifests, depth)
	}
	for i, b := range refs.Blobs {
		e, known := f.lookup(blobPath(b.Digest))
		if !known || e.digest != b.Digest || e.size != b.Size {
			return Image{}, fmt.Errorf("%w: blob %s of %d bytes is missing or altered", ErrDamaged, b.Digest, b.Size)
		}
		if i == 0 && depth == 0 {
			if err := f.checkConfig(e); err != nil {
				return Image{}, err
			}
		}
	}
	return Image{Manifests: []Manifest{self}, Blobs: unique(refs.Blobs)}, nil
}

// index collects the images of an index. An archive may hold one of several only, which then stands for itself.
func (f *File) index(self Manifest, children []v1.Descriptor, depth int) (Image, error) {
	if depth == maxDepth {
		return Image{}, fmt.Errorf("%w: indexes are nested more than %d deep", ErrDamaged, maxDepth)
	}
	present := slices.DeleteFunc(slices.Clone(children), func(d v1.Descriptor) bool {
		_, known := f.lookup(blobPath(d.Digest))
		return !known
	})
	fits := slices.DeleteFunc(slices.Clone(present), func(d v1.Descriptor) bool { return d.Platform != nil && checkPlatform(*d.Platform) != nil })
	if len(fits) == 0 {
		return Image{}, fmt.Errorf("%w: none of the %d in index %s is for %s/%s", ErrPlatform, len(present), self.Digest, system, runtime.GOARCH)
	}
	if len(present) < len(children) {
		return f.image(fits[0], depth+1)
	}
	var all Image
	for _, child := range children {
		image, err := f.image(child, depth+1)
		if err != nil {
			return Image{}, err
		}
		all.Manifests = append(all.Manifests, image.Manifests...)
		all.Blobs = append(all.Blobs, image.Blobs...)
	}
	all.Manifests, all.Blobs = append(all.Manifests, self), unique(all.Blobs)
	return all, nil
}

// blobJSON is a manifest or an index, compared with its digest.
func (f *File) blobJSON(desc v1.Descriptor) ([]byte, error) {
	if err := content.CheckDigest(desc.Digest); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	e, known := f.lookup(blobPath(desc.Digest))
	switch {
	case !known:
		return nil, fmt.Errorf("%w: it lacks the manifest %s", ErrDamaged, desc.Digest)
	case e.digest != desc.Digest:
		return nil, fmt.Errorf("%w: manifest %s reads as %s", ErrDamaged, desc.Digest, e.digest)
	case e.json == nil:
		return nil, fmt.Errorf("%w: manifest %s is no JSON, or larger than %d bytes", ErrDamaged, desc.Digest, maxJSON)
	}
	return e.json, nil
}

func blobPath(d digest.Digest) string {
	return v1.ImageBlobsDir + "/" + d.Algorithm().String() + "/" + d.Encoded()
}

// checkConfig refuses the config of an image for another kind of machine. Artifacts have configs of other kinds.
func (f *File) checkConfig(e entry) error {
	var p v1.Platform
	if json.Unmarshal(e.json, &p) == nil && p.Architecture != "" {
		return checkPlatform(p)
	}
	return nil
}

// system is what containers here run on.
const system = "linux"

func checkPlatform(p v1.Platform) error {
	if p.OS != "" && p.OS != system || p.Architecture != "" && p.Architecture != runtime.GOARCH {
		return fmt.Errorf("%w: it is for %.40s/%.40s, this is %s/%s", ErrPlatform, p.OS, p.Architecture, system, runtime.GOARCH)
	}
	return nil
}
