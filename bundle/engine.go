package bundle

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// EngineFile is one file of an engine as its manifest describes it.
type EngineFile struct {
	Path   string        // relative, clean, slash-separated, never leaves its root
	Mode   fs.FileMode   // permission bits only
	Digest digest.Digest // of the raw content
	Size   int64         // raw bytes
	Links  []string      // paths like Path, each to be a symlink to this file
	Layer  v1.Descriptor // the compressed blob
}

const (
	maxEngineFiles    = 10_000
	maxEngineFileSize = 4 << 30
	maxZstdWindow     = 64 << 20 // what reading one file may cost in memory
)

// EngineFiles returns the files of an engine component in the order of its manifest. Paths are safe to create below any
// directory that nobody else writes to: relative, without "..", and no path is listed twice or lies below a file or link.
func EngineFiles(ctx context.Context, r *Reader, c Component) ([]EngineFile, error) {
	if c.Kind != KindEngine {
		return nil, fmt.Errorf("engine files: %s %s is no engine", c.Kind, c.Name)
	}
	m, err := r.Manifest(ctx, c.Descriptor)
	if err != nil {
		return nil, fmt.Errorf("engine %s: %w", c.Name, err)
	}
	if len(m.Layers) > maxEngineFiles {
		return nil, r.refuse(ErrOversized, "engine %s has %d files, limit %d", c.Name, len(m.Layers), maxEngineFiles)
	}
	files := make([]EngineFile, 0, len(m.Layers))
	taken := map[string]bool{}
	for i, layer := range m.Layers {
		file, err := parseEngineFile(layer)
		if err == nil {
			err = claim(taken, file)
		}
		if err != nil {
			return nil, r.refuse(ErrInvalid, "engine %s, layer %d: %v", c.Name, i, err)
		}
		files = append(files, file)
	}
	for name := range taken {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if taken[dir] {
				return nil, r.refuse(ErrInvalid, "engine %s: %q lies below %q, which is a file", c.Name, name, dir)
			}
		}
	}
	return files, nil
}

func parseEngineFile(layer v1.Descriptor) (EngineFile, error) {
	note := layer.Annotations
	file := EngineFile{Path: note[AnnotationTitle], Digest: digest.Digest(note[AnnotationFileDigest]), Layer: layer}
	if !strings.HasSuffix(layer.MediaType, "+zstd") {
		return file, fmt.Errorf("media type %.80q, want %s", layer.MediaType, MediaTypeEngineFile)
	}
	mode, err := strconv.ParseUint(note[AnnotationFileMode], 8, 32)
	if err != nil || mode&^0o777 != 0 {
		return file, fmt.Errorf("%s: %.20q is not an octal mode up to 0777", AnnotationFileMode, note[AnnotationFileMode])
	}
	file.Mode = fs.FileMode(mode)
	if !isSHA256(file.Digest) {
		return file, fmt.Errorf("%s: %.80q is not a sha256 digest", AnnotationFileDigest, file.Digest)
	}
	file.Size, err = strconv.ParseInt(note[AnnotationFileSize], 10, 64)
	if err != nil || file.Size < 0 || file.Size > maxEngineFileSize {
		return file, fmt.Errorf("%s: %.30q is not a size up to %d", AnnotationFileSize, note[AnnotationFileSize], int64(maxEngineFileSize))
	}
	if links := note[AnnotationFileLinks]; links != "" {
		file.Links = strings.Split(links, ",")
	}
	return file, nil
}

// claim notes the paths that a file wants and refuses unsafe or taken ones.
func claim(taken map[string]bool, file EngineFile) error {
	for _, name := range append([]string{file.Path}, file.Links...) {
		if !fs.ValidPath(name) || name == "." || !printable(name) || strings.Contains(name, `\`) {
			return fmt.Errorf("path %.80q: want a clean relative path that stays inside", name)
		}
		if taken[name] {
			return fmt.Errorf("path %q is listed twice", name)
		}
		taken[name] = true
	}
	return nil
}

// OpenEngineFile streams the raw content of a file. Like Blob it returns ErrAltered in place of the last bytes where the
// content does not match file.Digest and file.Size. The caller closes it.
func OpenEngineFile(ctx context.Context, r *Reader, file EngineFile) (io.ReadCloser, error) {
	blob, err := r.Blob(ctx, file.Layer.Digest)
	if err != nil {
		return nil, err
	}
	decoder, err := zstd.NewReader(blob, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open engine file %s: %w", file.Path, err), blob.Close())
	}
	return &engineReader{bundle: r, file: file, blob: blob, decoder: decoder, sum: sha256.New(), left: file.Size}, nil
}

type engineReader struct {
	bundle  *Reader
	file    EngineFile
	blob    io.Closer
	decoder *zstd.Decoder
	sum     hash.Hash
	left    int64
	err     error
}

func (e *engineReader) Read(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	n, err := e.decoder.Read(p[:min(int64(len(p)), e.left)])
	e.sum.Write(p[:n])
	e.left -= int64(n)
	if e.left > 0 {
		if errors.Is(err, io.EOF) {
			err = e.bundle.refuse(ErrAltered, "engine file %s ends %d bytes early", e.file.Path, e.left)
		} else if err != nil {
			err = fmt.Errorf("engine file %s: %w", e.file.Path, err)
		}
		e.err = err
		return n, err
	}
	if e.err = e.verdict(); !errors.Is(e.err, io.EOF) {
		clear(p[:n])
		return 0, e.err
	}
	return n, nil
}

// verdict is asked once all bytes are there: is this the end, and are they right? Asking the decoder for one more byte
// also makes it read the blob to its end, and so verify it.
func (e *engineReader) verdict() error {
	var extra [1]byte
	if n, err := io.ReadFull(e.decoder, extra[:]); n > 0 {
		return e.bundle.refuse(ErrAltered, "engine file %s is larger than its %d bytes", e.file.Path, e.file.Size)
	} else if !errors.Is(err, io.EOF) {
		return fmt.Errorf("engine file %s: %w", e.file.Path, err)
	}
	if got := digest.NewDigest(digest.SHA256, e.sum); got != e.file.Digest {
		return e.bundle.refuse(ErrAltered, "engine file %s reads as %s, want %s", e.file.Path, got, e.file.Digest)
	}
	return io.EOF
}

// Close ends the pass. It need not have reached the end.
func (e *engineReader) Close() error {
	e.decoder.Close()
	if e.err == nil {
		e.err = fs.ErrClosed
	}
	return e.blob.Close()
}
