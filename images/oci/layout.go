// Package oci writes OCI image layouts: a directory of content-addressed blobs with an index
// (image-spec v1.1, image-layout.md). Equal input gives equal bytes.
package oci

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Layout is an image layout directory that is being filled. One process at a time may write to a directory.
type Layout struct{ dir string }

// Create opens the layout in dir and makes what is missing of it. What is there stays.
func Create(dir string) (*Layout, error) {
	l := &Layout{dir: dir}
	if err := os.MkdirAll(l.blobDir(), 0o755); err != nil {
		return nil, err
	}
	marker, err := json.Marshal(v1.ImageLayout{Version: v1.ImageLayoutVersion})
	if err != nil {
		return nil, err
	}
	if err := WriteFile(filepath.Join(dir, v1.ImageLayoutFile), marker, 0o644); err != nil {
		return nil, err
	}
	if _, err := os.Stat(l.indexFile()); errors.Is(err, fs.ErrNotExist) {
		return l, l.SetIndex(nil)
	}
	return l, nil
}

func (l *Layout) blobDir() string   { return filepath.Join(l.dir, v1.ImageBlobsDir, "sha256") }
func (l *Layout) indexFile() string { return filepath.Join(l.dir, v1.ImageIndexFile) }

// Path is where the blob of that digest is, or would be.
func (l *Layout) Path(d digest.Digest) string { return filepath.Join(l.blobDir(), d.Encoded()) }

// Has reports whether the blob is there with the descriptor's size. Its content is not read.
func (l *Layout) Has(d v1.Descriptor) bool {
	info, err := os.Stat(l.Path(d.Digest))
	return err == nil && info.Size() == d.Size
}

// Put stores everything that write writes and describes it.
func (l *Layout) Put(mediaType string, write func(io.Writer) error) (v1.Descriptor, error) {
	temp, err := os.CreateTemp(l.blobDir(), ".put-*")
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer os.Remove(temp.Name()) // gone already if all went well
	defer temp.Close()
	hash := digest.SHA256.Digester()
	if err := write(io.MultiWriter(temp, hash.Hash())); err != nil {
		return v1.Descriptor{}, err
	}
	size, err := temp.Seek(0, io.SeekCurrent)
	if err != nil {
		return v1.Descriptor{}, err
	}
	d := v1.Descriptor{MediaType: mediaType, Digest: hash.Digest(), Size: size}
	if l.Has(d) {
		return d, nil
	}
	return d, install(temp, l.Path(d.Digest), 0o644)
}

// PutBytes stores content.
func (l *Layout) PutBytes(mediaType string, content []byte) (v1.Descriptor, error) {
	return l.Put(mediaType, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(content))
		return err
	})
}

// PutJSON stores the JSON of value.
func (l *Layout) PutJSON(mediaType string, value any) (v1.Descriptor, error) {
	content, err := json.Marshal(value)
	if err != nil {
		return v1.Descriptor{}, err
	}
	return l.PutBytes(mediaType, content)
}

// ReadJSON decodes the blob of that digest into value.
func (l *Layout) ReadJSON(d digest.Digest, value any) error {
	return readJSON(l.Path(d), value)
}

// Index returns what the layout lists.
func (l *Layout) Index() ([]v1.Descriptor, error) {
	var index v1.Index
	if err := readJSON(l.indexFile(), &index); err != nil {
		return nil, err
	}
	return index.Manifests, nil
}

// SetIndex replaces what the layout lists. The order given does not matter.
func (l *Layout) SetIndex(manifests []v1.Descriptor) error {
	sorted := slices.Clone(manifests)
	slices.SortFunc(sorted, func(a, b v1.Descriptor) int { return cmp.Compare(sortKey(a), sortKey(b)) })
	content, err := json.MarshalIndent(v1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageIndex,
		Manifests: append([]v1.Descriptor{}, sorted...), // [] and not null when empty
	}, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(l.indexFile(), append(content, '\n'), 0o644)
}

// sortKey orders descriptors by their annotations, which name them, then by digest. Map keys marshal sorted.
func sortKey(d v1.Descriptor) string {
	annotations, err := json.Marshal(d.Annotations)
	if err != nil { // a map of strings always marshals
		panic(err)
	}
	return string(annotations) + string(d.Digest)
}

func readJSON(path string, value any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, value); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}
