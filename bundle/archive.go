package bundle

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// Offsets in octal header fields end here; larger entries get a PAX size record.
const maxOctalSize = 1<<33 - 1

const tarBlock = 512

// archiveWriter writes the tar of a bundle. Each blob begins at a multiple of pageSize; the gap before it is filled by a
// PAX comment, which every tar program skips.
type archiveWriter struct {
	out     *frameWriter
	tar     *tar.Writer
	created time.Time
	buffer  []byte
}

func newArchiveWriter(w io.Writer, created time.Time) *archiveWriter {
	out := &frameWriter{w: w, frame: sha256.New()}
	return &archiveWriter{out: out, tar: tar.NewWriter(out), created: created, buffer: make([]byte, 1<<20)}
}

// file writes one of the layout's own small files.
func (a *archiveWriter) file(name string, content []byte) error {
	if err := a.tar.WriteHeader(a.header(name, int64(len(content)))); err != nil {
		return fmt.Errorf("archive %s: %w", name, err)
	}
	if _, err := a.tar.Write(content); err != nil {
		return fmt.Errorf("archive %s: %w", name, err)
	}
	if err := a.tar.Flush(); err != nil {
		return fmt.Errorf("archive %s: %w", name, err)
	}
	return nil
}

// blob copies b.Size bytes from content, checks them against the digest, and returns b with its offset.
func (a *archiveWriter) blob(ctx context.Context, b Blob, content io.Reader) (Blob, error) {
	header := a.header(blobPath(b.Digest), b.Size)
	pad(header, a.out.n)
	if err := a.tar.WriteHeader(header); err != nil {
		return b, fmt.Errorf("archive %s: %w", b.Digest, err)
	}
	b.Offset = a.out.n
	sum := sha256.New()
	a.out.inBlob = true
	n, err := io.CopyBuffer(a.tar, io.TeeReader(readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return content.Read(p)
	}), sum), a.buffer)
	a.out.inBlob = false
	if err != nil {
		return b, fmt.Errorf("archive %s: %w", b.Digest, err)
	}
	if got := digest.NewDigest(digest.SHA256, sum); n != b.Size || got != b.Digest {
		return b, fmt.Errorf("archive %s of %d bytes: source reads as %s of %d: %w", b.Digest, b.Size, got, n, ErrAltered)
	}
	if err := a.tar.Flush(); err != nil {
		return b, fmt.Errorf("archive %s: %w", b.Digest, err)
	}
	return b, nil
}

// close ends the archive and describes it.
func (a *archiveWriter) close() (Archive, error) {
	if err := a.tar.Close(); err != nil {
		return Archive{}, fmt.Errorf("archive: %w", err)
	}
	return Archive{Size: a.out.n, FrameDigest: digest.NewDigest(digest.SHA256, a.out.frame)}, nil
}

func (a *archiveWriter) header(name string, size int64) *tar.Header {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: a.created, Format: tar.FormatUSTAR}
	if size > maxOctalSize {
		h.Format = tar.FormatPAX
	}
	return h
}

// pad adds a comment to h such that, written at offset, its content begins at a multiple of pageSize.
func pad(h *tar.Header, offset int64) {
	size := int64(0)
	if h.Format == tar.FormatPAX {
		size = int64(len(paxRecord("size", strconv.FormatInt(h.Size, 10))))
	}
	gap := alignUp(offset+tarBlock) - offset - tarBlock
	if gap == 0 && size == 0 {
		return
	}
	// One block of the gap is the extended header itself, and its body must hold at least one record of ours.
	for gap < 2*tarBlock {
		gap += pageSize
	}
	body := gap - tarBlock - size
	value := body - int64(len("comment= \n")+len(strconv.FormatInt(body, 10)))
	h.Format = tar.FormatPAX
	h.PAXRecords = map[string]string{"comment": strings.Repeat(" ", int(value))}
}

func paxRecord(key, value string) string {
	length := len(key) + len(value) + 3
	for total := 0; total != length; {
		total, length = length, len(key)+len(value)+3+len(strconv.Itoa(length))
	}
	return strconv.Itoa(length) + " " + key + "=" + value + "\n"
}

// frameWriter counts what passes and hashes what is no blob content.
type frameWriter struct {
	w      io.Writer
	n      int64
	frame  hash.Hash
	inBlob bool
}

func (f *frameWriter) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	f.n += int64(n)
	if !f.inBlob {
		f.frame.Write(p[:n])
	}
	return n, err
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
