// Package bundletest makes small image layouts, keys and bundles for tests.
package bundletest

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/bundle"
)

// Layout is an image layout under construction. It is complete after every call.
type Layout struct {
	Dir   string
	t     testing.TB
	index v1.Index
}

// File is one file of an engine.
type File struct {
	Path    string
	Mode    os.FileMode
	Content []byte
	Links   []string
}

// NewLayout makes an empty layout in a directory that the test removes.
func NewLayout(t testing.TB) *Layout {
	t.Helper()
	l := &Layout{Dir: t.TempDir(), t: t}
	l.index.SchemaVersion = 2
	l.index.Manifests = []v1.Descriptor{}
	check(t, os.MkdirAll(filepath.Join(l.Dir, "blobs", "sha256"), 0o755))
	check(t, os.WriteFile(filepath.Join(l.Dir, v1.ImageLayoutFile), encode(t, v1.ImageLayout{Version: v1.ImageLayoutVersion}), 0o644))
	l.writeIndex()
	return l
}

// Blob stores content and returns its descriptor.
func (l *Layout) Blob(mediaType string, content []byte) v1.Descriptor {
	l.t.Helper()
	d := digest.FromBytes(content)
	check(l.t, os.WriteFile(l.BlobPath(d), content, 0o644))
	return v1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(content))}
}

// BlobPath is the file that a blob is in.
func (l *Layout) BlobPath(d digest.Digest) string {
	return filepath.Join(l.Dir, "blobs", "sha256", d.Encoded())
}

// Replace gives a blob other content under its old digest.
func (l *Layout) Replace(d digest.Digest, content []byte) {
	l.t.Helper()
	check(l.t, os.WriteFile(l.BlobPath(d), content, 0o644))
}

// Remove deletes a blob.
func (l *Layout) Remove(d digest.Digest) {
	l.t.Helper()
	check(l.t, os.Remove(l.BlobPath(d)))
}

// List puts desc into index.json with the given annotations.
func (l *Layout) List(desc v1.Descriptor, annotations map[string]string) v1.Descriptor {
	l.t.Helper()
	desc.Annotations = annotations
	l.index.Manifests = append(l.index.Manifests, desc)
	l.writeIndex()
	return desc
}

// Engine adds an engine. Its files are compressed; annotations are as bundle.EngineFiles wants them.
func (l *Layout) Engine(name, version string, files ...File) v1.Descriptor {
	l.t.Helper()
	var layers []v1.Descriptor
	for _, f := range files {
		layer := l.Blob(bundle.MediaTypeEngineFile, Compress(l.t, f.Content))
		layer.Annotations = map[string]string{
			bundle.AnnotationTitle:      f.Path,
			bundle.AnnotationFileMode:   fmt.Sprintf("%04o", f.Mode.Perm()),
			bundle.AnnotationFileDigest: digest.FromBytes(f.Content).String(),
			bundle.AnnotationFileSize:   fmt.Sprint(len(f.Content)),
		}
		if len(f.Links) > 0 {
			layer.Annotations[bundle.AnnotationFileLinks] = strings.Join(f.Links, ",")
		}
		layers = append(layers, layer)
	}
	return l.List(l.Artifact(bundle.ArtifactTypeEngine, nil, layers...), component(bundle.KindEngine, name, version))
}

// Image adds an image of one layer that holds the file /content.
func (l *Layout) Image(reference, version string, content []byte) v1.Descriptor {
	l.t.Helper()
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	check(l.t, w.WriteHeader(&tar.Header{Name: "content", Mode: 0o644, Size: int64(len(content))}))
	_, err := w.Write(content)
	check(l.t, err)
	check(l.t, w.Close())
	config := v1.Image{Platform: v1.Platform{Architecture: "amd64", OS: "linux"}}
	config.RootFS = v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(layer.Bytes())}}
	m := v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: l.Blob(v1.MediaTypeImageConfig, encode(l.t, config)),
		Layers: []v1.Descriptor{l.Blob(v1.MediaTypeImageLayer, layer.Bytes())},
	}
	return l.List(l.Blob(m.MediaType, encode(l.t, m)), map[string]string{
		bundle.AnnotationComponentKind: string(bundle.KindImage), bundle.AnnotationRefName: reference, bundle.AnnotationVersion: version,
	})
}

// Manifests adds a set of Kubernetes manifests.
func (l *Layout) Manifests(name, version string, content []byte) v1.Descriptor {
	l.t.Helper()
	layer := l.Blob("application/yaml", content)
	return l.List(l.Artifact(bundle.ArtifactTypeManifests, nil, layer), component(bundle.KindManifest, name, version))
}

// SBOM adds a document about subject.
func (l *Layout) SBOM(subject v1.Descriptor, content []byte) v1.Descriptor {
	l.t.Helper()
	subject.Annotations = nil
	layer := l.Blob("application/spdx+json", content)
	return l.List(l.Artifact("application/spdx+json", &subject, layer), nil)
}

// Artifact stores an OCI artifact manifest without listing it.
func (l *Layout) Artifact(artifactType string, subject *v1.Descriptor, layers ...v1.Descriptor) v1.Descriptor {
	l.t.Helper()
	l.Blob(v1.MediaTypeEmptyJSON, v1.DescriptorEmptyJSON.Data)
	config := v1.DescriptorEmptyJSON
	config.Data = nil
	m := v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest, ArtifactType: artifactType,
		Config: config, Layers: layers, Subject: subject,
	}
	desc := l.Blob(m.MediaType, encode(l.t, m))
	desc.ArtifactType = artifactType
	return desc
}

// Compress returns content in one zstd frame.
func Compress(t testing.TB, content []byte) []byte {
	t.Helper()
	encoder, err := zstd.NewWriter(nil)
	check(t, err)
	return encoder.EncodeAll(content, nil)
}

func component(kind bundle.Kind, name, version string) map[string]string {
	return map[string]string{
		bundle.AnnotationComponentKind: string(kind), bundle.AnnotationComponentName: name, bundle.AnnotationVersion: version,
	}
}

func (l *Layout) writeIndex() {
	l.t.Helper()
	check(l.t, os.WriteFile(filepath.Join(l.Dir, v1.ImageIndexFile), encode(l.t, l.index), 0o644))
}

func encode(t testing.TB, value any) []byte {
	t.Helper()
	raw, err := json.Marshal(value)
	check(t, err)
	return raw
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
