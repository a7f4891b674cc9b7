package cli

import (
	"context"
	"slices"

	"islet/appliance/registry/content"
)

// manifests is where the content of manifests comes from.
type manifests interface {
	Manifest(ctx context.Context, name, reference string) (raw []byte, mediaType string, err error)
}

// unusedIn lists the manifests of a repository that nothing uses. Parts of an index, and what has another manifest as its
// subject, go and stay with that one.
func unusedIn(ctx context.Context, c manifests, name string, r content.Repository, used usage) ([]unusedImage, error) {
	tags := map[string][]string{}
	for _, tag := range r.TagNames() {
		d := r.Tags[tag].Digest.String()
		tags[d] = append(tags[d], tag)
	}
	keep := map[string]bool{}
	belongs := map[string][]string{} // what stays with a manifest
	for _, d := range r.Live() {
		digest := d.String()
		keep[digest] = used.digest[digest] || slices.ContainsFunc(tags[digest], func(tag string) bool { return used.name[name+":"+tag] })
		raw, mediaType, err := c.Manifest(ctx, name, digest)
		if err != nil {
			return nil, err
		}
		refs, err := content.ParseManifest(mediaType, raw)
		if err != nil {
			return nil, err
		}
		for _, child := range refs.Manifests {
			belongs[digest] = append(belongs[digest], child.Digest.String())
		}
		if refs.Subject != nil {
			belongs[refs.Subject.Digest.String()] = append(belongs[refs.Subject.Digest.String()], digest)
		}
	}
	spread(keep, belongs)
	var unused []unusedImage
	for _, d := range r.Live() {
		if !keep[d.String()] {
			unused = append(unused, unusedImage{Repository: name, Tags: tags[d.String()], Digest: d.String()})
		}
	}
	return unused, nil
}

// spread keeps what belongs to what is kept.
func spread(keep map[string]bool, belongs map[string][]string) {
	for changed := true; changed; {
		changed = false
		for owner, parts := range belongs {
			for _, part := range parts {
				if keep[owner] && !keep[part] {
					keep[part], changed = true, true
				}
			}
		}
	}
}
