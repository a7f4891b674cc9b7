package bundle_test

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/bundle"
	"islet/bundle/bundletest"
	"islet/bundle/trust"
)

func signed(t testing.TB, layouts ...*bundletest.Layout) ([]byte, trust.Key) {
	t.Helper()
	key, private := bundletest.Key("test", trust.Release)
	options := bundletest.Options(layouts...)
	options.Signers = []ed25519.PrivateKey{private}
	return bundletest.Bytes(t, options), key
}

func TestWriteRoundTrip(t *testing.T) {
	t.Parallel()
	content, key := signed(t, bundletest.Sample(t))
	r := bundletest.Open(t, content, key)
	if got := r.Signature(); got.State != bundle.Trusted || got.KeyName != "test" || got.KeyClass != trust.Release {
		t.Errorf("signature %+v", got)
	}
	var names []string
	for _, c := range r.Components() {
		names = append(names, string(c.Kind)+" "+c.Name+" "+c.Version)
	}
	image, err := r.Find(bundle.KindImage, "registry.islet.internal/coredns/coredns:1.15.0")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"engine kube v1.36.3", "image " + image.Reference + " 1.15.0", "manifest coredns 1.15.0",
		"sbom " + image.Descriptor.Digest.String() + " ",
	}
	if !slices.Equal(names, want) {
		t.Errorf("components %q, want %q", names, want)
	}
	if referrers := r.Referrers(image.Descriptor.Digest); len(referrers) != 1 || referrers[0].Kind != bundle.KindSBOM {
		t.Errorf("referrers %+v", referrers)
	}
	m, err := r.Manifest(t.Context(), image.Descriptor)
	if err != nil || len(m.Layers) != 1 {
		t.Fatalf("manifest %+v, %v", m, err)
	}
	layer, err := r.ReadBlob(t.Context(), m.Layers[0].Digest, 1<<20)
	if err != nil || !bytes.Contains(layer, []byte("dnsdnsdns")) {
		t.Errorf("layer of %d bytes, %v", len(layer), err)
	}
	var last int64
	if err := r.VerifyAll(t.Context(), func(done, total int64) { last = total - done }); err != nil || last != 0 {
		t.Errorf("VerifyAll: %v, %d bytes left", err, last)
	}
}

// A bundle is what any tar program sees as an OCI image layout.
func TestBundleIsATarOfAnImageLayout(t *testing.T) {
	t.Parallel()
	content, key := signed(t, bundletest.Sample(t))
	r := bundletest.Open(t, content, key)
	left := map[string]bundle.Blob{}
	for _, b := range r.Index().Blobs {
		left["blobs/sha256/"+b.Digest.Encoded()] = b
		if b.Offset%4096 != 0 {
			t.Errorf("blob %s begins at %d, want a multiple of 4096", b.Digest, b.Offset)
		}
	}
	archive := tar.NewReader(bytes.NewReader(content))
	var files []string
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if !header.ModTime.Equal(bundletest.Created) || header.Mode != 0o644 || header.Uid != 0 || header.Uname != "" {
			t.Errorf("%s: header depends on where it was made: %+v", header.Name, header)
		}
		if b, ok := left[header.Name]; ok {
			if digest.FromBytes(raw) != b.Digest || !bytes.Equal(raw, content[b.Offset:b.Offset+b.Size]) {
				t.Errorf("%s differs from what the index says", header.Name)
			}
			delete(left, header.Name)
			continue
		}
		files = append(files, header.Name)
	}
	if want := []string{"islet-bundle", "oci-layout", "index.json"}; !slices.Equal(files, want) || len(left) > 0 {
		t.Errorf("other files %q, want %q; blobs not in the tar: %v", files, want, left)
	}
}

func TestWriteIsReproducible(t *testing.T) {
	t.Parallel()
	a, b := bundletest.Sample(t), bundletest.NewLayout(t)
	b.Engine("store", "v3.6.13", bundletest.File{Path: "bin/store", Mode: 0o755, Content: []byte("store")})
	b.Image("registry.islet.internal/coredns/coredns:1.15.0", "1.15.0", bytes.Repeat([]byte("dns"), 5000)) // also in a
	first, key := signed(t, a, b)
	second, _ := signed(t, b, a)
	if !bytes.Equal(first, second) {
		t.Fatal("the order of the layouts changes the bundle")
	}
	r := bundletest.Open(t, first, key)
	dir := filepath.Join(t.TempDir(), "layout")
	if err := r.Extract(t.Context(), dir, r.Components(), nil); err != nil {
		t.Fatal(err)
	}
	third, _ := signed(t, &bundletest.Layout{Dir: dir})
	if !bytes.Equal(first, third) {
		t.Error("a bundle of an extracted bundle differs")
	}
	if err := r.Extract(t.Context(), dir, r.Components(), nil); !errors.Is(err, os.ErrExist) {
		t.Errorf("second extraction to the same place: %v, want %v", err, os.ErrExist)
	}
}

func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		spoil func(l *bundletest.Layout)
		want  string
	}{
		{"nothing", func(*bundletest.Layout) {}, "list no manifests"},
		{"component of no kind", func(l *bundletest.Layout) { l.List(l.Artifact("x/y", nil), nil) }, "cannot tell what it is"},
		{"image without a full name", func(l *bundletest.Layout) { l.Image("latest", "1", nil) }, "not a full image reference"},
		{"missing blob", func(l *bundletest.Layout) {
			l.Manifests("m", "1", []byte("gone"))
			l.Remove(digest.FromString("gone"))
		}, "in none of the image layouts"},
		{"altered blob", func(l *bundletest.Layout) {
			l.Manifests("m", "1", []byte("good"))
			l.Replace(digest.FromString("good"), []byte("evil"))
		}, "altered"},
		{"altered manifest", func(l *bundletest.Layout) {
			desc := l.Manifests("m", "1", []byte("good"))
			l.Replace(desc.Digest, bytes.Repeat([]byte(" "), int(desc.Size)))
		}, "altered"},
		{"blob of another size", func(l *bundletest.Layout) {
			desc := l.Blob("x/y", []byte("content"))
			desc.Size++
			l.List(l.Artifact(bundle.ArtifactTypeManifests, nil, desc), map[string]string{bundle.AnnotationComponentName: "m"})
		}, "its descriptor says 8"},
		{"two of one name", func(l *bundletest.Layout) {
			l.Manifests("m", "1", []byte("a"))
			l.Manifests("m", "1", []byte("b"))
		}, "is there twice"},
		{"subject elsewhere", func(l *bundletest.Layout) {
			l.Manifests("m", "1", []byte("a"))
			l.SBOM(v1.Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: digest.FromString("x"), Size: 1}, nil)
		}, "not in the bundle"},
		{"unprintable name", func(l *bundletest.Layout) { l.Manifests("m\x1b[2J", "1", nil) }, "not printable"},
		{"digest that leaves the directory", func(l *bundletest.Layout) {
			l.List(v1.Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: "sha256:../../../etc/passwd", Size: 1}, nil)
		}, "not a sha256 digest"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := bundletest.NewLayout(t)
			c.spoil(l)
			path := filepath.Join(t.TempDir(), "out.bundle")
			_, err := bundle.WriteFile(t.Context(), path, bundletest.Options(l))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if left, _ := os.ReadDir(filepath.Dir(path)); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestUnsignedIndexIsPlainJSON(t *testing.T) {
	t.Parallel()
	content := bundletest.Bytes(t, bundletest.Options(bundletest.Sample(t)))
	r, err := bundle.NewReader(bytes.NewReader(content), int64(len(content)), trust.Set{}.Lenient())
	if err != nil {
		t.Fatal(err)
	}
	raw := content[r.Index().Archive.Size : len(content)-160]
	var x bundle.Index
	if err := json.Unmarshal(raw, &x); err != nil || x.Name != "islet" || !x.Created.Equal(bundletest.Created) {
		t.Errorf("index %+v, %v", x, err)
	}
}
