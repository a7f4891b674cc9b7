package content

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// Repository is what one repository holds. Each entry is a register of its own in which the latest change wins, deletions
// included: two servers that exchange their records in any order and any number of times end up with the same one.
type Repository struct {
	Manifests map[digest.Digest]Manifest `json:"manifests"`
	Tags      map[string]Tag             `json:"tags"`
}

// Manifest says of which type a manifest is. A deleted one is kept on record: a server that was away must not bring it
// back.
type Manifest struct {
	MediaType string    `json:"mediaType"`
	Size      int64     `json:"size"`
	Changed   time.Time `json:"changed"`
	Deleted   bool      `json:"deleted,omitempty"`
}

// Tag is where a tag points to.
type Tag struct {
	Digest  digest.Digest `json:"digest"`
	Changed time.Time     `json:"changed"`
	Deleted bool          `json:"deleted,omitempty"`
}

func newRepository() Repository {
	return Repository{Manifests: map[digest.Digest]Manifest{}, Tags: map[string]Tag{}}
}

func (r Repository) clone() Repository {
	c := newRepository()
	maps.Copy(c.Manifests, r.Manifests)
	maps.Copy(c.Tags, r.Tags)
	return c
}

// merge takes over what is newer in other, and tells whether anything was.
func (r Repository) merge(other Repository) (changed bool) {
	for d, theirs := range other.Manifests {
		if ours, known := r.Manifests[d]; !known || after(theirs.Changed, ours.Changed, theirs.Deleted, ours.Deleted) {
			r.Manifests[d], changed = theirs, true
		}
	}
	for name, theirs := range other.Tags {
		ours, known := r.Tags[name]
		if !known || after(theirs.Changed, ours.Changed, theirs.Deleted, ours.Deleted) ||
			theirs.Changed.Equal(ours.Changed) && theirs.Deleted == ours.Deleted && theirs.Digest > ours.Digest {
			r.Tags[name], changed = theirs, true
		}
	}
	return changed
}

// Same tells whether two records say the same.
func (r Repository) Same(other Repository) bool {
	return !r.clone().merge(other) && !other.clone().merge(r)
}

// after says whether a change comes after another. Of two in the same nanosecond a deletion does.
func after(a, b time.Time, deletedA, deletedB bool) bool {
	return a.After(b) || a.Equal(b) && deletedA && !deletedB
}

// Live lists the manifests that are not deleted, in the order of their digests.
func (r Repository) Live() []digest.Digest {
	var list []digest.Digest
	for d, m := range r.Manifests {
		if !m.Deleted {
			list = append(list, d)
		}
	}
	slices.Sort(list)
	return list
}

// TagNames lists the tags that point to something, sorted without regard to case as the distribution specification wants.
func (r Repository) TagNames() []string {
	var list []string
	for name, t := range r.Tags {
		if !t.Deleted && r.has(t.Digest) {
			list = append(list, name)
		}
	}
	slices.SortFunc(list, func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.ToLower(a), strings.ToLower(b)), cmp.Compare(a, b))
	})
	return list
}

func (r Repository) has(d digest.Digest) bool {
	m, known := r.Manifests[d]
	return known && !m.Deleted
}

// Resolve returns the manifest that a tag or a digest names, or ErrUnknown.
func (r Repository) Resolve(reference string) (digest.Digest, Manifest, error) {
	d := digest.Digest(reference)
	if d.Validate() != nil {
		t, known := r.Tags[reference]
		if !known || t.Deleted {
			return "", Manifest{}, ErrUnknown
		}
		d = t.Digest
	}
	if !r.has(d) {
		return "", Manifest{}, ErrUnknown
	}
	return d, r.Manifests[d], nil
}
