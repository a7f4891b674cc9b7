package bundle_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/bundle"
	"islet/bundle/bundletest"
)

func openSample(t *testing.T, l *bundletest.Layout) *bundle.Reader {
	t.Helper()
	content, key := signed(t, l)
	return bundletest.Open(t, content, key)
}

func TestEngineFiles(t *testing.T) {
	t.Parallel()
	r := openSample(t, bundletest.Sample(t))
	engine, err := r.Find(bundle.KindEngine, "kube")
	if err != nil {
		t.Fatal(err)
	}
	files, err := bundle.EngineFiles(t.Context(), r, engine)
	if err != nil || len(files) != 2 {
		t.Fatalf("%+v, %v", files, err)
	}
	want := bytes.Repeat([]byte("kube engine "), 2000)
	if f := files[0]; f.Path != "bin/kube" || f.Mode != 0o755 || f.Size != int64(len(want)) || len(f.Links) != 2 {
		t.Errorf("file %+v", f)
	}
	for i, content := range [][]byte{want, {}} {
		file, err := bundle.OpenEngineFile(t.Context(), r, files[i])
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(file)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, %v", files[i].Path, len(got), err)
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
	image, err := r.Find(bundle.KindImage, "registry.islet.internal/coredns/coredns:1.15.0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.EngineFiles(t.Context(), r, image); err == nil {
		t.Error("an image passes for an engine")
	}
}

func TestExtractEngine(t *testing.T) {
	t.Parallel()
	r := openSample(t, bundletest.Sample(t))
	engine, err := r.Find(bundle.KindEngine, "kube")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for range 2 { // the second time over the first
		if err := r.ExtractEngine(t.Context(), dir, engine); err != nil {
			t.Fatal(err)
		}
	}
	if target, err := os.Readlink(filepath.Join(dir, "bin", "kubelet")); err != nil || target != "kube" {
		t.Errorf("link to %q, %v", target, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "bin", "kubelet")); err != nil || info.Mode().Perm() != 0o755 || info.Size() != 24000 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestEngineRefuses(t *testing.T) {
	t.Parallel()
	note := func(key, value string) func(*v1.Descriptor) {
		return func(d *v1.Descriptor) { d.Annotations[key] = value }
	}
	title := func(s string) func(*v1.Descriptor) { return note(bundle.AnnotationTitle, s) }
	links := func(s string) func(*v1.Descriptor) { return note(bundle.AnnotationFileLinks, s) }
	cases := []struct {
		name  string
		spoil func(*v1.Descriptor)
	}{
		{"absolute path", title("/etc/passwd")},
		{"path with ..", title("bin/../../etc/passwd")},
		{"path that is ..", title("..")},
		{"path that is .", title(".")},
		{"path that is not clean", title("bin//kube")},
		{"path that ends in a slash", title("bin/")},
		{"empty path", title("")},
		{"backslash", title(`bin\kube`)},
		{"newline", title("bin/kube\n")},
		{"absolute link", links("/usr/bin/kubectl")},
		{"link with ..", links("bin/a,../b")},
		{"empty link", links("bin/a,")},
		{"link twice", links("bin/a,bin/a")},
		{"link to itself", links("bin/kube")},
		{"link below the file", links("bin/kube/x")},
		{"link in the place of its directory", links("bin")},
		{"mode that is no number", note(bundle.AnnotationFileMode, "rwx")},
		{"setuid", note(bundle.AnnotationFileMode, "4755")},
		{"no mode", note(bundle.AnnotationFileMode, "")},
		{"no digest", note(bundle.AnnotationFileDigest, "")},
		{"negative size", note(bundle.AnnotationFileSize, "-1")},
		{"huge size", note(bundle.AnnotationFileSize, "9223372036854775807")},
		{"not zstd", func(d *v1.Descriptor) { d.MediaType = "application/octet-stream" }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, engine := engineWith(t, c.spoil)
			_, err := bundle.EngineFiles(t.Context(), r, engine)
			checkReason(t, err, bundle.ErrInvalid)
		})
	}
}

func TestEngineFileAltered(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		spoil func(*v1.Descriptor)
	}{
		{"larger than it says", func(d *v1.Descriptor) { d.Annotations[bundle.AnnotationFileSize] = "3" }},
		{"smaller than it says", func(d *v1.Descriptor) { d.Annotations[bundle.AnnotationFileSize] = "5" }},
		{"of another digest", func(d *v1.Descriptor) {
			d.Annotations[bundle.AnnotationFileDigest] = digest.FromString("other").String()
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, engine := engineWith(t, c.spoil)
			files, err := bundle.EngineFiles(t.Context(), r, engine)
			if err != nil {
				t.Fatal(err)
			}
			file, err := bundle.OpenEngineFile(t.Context(), r, files[0])
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			got, err := io.ReadAll(file)
			checkReason(t, err, bundle.ErrAltered)
			if int64(len(got)) >= files[0].Size {
				t.Errorf("all %d bytes came out", len(got))
			}
		})
	}
}

// What is not zstd, or zstd that wants more memory than it may have, is an error and not a crash.
func TestEngineFileBadFrame(t *testing.T) {
	t.Parallel()
	for name, frame := range map[string][]byte{
		"no zstd":      []byte("this is not zstd at all"),
		"cut short":    bundletest.Compress(t, bytes.Repeat([]byte("x1y2z3"), 9000))[:30],
		"window of 4G": {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xb0, 0x01, 0x00, 0x00},
	} {
		l := bundletest.NewLayout(t)
		layer := l.Blob(bundle.MediaTypeEngineFile, frame)
		layer.Annotations = annotations()
		l.List(l.Artifact(bundle.ArtifactTypeEngine, nil, layer), map[string]string{bundle.AnnotationComponentName: "e"})
		r := openSample(t, l)
		files, err := bundle.EngineFiles(t.Context(), r, r.Components()[0])
		if err != nil {
			t.Fatal(err)
		}
		file, err := bundle.OpenEngineFile(t.Context(), r, files[0])
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, file); err == nil || n >= 4 {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		if err := errors.Join(file.Close(), file.Close()); err != nil {
			t.Errorf("%s: close: %v", name, err)
		}
	}
}

func annotations() map[string]string {
	return map[string]string{
		bundle.AnnotationTitle: "bin/kube", bundle.AnnotationFileMode: "0755", bundle.AnnotationFileSize: "4",
		bundle.AnnotationFileDigest: digest.FromString("kube").String(),
	}
}

// engineWith returns a bundle of one engine whose only file, "kube" at bin/kube, is described wrongly.
func engineWith(t *testing.T, spoil func(*v1.Descriptor)) (*bundle.Reader, bundle.Component) {
	t.Helper()
	l := bundletest.NewLayout(t)
	layer := l.Blob(bundle.MediaTypeEngineFile, bundletest.Compress(t, []byte("kube")))
	layer.Annotations = annotations()
	spoil(&layer)
	l.List(l.Artifact(bundle.ArtifactTypeEngine, nil, layer), map[string]string{bundle.AnnotationComponentName: "e"})
	r := openSample(t, l)
	return r, r.Components()[0]
}
