package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// layout is an OCI image layout in a directory, as image builders leave it.
type layout struct {
	dir   string
	index v1.Index
}

func openLayout(dir string) (*layout, error) {
	var version v1.ImageLayout
	if err := readJSON(filepath.Join(dir, v1.ImageLayoutFile), &version); err != nil {
		return nil, fmt.Errorf("%s is no OCI image layout: %w", dir, err)
	}
	if version.Version != v1.ImageLayoutVersion {
		return nil, fmt.Errorf("%s: image layout version %.20q, want %s", dir, version.Version, v1.ImageLayoutVersion)
	}
	l := &layout{dir: dir}
	if err := readJSON(filepath.Join(dir, v1.ImageIndexFile), &l.index); err != nil {
		return nil, fmt.Errorf("image layout %s: %w", dir, err)
	}
	return l, nil
}

func readJSON(path string, into any) error {
	raw, err := readFile(path, MaxIndexSize)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}

// readFile reads a file of at most limit bytes.
func readFile(path string, limit int64) (content []byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	content, err = io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fmt.Errorf("%s: %w: limit is %d bytes", path, ErrOversized, limit)
	}
	return content, err
}

func (l *layout) path(d digest.Digest) string {
	return filepath.Join(l.dir, filepath.FromSlash(blobPath(d)))
}

// blobPath is where an image layout keeps a blob.
func blobPath(d digest.Digest) string {
	return "blobs/" + d.Algorithm().String() + "/" + d.Encoded()
}

// layouts is several layouts seen as one store; the first that has a blob provides it.
type layouts []*layout

func openLayouts(dirs []string) (layouts, error) {
	var all layouts
	for _, dir := range dirs {
		l, err := openLayout(dir)
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// find returns the file that holds a blob.
func (ls layouts) find(d digest.Digest) (string, int64, error) {
	if !isSHA256(d) {
		return "", 0, fmt.Errorf("%.80q is not a sha256 digest: %w", d, ErrInvalid)
	}
	for _, l := range ls {
		info, err := os.Stat(l.path(d))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", 0, err
		}
		return l.path(d), info.Size(), nil
	}
	return "", 0, fmt.Errorf("blob %s is in none of the image layouts: %w", d, ErrNotFound)
}

// Stat implements store. The blob's offset is not known yet.
func (ls layouts) Stat(d digest.Digest) (Blob, error) {
	_, size, err := ls.find(d)
	return Blob{Digest: d, Size: size}, err
}

// ReadBlob implements store.
func (ls layouts) ReadBlob(ctx context.Context, d digest.Digest, limit int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path, _, err := ls.find(d)
	if err != nil {
		return nil, err
	}
	content, err := readFile(path, limit)
	if err != nil {
		return nil, err
	}
	if got := digest.FromBytes(content); got != d {
		return nil, fmt.Errorf("%s reads as %s: %w", path, got, ErrAltered)
	}
	return content, nil
}
