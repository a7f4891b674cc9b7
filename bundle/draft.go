package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"

	"islet/bundle/trust"
)

// Executable is what the bundle is appended to, with the zeros between them; empty for a bundle alone.
func (r *Reader) Executable() *io.SectionReader { return io.NewSectionReader(r.file, 0, r.start) }

// OpenExecutable reads what an executable is without a bundle, filled up as it is in front of one: all of the file where
// none is appended, and what comes before it otherwise, also where its end is missing. An altered one is refused.
func OpenExecutable(path string) (io.ReadCloser, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open executable: %w", err)
	}
	var content *io.SectionReader
	info, err := file.Stat()
	if err == nil {
		content, err = executableOf(displayName(path), file, info.Size())
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	gap := make([]byte, alignUp(content.Size())-content.Size())
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(content, bytes.NewReader(gap)), file}, nil
}

func executableOf(source string, file io.ReaderAt, size int64) (*io.SectionReader, error) {
	end, ok := elfEnd(file)
	if !ok {
		return nil, &Error{Reason: ErrForeign, Source: source, Detail: "not a 64-bit little-endian ELF executable"}
	}
	carried, err := newReader(source, file, size, trust.Set{}.Lenient())
	switch {
	case err == nil:
		return carried.Executable(), nil
	case errors.Is(err, ErrForeign):
		return io.NewSectionReader(file, 0, size), nil
	case errors.Is(err, ErrTruncated) && size >= end:
		return io.NewSectionReader(file, 0, end), nil
	}
	return nil, err
}

// Tail is everything behind the archive: index, signatures and trailer.
func (r *Reader) Tail() *io.SectionReader {
	return io.NewSectionReader(r.content, r.index.Archive.Size, r.content.Size()-r.index.Archive.Size)
}

// Frame streams the bytes of the archive that are not content of a blob, in their order. Nothing is verified.
func (r *Reader) Frame() io.Reader {
	var parts []io.Reader
	r.gaps(func(offset, size int64) { parts = append(parts, io.NewSectionReader(r.content, offset, size)) })
	return io.MultiReader(parts...)
}

// gaps visits what lies between the blobs.
func (r *Reader) gaps(visit func(offset, size int64)) {
	at := int64(0)
	for _, b := range r.index.Blobs {
		visit(at, b.Offset-at)
		at = b.Offset + b.Size
	}
	visit(at, r.index.Archive.Size-at)
}

// OpenTail opens a bundle of which only the tail is here: who signed it and what is in it can be told, and every blob is
// ErrAltered. source is its name for messages.
func OpenTail(source string, tail []byte, accepted trust.Set) (*Reader, error) {
	size := int64(len(tail))
	if size >= trailerSize {
		// A lie about the whole is found by locate, or in the end by whoever reads the blobs.
		if whole := binary.LittleEndian.Uint64(tail[size-trailerSize:]); whole < 1<<60 {
			size = max(size, int64(whole))
		}
	}
	return newReader(source, hollow{tail, size - int64(len(tail))}, size, accepted)
}

// hollow is content of which only the end is known; the rest reads as zeros.
type hollow struct {
	tail  []byte
	zeros int64
}

// ReadAt implements io.ReaderAt.
func (h hollow) ReadAt(p []byte, offset int64) (int, error) {
	n := 0
	if offset < h.zeros {
		n = int(min(int64(len(p)), h.zeros-offset))
		clear(p[:n])
	}
	if at := offset + int64(n) - h.zeros; at >= 0 && at < int64(len(h.tail)) {
		n += copy(p[n:], h.tail[at:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Draft is a file that is becoming a bundle behind an executable. As a Reader it gives what is there already; what is
// not there yet reads as ErrAltered. Its own methods may be called from several goroutines, each for another blob.
type Draft struct {
	*Reader
	out *os.File
}

// OpenDraft begins a file, or goes on with one that an earlier draft left: the space for the blobs, which are holes at
// first, and the tail behind it. All that the tail says must be signed by a key that accepted lets pass.
// The caller closes the Draft.
func OpenDraft(path string, executable io.Reader, tail []byte, accepted trust.Set) (d *Draft, err error) {
	whole, err := OpenTail(path, tail, accepted)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("begin bundle: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	n, err := io.Copy(file, executable)
	if err != nil {
		return nil, fmt.Errorf("begin bundle: %w", err)
	}
	start := alignUp(n)
	if _, err := file.WriteAt(make([]byte, start-n), n); err != nil {
		return nil, fmt.Errorf("begin bundle: %w", err)
	}
	if err := file.Truncate(start + whole.Size()); err != nil {
		return nil, fmt.Errorf("begin bundle: %w", err)
	}
	if _, err := file.WriteAt(tail, start+whole.index.Archive.Size); err != nil {
		return nil, fmt.Errorf("begin bundle: %w", err)
	}
	r, err := newReader(path, file, start+whole.Size(), accepted)
	if err != nil {
		return nil, err
	}
	return &Draft{r, file}, nil
}

// Has says whether a blob is there, whole.
func (d *Draft) Has(ctx context.Context, blob digest.Digest) (bool, error) {
	content, err := d.Blob(ctx, blob)
	if err == nil {
		_, err = io.Copy(io.Discard, content)
	}
	if errors.Is(err, ErrAltered) {
		return false, nil
	}
	return err == nil, err
}

// WriteBlob fills in a blob, and verifies it on its way: content that is not the blob's is ErrAltered.
func (d *Draft) WriteBlob(blob digest.Digest, content io.Reader) error {
	b, err := d.Stat(blob)
	if err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(io.NewOffsetWriter(d.out, d.start+b.Offset), sum), io.LimitReader(content, b.Size))
	if err != nil {
		return fmt.Errorf("write blob %s: %w", blob, err)
	}
	if got := digest.NewDigest(digest.SHA256, sum); got != blob {
		return d.refuse(ErrAltered, "blob %s: what came instead are %d bytes that read as %s", blob, n, got)
	}
	return nil
}

// WriteFrame fills in what lies between the blobs, from what Frame gave. It is ErrAltered if it is not that.
func (d *Draft) WriteFrame(content io.Reader) error {
	sum := sha256.New()
	var errs []error
	d.gaps(func(offset, size int64) {
		if len(errs) > 0 {
			return
		}
		if _, err := io.CopyN(io.MultiWriter(io.NewOffsetWriter(d.out, d.start+offset), sum), content, size); err != nil {
			errs = append(errs, fmt.Errorf("write the frame of the archive: %w", err))
		}
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if got := digest.NewDigest(digest.SHA256, sum); got != d.index.Archive.FrameDigest {
		return d.refuse(ErrAltered, "the bytes around the blobs read as %s", got)
	}
	return nil
}

// Finish verifies every byte from the first of the bundle to the last, and makes the file durable.
func (d *Draft) Finish(ctx context.Context, progress Progress) error {
	if err := d.VerifyAll(ctx, progress); err != nil {
		return err
	}
	if err := errors.Join(d.out.Chmod(0o755), d.out.Sync()); err != nil {
		return fmt.Errorf("keep bundle: %w", err)
	}
	return nil
}

// Close closes the file.
func (d *Draft) Close() error { return d.out.Close() }
