package bundle

import (
	"cmp"

	"github.com/opencontainers/go-digest"
)

// Volume is a number of blobs and their bytes.
type Volume struct {
	Blobs int   `json:"blobs"`
	Bytes int64 `json:"bytes"`
}

func (v *Volume) add(b Blob) {
	v.Blobs++
	v.Bytes += b.Size
}

// Change is one component that differs. An empty From or To digest means that it is not in that bundle.
type Change struct {
	Kind        Kind          `json:"kind"`
	Name        string        `json:"name"`
	FromVersion string        `json:"fromVersion,omitempty"`
	ToVersion   string        `json:"toVersion,omitempty"`
	From        digest.Digest `json:"from,omitempty"`
	To          digest.Digest `json:"to,omitempty"`
}

// Difference is what has to be carried to get from one bundle to another.
type Difference struct {
	Added     Volume   `json:"added"`
	Removed   Volume   `json:"removed"`
	Shared    Volume   `json:"shared"`
	Changes   []Change `json:"changes"`   // in the order of kind and name
	Unchanged int      `json:"unchanged"` // components
}

// Diff compares two bundles by their blobs, and by their components.
func Diff(from, to *Index) Difference {
	d := Difference{Changes: []Change{}}
	had := make(map[digest.Digest]bool, len(from.Blobs))
	for _, b := range from.Blobs {
		had[b.Digest] = true
	}
	for _, b := range to.Blobs {
		if had[b.Digest] {
			d.Shared.add(b)
			delete(had, b.Digest)
		} else {
			d.Added.add(b)
		}
	}
	for _, b := range from.Blobs {
		if had[b.Digest] {
			d.Removed.add(b)
		}
	}
	d.compare(from.Components, to.Components)
	return d
}

// compare walks two sorted lists side by side. SBOMs are left out: they change with what they describe.
func (d *Difference) compare(from, to []Component) {
	from, to = withoutSBOMs(from), withoutSBOMs(to)
	for len(from) > 0 || len(to) > 0 {
		var c Change
		switch order := compareHeads(from, to); {
		case order < 0:
			c = Change{Kind: from[0].Kind, Name: from[0].Name, FromVersion: from[0].Version, From: from[0].Descriptor.Digest}
			from = from[1:]
		case order > 0:
			c = Change{Kind: to[0].Kind, Name: to[0].Name, ToVersion: to[0].Version, To: to[0].Descriptor.Digest}
			to = to[1:]
		default:
			c = Change{
				Kind: to[0].Kind, Name: to[0].Name, FromVersion: from[0].Version, ToVersion: to[0].Version,
				From: from[0].Descriptor.Digest, To: to[0].Descriptor.Digest,
			}
			from, to = from[1:], to[1:]
		}
		if c.From == c.To {
			d.Unchanged++
			continue
		}
		d.Changes = append(d.Changes, c)
	}
}

// compareHeads orders by kind and name; an empty list comes last.
func compareHeads(from, to []Component) int {
	switch {
	case len(from) == 0:
		return 1
	case len(to) == 0:
		return -1
	}
	return cmp.Or(cmp.Compare(from[0].Kind, to[0].Kind), cmp.Compare(from[0].Name, to[0].Name))
}

// withoutSBOMs returns a sorted copy: a reader accepts any order of components.
func withoutSBOMs(all []Component) []Component {
	var kept []Component
	for _, c := range all {
		if c.Kind != KindSBOM {
			kept = append(kept, c)
		}
	}
	sortComponents(kept)
	return kept
}
