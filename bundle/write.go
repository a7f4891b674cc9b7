package bundle

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/bundle/trust"
)

// Options says what to make a bundle of.
type Options struct {
	Name    string
	Version string
	Kind    string    // platform, application, ...
	Created time.Time // whole seconds count; for reproducible builds SOURCE_DATE_EPOCH

	Layouts []string             // directories with OCI image layouts, in any order
	Signers []ed25519.PrivateKey // none makes an unsigned bundle

	// Executable, for WriteFile only, is an executable to copy in front of the bundle. A bundle it carries is left out.
	Executable string

	Progress Progress // may be nil; counts the bytes of blobs
}

const markerText = "This is an Islet bundle: an OCI image layout with a signed index behind it.\nThe format is described in docs/bundle-format.md.\n"

// Write writes a bundle to w from front to back and returns its index. The same options and content give the same bytes.
// Blobs are verified on their way; on an error w holds something that no Reader accepts.
func Write(ctx context.Context, w io.Writer, options Options) (*Index, error) {
	sources, err := openLayouts(options.Layouts)
	if err != nil {
		return nil, err
	}
	p, err := makePlan(ctx, sources)
	if err != nil {
		return nil, err
	}
	buffered := bufio.NewWriterSize(w, 1<<20)
	index, err := writeArchive(ctx, buffered, sources, p, options)
	if err != nil {
		return nil, err
	}
	if err := writeSections(buffered, index, options.Signers); err != nil {
		return nil, err
	}
	if err := buffered.Flush(); err != nil {
		return nil, fmt.Errorf("write bundle: %w", err)
	}
	return index, nil
}

func writeArchive(ctx context.Context, w io.Writer, sources layouts, p *plan, options Options) (*Index, error) {
	created := options.Created.UTC().Truncate(time.Second)
	archive := newArchiveWriter(w, created)
	version, err := json.Marshal(v1.ImageLayout{Version: v1.ImageLayoutVersion})
	if err != nil {
		return nil, err
	}
	list, err := json.Marshal(imageIndex(p.components))
	if err != nil {
		return nil, err
	}
	for _, file := range []struct {
		name    string
		content []byte
	}{{markerName, []byte(markerText)}, {v1.ImageLayoutFile, version}, {v1.ImageIndexFile, list}} {
		if err := archive.file(file.name, file.content); err != nil {
			return nil, err
		}
	}
	done := int64(0)
	for i, b := range p.blobs {
		if p.blobs[i], err = copyBlob(ctx, archive, sources, b); err != nil {
			return nil, err
		}
		if done += b.Size; options.Progress != nil {
			options.Progress(done, p.total)
		}
	}
	end, err := archive.close()
	if err != nil {
		return nil, err
	}
	return &Index{
		FormatVersion: FormatVersion, Name: options.Name, Version: options.Version, Kind: options.Kind, Created: created,
		Archive: end, Blobs: p.blobs, Components: p.components,
	}, nil
}

func copyBlob(ctx context.Context, archive *archiveWriter, sources layouts, b Blob) (_ Blob, err error) {
	path, _, err := sources.find(b.Digest)
	if err != nil {
		return b, err
	}
	file, err := os.Open(path)
	if err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return archive.blob(ctx, b, file)
}

// writeSections writes what follows the archive.
func writeSections(w io.Writer, index *Index, signers []ed25519.PrivateKey) error {
	if err := index.validate(index.Archive.Size); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	raw, err := json.Marshal(index)
	if err != nil {
		return err
	}
	if len(raw) > MaxIndexSize {
		return fmt.Errorf("index of %d bytes: %w: limit %d", len(raw), ErrOversized, MaxIndexSize)
	}
	signatures, err := signIndex(raw, signers)
	if err != nil {
		return err
	}
	t := trailer{
		archiveSize: index.Archive.Size, indexSize: int64(len(raw)), signaturesSize: int64(len(signatures)),
		indexSum: sha256.Sum256(raw), signaturesSum: sha256.Sum256(signatures),
	}
	t.layOut()
	for _, section := range [][]byte{raw, signatures, t.encode()} {
		if _, err := w.Write(section); err != nil {
			return fmt.Errorf("write bundle: %w", err)
		}
	}
	return nil
}

// WriteFile makes a bundle in the file at path, with Options.Executable in front of it if that is set. The file is there
// in full or not at all.
func WriteFile(ctx context.Context, path string, options Options) (index *Index, err error) {
	mode := os.FileMode(0o644)
	if options.Executable != "" {
		mode = 0o755
	}
	err = replaceFile(path, mode, func(file *os.File) error {
		if options.Executable != "" {
			if err := copyExecutable(file, options.Executable); err != nil {
				return err
			}
		}
		index, err = Write(ctx, file, options)
		return err
	})
	return index, err
}

// copyExecutable copies an executable without the bundle it may carry and fills up to a multiple of pageSize.
func copyExecutable(w io.Writer, path string) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("copy executable: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("copy executable: %w", err)
	}
	size := info.Size()
	carried, err := newReader(path, file, size, trust.Set{}.Lenient())
	switch {
	case err == nil:
		size = carried.Offset()
	case !errors.Is(err, ErrForeign):
		return fmt.Errorf("copy executable: the bundle it carries: %w", err)
	}
	if _, ok := elfEnd(file); !ok {
		return fmt.Errorf("%s is not a 64-bit little-endian ELF executable: %w", path, ErrForeign)
	}
	if _, err := io.Copy(w, io.NewSectionReader(file, 0, size)); err != nil {
		return fmt.Errorf("copy executable %s: %w", path, err)
	}
	if _, err := w.Write(make([]byte, alignUp(size)-size)); err != nil {
		return fmt.Errorf("copy executable %s: %w", path, err)
	}
	return nil
}
