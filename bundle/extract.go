package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Extract writes the given components with all they refer to into dir as an OCI image layout, which `bundle create` and
// other OCI tools read. Every blob is verified on its way. dir is made if needed; index.json comes last, so an
// interrupted extraction is no layout, and repeating it completes it. An index.json that is there already is refused.
func (r *Reader) Extract(ctx context.Context, dir string, components []Component, progress Progress) error {
	if _, err := os.Lstat(filepath.Join(dir, v1.ImageIndexFile)); err == nil {
		return fmt.Errorf("extract to %s: %w: it holds an image layout already", dir, os.ErrExist)
	}
	var blobs []v1.Descriptor
	var total int64
	seen := map[digest.Digest]bool{}
	for _, c := range components {
		err := walk(ctx, r, c.Descriptor, seen, func(desc v1.Descriptor) error {
			blobs = append(blobs, desc)
			total += desc.Size
			return nil
		})
		if err != nil {
			return fmt.Errorf("extract %s %s: %w", c.Kind, c.Name, err)
		}
	}
	done := int64(0)
	for _, desc := range blobs {
		if err := r.extractBlob(ctx, dir, desc.Digest); err != nil {
			return fmt.Errorf("extract %s: %w", desc.Digest, err)
		}
		if done += desc.Size; progress != nil {
			progress(done, total)
		}
	}
	if err := writeJSON(filepath.Join(dir, v1.ImageLayoutFile), v1.ImageLayout{Version: v1.ImageLayoutVersion}); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, v1.ImageIndexFile), imageIndex(components))
}

func (r *Reader) extractBlob(ctx context.Context, dir string, d digest.Digest) error {
	path := filepath.Join(dir, filepath.FromSlash(blobPath(d)))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	blob, err := r.Blob(ctx, d)
	if err != nil {
		return err
	}
	err = replaceFile(path, 0o644, func(file *os.File) error {
		_, err := io.Copy(file, blob)
		return err
	})
	return errors.Join(err, blob.Close())
}

// ExtractEngine writes the files of an engine below dir, decompressed and verified, with their modes and links. It is
// for looking at them: the daemon's engine stager has a stricter way.
func (r *Reader) ExtractEngine(ctx context.Context, dir string, engine Component) error {
	files, err := EngineFiles(ctx, r, engine)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := r.extractEngineFile(ctx, dir, f); err != nil {
			return fmt.Errorf("extract engine %s, file %s: %w", engine.Name, f.Path, err)
		}
	}
	return nil
}

func (r *Reader) extractEngineFile(ctx context.Context, dir string, f EngineFile) error {
	path := filepath.Join(dir, filepath.FromSlash(f.Path))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	content, err := OpenEngineFile(ctx, r, f)
	if err != nil {
		return err
	}
	err = replaceFile(path, f.Mode, func(file *os.File) error {
		_, err := io.Copy(file, content)
		return err
	})
	if err = errors.Join(err, content.Close()); err != nil {
		return err
	}
	for _, name := range f.Links {
		link := filepath.Join(dir, filepath.FromSlash(name))
		target, err := filepath.Rel(filepath.Dir(link), path)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			return err
		}
		if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := os.Symlink(target, link); err != nil {
			return err
		}
	}
	return nil
}

func writeJSON(path string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return replaceFile(path, 0o644, func(file *os.File) error {
		_, err := file.Write(raw)
		return err
	})
}
