package images

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"
)

// clearUnfinished removes what a killed build left. It is called before anything is built, with the cache locked.
func (b *builder) clearUnfinished() error {
	for _, pattern := range []string{".folder-*", "deb/.get-*"} {
		left, err := filepath.Glob(b.cached("", pattern))
		if err != nil {
			return err
		}
		for _, dir := range left {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// clean removes blobs and cached executables that no component is made of any more.
func (b *builder) clean() (freed int64, err error) {
	ids, err := b.all()
	if err != nil {
		return 0, err
	}
	var used []string
	for _, id := range ids {
		if known, ok := b.recorded(id); ok {
			used = append(used, known.Cached...)
		}
	}
	entries, err := os.ReadDir(b.cached("bin", ""))
	if err != nil {
		return 0, err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) || slices.Contains(used, entry.Name()) {
			continue
		}
		if err := errors.Join(err, os.Remove(b.cached("bin", entry.Name()))); err != nil {
			return freed, err
		}
		freed += info.Size()
	}
	swept, err := b.layout.Sweep()
	return freed + swept, err
}

// layoutSize is the sum of all blobs.
func (b *builder) layoutSize() int64 {
	var total int64
	seen := map[digest.Digest]bool{}
	entries, err := b.layout.Index()
	if err != nil {
		return 0
	}
	for _, entry := range entries {
		blobs, err := b.layout.Reach(entry)
		if err != nil {
			return 0
		}
		for _, blob := range blobs {
			if !seen[blob.Digest] {
				total += blob.Size
			}
			seen[blob.Digest] = true
		}
	}
	return total
}
