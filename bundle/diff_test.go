package bundle_test

import (
	"slices"
	"testing"

	"islet/bundle"
	"islet/bundle/bundletest"
)

func TestDiff(t *testing.T) {
	t.Parallel()
	before, after := bundletest.Sample(t), bundletest.Sample(t)
	before.Manifests("gone", "1", []byte("gone"))
	before.Manifests("other", "1", []byte("one"))
	after.Manifests("other", "2", []byte("two!"))
	after.Manifests("new", "1", []byte("new"))
	from, to := openSample(t, before).Index(), openSample(t, after).Index()

	d := bundle.Diff(from, to)
	var got []string
	for _, c := range d.Changes {
		got = append(got, c.Name+" "+c.FromVersion+">"+c.ToVersion)
	}
	if want := []string{"gone 1>", "new >1", "other 1>2"}; !slices.Equal(got, want) || d.Unchanged != 3 {
		t.Errorf("changes %q, want %q; %d unchanged", got, want, d.Unchanged)
	}
	// Each of the four new or old things is a manifest and a layer.
	if d.Added.Blobs != 4 || d.Removed.Blobs != 4 || d.Shared.Blobs != len(from.Blobs)-4 {
		t.Errorf("%+v of %d blobs", d, len(from.Blobs))
	}
	var total int64
	for _, b := range to.Blobs {
		total += b.Size
	}
	if d.Added.Bytes+d.Shared.Bytes != total {
		t.Errorf("added %d and shared %d bytes are not the new bundle's %d", d.Added.Bytes, d.Shared.Bytes, total)
	}
	if same := bundle.Diff(to, to); len(same.Changes) != 0 || same.Added.Bytes != 0 || same.Removed.Bytes != 0 {
		t.Errorf("a bundle differs from itself: %+v", same)
	}
}
