// Package bundle reads and writes the one file format in which everything is carried into a site: an OCI image layout
// with a signed table of contents behind it. docs/bundle-format.md describes it byte by byte.
package bundle

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"

	"islet/bundle/trust"
)

// selfExecutable keeps naming the running file after another has taken its place.
const selfExecutable = "/proc/self/exe"

// Reader gives random access to a bundle where it lies; nothing is unpacked. It holds the index in memory and no blob.
// It is safe for concurrent use. What Index and Components return is shared: don't change it.
type Reader struct {
	source    string
	content   *io.SectionReader // from the bundle's first byte to its last
	start     int64
	file      io.ReaderAt // what the bundle is at the end of
	closer    io.Closer   // nil if the caller owns the content
	index     Index
	rawSum    digest.Digest
	signature Signature
	blobs     map[digest.Digest]Blob
}

// Open opens the bundle in the file at path: a bundle alone or one appended to an executable. It reads the trailer, the
// index and the signatures, and refuses what accepted does not let pass. The caller closes the Reader.
func Open(path string, accepted trust.Set) (r *Reader, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, &Error{Reason: ErrForeign, Source: path, Detail: "not a regular file"}
	}
	r, err = newReader(displayName(path), file, info.Size(), accepted)
	if err != nil {
		return nil, err
	}
	r.closer = file
	return r, nil
}

// displayName is what messages call the file: for the link to the running executable, where that is or was.
func displayName(path string) string {
	if path != selfExecutable {
		return path
	}
	if target, err := os.Readlink(path); err == nil {
		return target
	}
	return path
}

// NewReader is Open for content of the given size that the caller keeps open.
func NewReader(content io.ReaderAt, size int64, accepted trust.Set) (*Reader, error) {
	return newReader("", content, size, accepted)
}

func newReader(source string, content io.ReaderAt, size int64, accepted trust.Set) (*Reader, error) {
	r := &Reader{source: source, file: content}
	t, start, err := locate(content, size)
	if err != nil {
		return nil, r.own(err)
	}
	r.start = start
	r.content = io.NewSectionReader(content, start, t.bundleSize)
	rawIndex, err := r.section("index", t.indexOffset, t.indexSize, t.indexSum)
	if err != nil {
		return nil, err
	}
	rawSignatures, err := r.section("signature section", t.signaturesOffset, t.signaturesSize, t.signaturesSum)
	if err != nil {
		return nil, err
	}
	// The signature comes first: nothing of an index is believed, or even parsed, that nobody answers for.
	signature, refused := checkSignatures(rawIndex, rawSignatures, accepted)
	if refused != nil {
		return nil, r.own(refused)
	}
	r.signature = signature
	r.rawSum = digest.NewDigestFromBytes(digest.SHA256, t.indexSum[:])
	if err := r.load(rawIndex, t.archiveSize); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Reader) load(rawIndex []byte, archiveSize int64) error {
	if err := json.Unmarshal(rawIndex, &r.index); err != nil {
		return r.refuse(ErrInvalid, "index: %v", err)
	}
	if err := r.index.validate(archiveSize); err != nil {
		return r.refuse(ErrInvalid, "index: %v", err)
	}
	r.blobs = make(map[digest.Digest]Blob, len(r.index.Blobs))
	for _, b := range r.index.Blobs {
		r.blobs[b.Digest] = b
	}
	return nil
}

// section reads one of the small sections behind the archive and compares it with the trailer's checksum.
func (r *Reader) section(name string, offset, size int64, sum [sha256.Size]byte) ([]byte, error) {
	raw := make([]byte, size)
	if err := readAt(r.content, raw, offset); err != nil {
		return nil, fmt.Errorf("bundle %s: %s: %w", r.source, name, err)
	}
	if sha256.Sum256(raw) != sum {
		return nil, r.refuse(ErrAltered, "the %s (%d bytes at %d) does not match its checksum", name, size, r.start+offset)
	}
	return raw, nil
}

// Close closes the file that Open opened. Blobs that are still being read fail.
func (r *Reader) Close() error {
	if r.closer == nil {
		return nil
	}
	return r.closer.Close()
}

// Source is the file's name for messages, empty for NewReader. For /proc/self/exe it is the executable's path, where
// another file may be by now.
func (r *Reader) Source() string { return r.source }

// Size is the bundle's size in bytes, without what it may be appended to.
func (r *Reader) Size() int64 { return r.content.Size() }

// Offset is where the bundle begins in its file: 0 unless it is appended to an executable.
func (r *Reader) Offset() int64 { return r.start }

// Index returns the table of contents.
func (r *Reader) Index() *Index { return &r.index }

// Digest is that of the index, and so names the whole content.
func (r *Reader) Digest() digest.Digest { return r.rawSum }

// Signature reports who signed.
func (r *Reader) Signature() Signature { return r.signature }

func (r *Reader) refuse(reason error, format string, args ...any) error {
	return &Error{Reason: reason, Source: r.source, Detail: fmt.Sprintf(format, args...)}
}

// own puts the file's name on an error that was made without knowing it.
func (r *Reader) own(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		e.Source = r.source
		return e
	}
	return fmt.Errorf("bundle %s: %w", r.source, err)
}
