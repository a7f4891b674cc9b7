package bundle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// plan is what a bundle will hold: its components in order, and every blob they need, in the order it is written in.
type plan struct {
	components []Component
	blobs      []Blob // without offsets
	total      int64  // bytes of all blobs
}

// makePlan reads the manifests of all layouts. The order of the layouts does not matter; what two of them share is
// taken once, and two different things of one kind and name are an error.
func makePlan(ctx context.Context, sources layouts) (*plan, error) {
	p := new(plan)
	var problems []error
	for _, l := range sources {
		for _, desc := range l.index.Manifests {
			c, err := classify(ctx, sources, desc)
			if err != nil {
				problems = append(problems, fmt.Errorf("image layout %s: %s: %w", l.dir, short(desc), err))
				continue
			}
			p.components = append(p.components, c)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	if len(p.components) == 0 {
		return nil, errors.New("the image layouts list no manifests")
	}
	if err := p.merge(); err != nil {
		return nil, err
	}
	return p, p.collect(ctx, sources)
}

// merge sorts the components and drops those that are listed more than once.
func (p *plan) merge() error {
	sortComponents(p.components)
	var problems []error
	kept := p.components[:0]
	for _, c := range p.components {
		if len(kept) > 0 {
			last := kept[len(kept)-1]
			same := last.Kind == c.Kind && last.Name == c.Name
			if same && last.Descriptor.Digest == c.Descriptor.Digest {
				continue
			}
			if same && c.Kind != KindSBOM {
				problems = append(problems, fmt.Errorf("%s %s is there twice, as %s and as %s", c.Kind, c.Name, last.Descriptor.Digest, c.Descriptor.Digest))
				continue
			}
		}
		kept = append(kept, c)
	}
	p.components = kept
	return errors.Join(problems...)
}

// collect lists the blobs that the components need, component by component, so that what is used together lies together.
func (p *plan) collect(ctx context.Context, sources layouts) error {
	seen := map[digest.Digest]bool{}
	for _, c := range p.components {
		err := walk(ctx, sources, c.Descriptor, seen, func(desc v1.Descriptor) error {
			p.blobs = append(p.blobs, Blob{Digest: desc.Digest, Size: desc.Size})
			p.total += desc.Size
			return nil
		})
		if err != nil {
			return fmt.Errorf("%s %s: %w", c.Kind, c.Name, err)
		}
	}
	for _, c := range p.components {
		if c.Subject != "" && !seen[c.Subject] {
			return fmt.Errorf("%s %s describes %s, which is not in the bundle", c.Kind, c.Name, c.Subject)
		}
	}
	return nil
}

// classify makes a component of one descriptor of a layout's index.json. Annotations on the descriptor win over those in
// the manifest itself.
func classify(ctx context.Context, s store, desc v1.Descriptor) (Component, error) {
	g, err := readGraph(ctx, s, desc)
	if err != nil {
		return Component{}, err
	}
	if g == nil {
		return Component{}, errors.New("neither a manifest nor an image index")
	}
	note := func(key string) string { return cmp.Or(desc.Annotations[key], g.Annotations[key]) }
	c := Component{
		Kind:        Kind(note(AnnotationComponentKind)),
		Name:        note(AnnotationComponentName),
		Version:     note(AnnotationVersion),
		Descriptor:  desc,
		Annotations: otherAnnotations(desc.Annotations),
	}
	c.Descriptor.Annotations = nil
	c.Descriptor.ArtifactType = cmp.Or(desc.ArtifactType, g.ArtifactType)
	if c.Kind == "" {
		c.Kind = impliedKind(c.Descriptor.ArtifactType, g, note(AnnotationRefName))
	}
	switch {
	case c.Kind == "":
		return c, fmt.Errorf("cannot tell what it is: it has neither %s nor %s", AnnotationComponentKind, AnnotationRefName)
	case c.Kind == KindSBOM && g.Subject == nil:
		return c, errors.New("an SBOM without a subject")
	case c.Kind == KindSBOM:
		c.Subject = g.Subject.Digest
		c.Name = cmp.Or(c.Name, c.Subject.String())
	case c.Kind == KindImage:
		c.Reference = note(AnnotationRefName)
		if !strings.Contains(c.Reference, "/") {
			return c, fmt.Errorf("%s %q is not a full image reference such as registry.example/name:tag", AnnotationRefName, c.Reference)
		}
		c.Name = cmp.Or(c.Name, c.Reference)
	}
	c.Name = cmp.Or(c.Name, note(AnnotationRefName), note(AnnotationTitle))
	if c.Name == "" {
		return c, fmt.Errorf("%s without %s", c.Kind, AnnotationComponentName)
	}
	return c, nil
}

func impliedKind(artifactType string, g *graph, refName string) Kind {
	switch {
	case artifactType == ArtifactTypeEngine:
		return KindEngine
	case artifactType == ArtifactTypeManifests:
		return KindManifest
	case artifactType == ArtifactTypeDocs:
		return KindDocs
	case g.Subject != nil:
		return KindSBOM
	case refName != "":
		return KindImage
	}
	return ""
}

// otherAnnotations returns those that a Component has no field for.
func otherAnnotations(all map[string]string) map[string]string {
	rest := maps.Clone(all)
	for _, key := range []string{AnnotationComponentKind, AnnotationComponentName, AnnotationVersion, AnnotationRefName} {
		delete(rest, key)
	}
	if len(rest) == 0 {
		return nil
	}
	return rest
}

// imageIndex is the index.json that lists the components; classify turns it back into the same ones.
func imageIndex(components []Component) v1.Index {
	x := v1.Index{MediaType: v1.MediaTypeImageIndex, Manifests: make([]v1.Descriptor, 0, len(components))}
	x.SchemaVersion = 2
	for _, c := range components {
		desc := c.Descriptor
		desc.Annotations = maps.Clone(c.Annotations)
		if desc.Annotations == nil {
			desc.Annotations = map[string]string{}
		}
		for key, value := range map[string]string{
			AnnotationComponentKind: string(c.Kind),
			AnnotationComponentName: c.Name,
			AnnotationVersion:       c.Version,
			AnnotationRefName:       c.Reference,
		} {
			if value != "" {
				desc.Annotations[key] = value
			}
		}
		x.Manifests = append(x.Manifests, desc)
	}
	return x
}
