package imagefile

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

const (
	// maxEntries is more files than any archive of images has.
	maxEntries = 200_000
	maxWindow  = 128 << 20 // of zstd, in bytes: what its decoder holds in memory
)

// Progress is told how many bytes of the file have been read, and how many there are. It may be nil.
type Progress func(done, total int64)

// walk reads an archive from its beginning to its end, and calls visit for each entry with its content.
func walk(ctx context.Context, path string, progress Progress, visit func(*tar.Header, io.Reader) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: %w: it is no regular file", path, ErrNotArchive)
	}
	counted := &counter{ctx: ctx, from: file, total: info.Size(), progress: progress}
	if err := walkStream(counted, visit); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// walkStream is walk for what a file contains.
func walkStream(from io.Reader, visit func(*tar.Header, io.Reader) error) error {
	plain, compressed, err := decompress(from)
	if err != nil {
		return describe(err, 0, compressed)
	}
	defer plain.Close()
	archive := tar.NewReader(plain)
	for n := 0; ; n++ {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) && n > 0 {
			return nil
		}
		if err != nil {
			return describe(err, n, compressed)
		}
		if n == maxEntries {
			return fmt.Errorf("%w: it has more than %d entries", ErrNotArchive, maxEntries)
		}
		if err := visit(header, archive); err != nil {
			return describe(err, n+1, compressed)
		}
	}
}

// decompress finds out how the stream is compressed, if it is. The caller closes what it returns.
func decompress(from io.Reader) (plain io.ReadCloser, compressed bool, err error) {
	buffered := bufio.NewReaderSize(from, 1<<20)
	magic, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		plain, err = gzip.NewReader(buffered)
		return plain, true, err
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(buffered, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, true, err
		}
		return z.IOReadCloser(), true, nil
	}
	return io.NopCloser(buffered), false, nil
}

// describe says in one of this package's errors what is wrong with a stream; n entries were good.
func describe(err error, n int, compressed bool) error {
	switch {
	case isOurs(err), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, errVisit):
		return err
	case n == 0 && !compressed:
		return fmt.Errorf("%w: it does not begin like a tar, gzip or zstd file", ErrNotArchive)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: it ends after %d whole entries", ErrTruncated, n)
	case n == 0:
		return fmt.Errorf("%w: what is compressed in it does not begin like a tar file", ErrNotArchive)
	case errors.Is(err, tar.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.Is(err, zstd.ErrCRCMismatch):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// counter reports progress, and ends the reading when ctx does.
type counter struct {
	ctx         context.Context // of one pass; io.Reader has no room for it
	from        io.Reader
	done, total int64
	progress    Progress
}

func (c *counter) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.from.Read(p)
	c.done += int64(n)
	if c.progress != nil && n > 0 {
		c.progress(c.done, c.total)
	}
	return n, err
}
