package imagefile

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// part is an entry of an archive under construction.
type part struct {
	name, content, link string
}

func pack(t testing.TB, parts ...part) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, p := range parts {
		h := &tar.Header{Name: p.name, Mode: 0o644, Size: int64(len(p.content)), Typeflag: tar.TypeReg}
		if p.link != "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, p.link
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, p.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func encode(t testing.TB, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func layer(t testing.TB, text string) string {
	return string(pack(t, part{name: "content", content: text}))
}

func zip(t testing.TB, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func config(t testing.TB, arch string, layers ...string) string {
	t.Helper()
	c := v1.Image{Platform: v1.Platform{OS: "linux", Architecture: arch}, RootFS: v1.RootFS{Type: "layers"}}
	for _, l := range layers {
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, digest.FromString(l))
	}
	return encode(t, c)
}

// dockerSave is what older versions of docker write: one layer twice, the second time as a link.
func dockerSave(t testing.TB) []part {
	t.Helper()
	one := layer(t, "one")
	c := config(t, "amd64", one, one)
	return []part{
		{name: "a/layer.tar", content: one},
		{name: "b/layer.tar", link: "../a/layer.tar"},
		{name: "c.json", content: c},
		{name: "manifest.json", content: encode(t, []dockerImage{{Config: "c.json", RepoTags: []string{"shop:1", "shop:latest"}, Layers: []string{"a/layer.tar", "b/layer.tar"}}})},
	}
}

func blobPart(text string) part {
	return part{name: blobPath(digest.FromString(text)), content: text}
}

func describeText(mediaType, text string) v1.Descriptor {
	return v1.Descriptor{MediaType: mediaType, Digest: digest.FromString(text), Size: int64(len(text))}
}

// ociImage is the parts and the manifest of an image.
func ociImage(t testing.TB, arch, text string) ([]part, v1.Descriptor) {
	t.Helper()
	l := layer(t, text)
	c := config(t, arch, l)
	m := encode(t, v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: describeText(v1.MediaTypeImageConfig, c), Layers: []v1.Descriptor{describeText(v1.MediaTypeImageLayerGzip, zip(t, l))},
	})
	d := describeText(v1.MediaTypeImageManifest, m)
	d.Platform = &v1.Platform{OS: "linux", Architecture: arch}
	return []part{blobPart(zip(t, l)), blobPart(c), blobPart(m)}, d
}

func ociLayout(t testing.TB, name string, manifests ...v1.Descriptor) []part {
	t.Helper()
	for i := range manifests {
		manifests[i].Annotations = map[string]string{v1.AnnotationRefName: name}
	}
	return []part{
		{name: v1.ImageLayoutFile, content: encode(t, v1.ImageLayout{Version: v1.ImageLayoutVersion})},
		{name: v1.ImageIndexFile, content: encode(t, v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: manifests})},
	}
}

func write(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sent reads all blobs of an archive as an upload does.
func sent(t *testing.T, f *File) map[digest.Digest]string {
	t.Helper()
	blobs := map[digest.Digest]string{}
	all := func(d digest.Digest) bool {
		return slices.ContainsFunc(f.Images, func(i Image) bool {
			return slices.ContainsFunc(i.Blobs, func(b v1.Descriptor) bool { return b.Digest == d })
		})
	}
	err := f.Blobs(t.Context(), nil, all, func(d digest.Digest, size int64, r io.Reader) error {
		content, err := io.ReadAll(r)
		if blobs[d] != "" || int64(len(content)) != size || digest.FromBytes(content) != d {
			t.Errorf("blob %s of %d bytes reads as %d bytes", d, size, len(content))
		}
		blobs[d] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return blobs
}

func TestArchives(t *testing.T) {
	t.Parallel()
	image, desc := ociImage(t, "amd64", "one")
	foreign, foreignDesc := ociImage(t, "s390x", "two")
	index := encode(t, v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{foreignDesc, desc}})
	indexDesc := describeText(v1.MediaTypeImageIndex, index)
	gzipped := dockerSave(t)
	one := layer(t, "one")
	gzipped[0] = part{name: "a.tar.gz", content: zip(t, one)}
	gzipped[1] = part{name: "b.tar.gz", content: zip(t, one)}
	gzipped[3].content = encode(t, []dockerImage{{Config: "c.json", RepoTags: []string{"shop:1"}, Layers: []string{"a.tar.gz", "b.tar.gz"}}})

	for _, c := range []struct {
		name      string
		parts     []part
		names     []string
		manifests int
		blobs     int
		root      digest.Digest
	}{
		{"docker", dockerSave(t), []string{"shop:1", "shop:latest"}, 1, 2, ""},
		{"docker with compressed layers", gzipped, []string{"shop:1"}, 1, 2, ""},
		{"docker with ./ before names", func() []part {
			p := dockerSave(t)
			for i := range p {
				p[i].name = "./" + p[i].name
			}
			return p
		}(), []string{"shop:1", "shop:latest"}, 1, 2, ""},
		{"OCI", append(ociLayout(t, "site.example/shop:1", desc), image...), []string{"site.example/shop:1"}, 1, 2, desc.Digest},
		{"OCI without a name", append(ociLayout(t, "1", desc), image...), nil, 1, 2, desc.Digest},
		{"OCI with docker's list", append(append(ociLayout(t, "1", desc), image...), part{name: dockerFile, content: encode(t,
			[]dockerImage{{Config: image[1].name, RepoTags: []string{"shop:1"}}})}), []string{"docker.io/library/shop:1"}, 1, 2, desc.Digest},
		{"index", append(append(append(ociLayout(t, "shop:1", indexDesc), image...), foreign...), blobPart(index)), []string{"docker.io/library/shop:1"}, 3, 4, indexDesc.Digest},
		{"index with one of its images", append(append(ociLayout(t, "shop:1", indexDesc), image...), blobPart(index)), []string{"docker.io/library/shop:1"}, 1, 2, desc.Digest},
	} {
		plain := pack(t, c.parts...)
		encoder, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		for form, content := range map[string][]byte{"plain": plain, "gzip": []byte(zip(t, string(plain))), "zstd": encoder.EncodeAll(plain, nil)} {
			t.Run(c.name+"/"+form, func(t *testing.T) {
				t.Parallel()
				f, err := Open(t.Context(), write(t, content), nil)
				if err != nil {
					t.Fatal(err)
				}
				if len(f.Images) != 1 {
					t.Fatalf("%d images", len(f.Images))
				}
				i := f.Images[0]
				if !slices.Equal(i.Names, c.names) || len(i.Manifests) != c.manifests || len(i.Blobs) != c.blobs || c.root != "" && i.Root().Digest != c.root {
					t.Errorf("names %v, %d manifests, %d blobs, root %s", i.Names, len(i.Manifests), len(i.Blobs), i.Root().Digest)
				}
				if blobs := sent(t, f); len(blobs) != c.blobs {
					t.Errorf("%d blobs were sent, want %d", len(blobs), c.blobs)
				}
			})
		}
	}
}

func TestBadArchives(t *testing.T) {
	t.Parallel()
	good := pack(t, dockerSave(t)...)
	image, desc := ociImage(t, "amd64", "one")
	foreign, foreignDesc := ociImage(t, "s390x", "two")
	change := func(i int, p part) []byte {
		parts := dockerSave(t)
		parts[i] = p
		return pack(t, parts...)
	}
	altered := slices.Clone(image)
	altered[0].content = "something else"
	for name, c := range map[string]struct {
		content []byte
		want    error
	}{
		"empty":                       {nil, ErrNotArchive},
		"text":                        {bytes.Repeat([]byte("hello, world\n"), 100), ErrNotArchive},
		"a short text":                {[]byte("hello"), ErrNotArchive},
		"a tar of something else":     {pack(t, part{name: "README", content: "hello"}), ErrNotArchive},
		"cut in a layer":              {good[:1000], ErrTruncated},
		"cut gzip":                    {[]byte(zip(t, string(good)))[:100], ErrTruncated},
		"no layers after a cut":       {good[:2048], ErrTruncated},
		"docker, no config":           {change(2, part{name: "d.json", content: "{}"}), ErrDamaged},
		"docker, no layer":            {change(0, part{name: "x"}), ErrDamaged},
		"docker, another layer":       {change(0, part{name: "a/layer.tar", content: layer(t, "two")}), ErrDamaged},
		"docker, a loop of links":     {change(0, part{name: "a/layer.tar", link: "../b/layer.tar"}), ErrDamaged},
		"docker, broken list":         {change(3, part{name: dockerFile, content: "[{"}), ErrDamaged},
		"docker, empty list":          {change(3, part{name: dockerFile, content: "[]"}), ErrNotArchive},
		"docker, for another machine": {change(2, part{name: "c.json", content: config(t, "s390x", "", "")}), ErrPlatform},
		"an entry with holes":         {sparse(t), ErrNotArchive},
		"OCI, no manifest":            {pack(t, append(ociLayout(t, "shop:1", desc), image[:2]...)...), ErrDamaged},
		"OCI, no layer":               {pack(t, append(ociLayout(t, "shop:1", desc), image[1:]...)...), ErrDamaged},
		"OCI, altered layer":          {pack(t, append(ociLayout(t, "shop:1", desc), altered...)...), ErrDamaged},
		"OCI, nothing in it":          {pack(t, ociLayout(t, "shop:1")...), ErrNotArchive},
		"OCI, for another machine":    {pack(t, append(ociLayout(t, "shop:1", foreignDesc), foreign...)...), ErrPlatform},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if f, err := Open(t.Context(), write(t, c.content), nil); !errors.Is(err, c.want) {
				t.Errorf("%+v (%v), want %v", f, err, c.want)
			}
		})
	}
}

// sparse is an entry of a terabyte in a few bytes, as GNU tar writes it.
func sparse(t *testing.T) []byte {
	t.Helper()
	content := "1\n0\n0\n" + string(make([]byte, 506))
	records := ""
	for _, r := range []string{"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=layer.tar", "GNU.sparse.realsize=1099511627776"} {
		records += fmt.Sprintf("%d %s\n", len(r)+4, r)
	}
	raw := pack(t, part{name: "PaxHeaders.0/layer.tar", content: records}, part{name: "layer.tar", content: content})
	// The writer refuses to make such headers: the first entry becomes one by its type, which its sum has to agree with.
	raw[156] = 'x'
	copy(raw[148:156], "        ")
	sum := 0
	for _, b := range raw[:512] {
		sum += int(b)
	}
	copy(raw[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return raw
}

// What the receiver says is told as it is: the archive is not to blame.
func TestReceiverFails(t *testing.T) {
	t.Parallel()
	f, err := Open(t.Context(), write(t, pack(t, dockerSave(t)...)), nil)
	if err != nil {
		t.Fatal(err)
	}
	refused := fmt.Errorf("no space: %w", io.ErrUnexpectedEOF)
	err = f.Blobs(t.Context(), nil, func(digest.Digest) bool { return true }, func(digest.Digest, int64, io.Reader) error { return refused })
	if !errors.Is(err, refused) || isOurs(err) {
		t.Errorf("error %v", err)
	}
}

func TestFullName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"nginx":                               "docker.io/library/nginx:latest",
		"team/app:1":                          "docker.io/team/app:1",
		"registry.islet.internal/team/app:1":  "registry.islet.internal/team/app:1",
		"harbor:8443/team/app:1":              "harbor:8443/team/app:1",
		"Team/app":                            "",
		"a@" + string(digest.FromString("a")): "",
		"":                                    "",
	} {
		if got, err := FullName(name); got != want || (err != nil) != (want == "") || err != nil && !errors.Is(err, ErrName) {
			t.Errorf("%s is %q (%v), want %q", name, got, err, want)
		}
	}
}

func FuzzArchive(f *testing.F) {
	image, desc := ociImage(f, "amd64", "one")
	f.Add(pack(f, dockerSave(f)...))
	f.Add(pack(f, append(ociLayout(f, "shop:1", desc), image...)...))
	f.Add([]byte(zip(f, string(pack(f, dockerSave(f)...)))))
	f.Add([]byte("hello"))
	f.Fuzz(func(t *testing.T, content []byte) {
		file := &File{entries: map[string]entry{}}
		if walkStream(bytes.NewReader(content), file.add()) != nil || file.parse() != nil {
			return
		}
		for _, i := range file.Images {
			if root := i.Root(); digest.FromBytes(root.Raw) != root.Digest {
				t.Errorf("manifest %s reads as %s", root.Digest, digest.FromBytes(root.Raw))
			}
		}
	})
}
