package oci

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

var epoch = time.Unix(1_700_000_000, 0).UTC()

// fill puts one image and one artifact about it into a new layout, and returns the layout's directory.
func fill(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	layout, err := Create(filepath.Join(dir, "layout"))
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(dir, "source")
	if err := os.WriteFile(source, []byte("#!program"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(source, time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	entries := []Entry{{Path: "usr/bin/b", Mode: 0o755, Source: source}, {Path: "/bin/a", Link: "/usr/bin/b"}}
	blob, err := layout.Put(v1.MediaTypeImageLayer, func(w io.Writer) error { return WriteTar(w, entries, epoch) })
	if err != nil {
		t.Fatal(err)
	}
	image, err := layout.PutImage(Image{
		Platform: v1.Platform{OS: "linux", Architecture: "amd64"},
		Config:   v1.ImageConfig{User: "65532:65532", Labels: map[string]string{"b": "2", "a": "1"}},
		Created:  epoch,
		Layers:   []Layer{{Descriptor: blob, DiffID: blob.Digest}},
	})
	if err != nil {
		t.Fatal(err)
	}
	artifact, err := layout.PutArtifact(Artifact{Type: "application/test", Layers: []v1.Descriptor{blob}, Subject: &image})
	if err != nil {
		t.Fatal(err)
	}
	image.Annotations = map[string]string{"name": "z"}
	artifact.Annotations = map[string]string{"name": "a"}
	if err := layout.SetIndex([]v1.Descriptor{image, artifact}); err != nil {
		t.Fatal(err)
	}
	return layout.dir
}

// contents maps the relative path of each file to its content.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestLayoutIsReproducible(t *testing.T) {
	t.Parallel()
	first, second := contents(t, fill(t)), contents(t, fill(t))
	if len(first) != 7 { // marker, index, layer, config, empty config, two manifests
		t.Errorf("layout has %d files, want 7", len(first))
	}
	for name, content := range first {
		if second[name] != content {
			t.Errorf("%s differs:\n%s\n%s", name, content, second[name])
		}
	}
}

func TestBlobsAreNamedByContent(t *testing.T) {
	t.Parallel()
	for name, content := range contents(t, fill(t)) {
		if hash, ok := strings.CutPrefix(name, "/blobs/sha256/"); ok {
			if sum := sha256.Sum256([]byte(content)); hex.EncodeToString(sum[:]) != hash {
				t.Errorf("%s has another digest", name)
			}
		}
	}
}

func TestSweepKeepsWhatIsListed(t *testing.T) {
	t.Parallel()
	layout, err := Create(fill(t))
	if err != nil {
		t.Fatal(err)
	}
	before := contents(t, layout.dir)
	if _, err := layout.PutBytes("text/plain", []byte("nobody's")); err != nil {
		t.Fatal(err)
	}
	freed, err := layout.Sweep()
	if err != nil || freed != int64(len("nobody's")) {
		t.Fatalf("Sweep() = %d, %v; want %d bytes freed", freed, err, len("nobody's"))
	}
	if after := contents(t, layout.dir); len(after) != len(before) {
		t.Errorf("%d files left, want %d", len(after), len(before))
	}
}

func TestSweepRefusesToDeleteOnMissingManifest(t *testing.T) {
	t.Parallel()
	layout, err := Create(fill(t))
	if err != nil {
		t.Fatal(err)
	}
	listed, err := layout.Index()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(layout.Path(listed[0].Digest)); err != nil {
		t.Fatal(err)
	}
	before := len(contents(t, layout.dir))
	if _, err := layout.Sweep(); err == nil {
		t.Error("no error")
	}
	if after := len(contents(t, layout.dir)); after != before {
		t.Errorf("%d files left of %d", after, before)
	}
}

func TestPutLeavesNothingOnFailure(t *testing.T) {
	t.Parallel()
	layout, err := Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	_, err = layout.Put("text/plain", func(w io.Writer) error {
		if _, err := w.Write([]byte("half")); err != nil {
			return err
		}
		return io.ErrUnexpectedEOF
	})
	if err == nil {
		t.Fatal("no error")
	}
	if files := contents(t, layout.dir); len(files) != 2 {
		t.Errorf("left behind: %v", files)
	}
}

func TestWriteTar(t *testing.T) {
	t.Parallel()
	source := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(source, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	entries := []Entry{{Path: "b/c", Mode: 0o755, Source: source}, {Path: "a", Link: "b/c"}}
	if err := WriteTar(&archive, entries, epoch); err != nil {
		t.Fatal(err)
	}
	var got []string
	for reader := tar.NewReader(&archive); ; {
		header, err := reader.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !header.ModTime.Equal(epoch) || header.Uid != 0 || header.Uname != "" {
			t.Errorf("%s: time %s, user %d %q", header.Name, header.ModTime, header.Uid, header.Uname)
		}
		got = append(got, header.Name+" "+header.FileInfo().Mode().String())
	}
	want := "a Lrwxrwxrwx, b/ drwxr-xr-x, b/c -rwxr-xr-x"
	if strings.Join(got, ", ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if err := WriteTar(io.Discard, append(entries, Entry{Path: "/a", Link: "x"}), epoch); err == nil {
		t.Error("a path given twice was accepted")
	}
}
