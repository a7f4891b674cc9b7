package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// MaxManifestSize bounds what is read into memory of a manifest or image index. It is what registries accept.
const MaxManifestSize = 4 << 20

// Stat returns where the blob lies, or ErrNotFound.
func (r *Reader) Stat(d digest.Digest) (Blob, error) {
	b, ok := r.blobs[d]
	if !ok {
		return Blob{}, r.refuse(ErrNotFound, "blob %.80s", d)
	}
	return b, nil
}

// Blob streams a blob and verifies it: where the content does not match the digest, the last Read returns ErrAltered
// in place of the final bytes, so that no reader gets all of it. Reads fail once ctx is done.
func (r *Reader) Blob(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	b, err := r.Stat(d)
	if err != nil {
		return nil, err
	}
	return &blobReader{ctx: ctx, bundle: r, blob: b, content: io.NewSectionReader(r.content, b.Offset, b.Size), sum: sha256.New(), left: b.Size}, nil
}

// SectionReader gives random access to a blob without any check: the caller verifies what it reads.
func (r *Reader) SectionReader(d digest.Digest) (*io.SectionReader, error) {
	b, err := r.Stat(d)
	if err != nil {
		return nil, err
	}
	return io.NewSectionReader(r.content, b.Offset, b.Size), nil
}

// ReadBlob returns a whole, verified blob of at most limit bytes. A larger one is ErrOversized.
func (r *Reader) ReadBlob(ctx context.Context, d digest.Digest, limit int64) ([]byte, error) {
	b, err := r.Stat(d)
	if err != nil {
		return nil, err
	}
	if b.Size > limit {
		return nil, r.refuse(ErrOversized, "blob %s has %d bytes, limit %d", d, b.Size, limit)
	}
	blob, err := r.Blob(ctx, d)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	content := make([]byte, b.Size)
	if _, err := io.ReadFull(blob, content); err != nil {
		return nil, err
	}
	return content, nil
}

// Manifest returns the image or artifact manifest that desc names.
func (r *Reader) Manifest(ctx context.Context, desc v1.Descriptor) (*v1.Manifest, error) {
	m := new(v1.Manifest)
	return m, r.decode(ctx, desc, m)
}

// ImageIndex returns the OCI image index that desc names (not the bundle's own: that is Index).
func (r *Reader) ImageIndex(ctx context.Context, desc v1.Descriptor) (*v1.Index, error) {
	x := new(v1.Index)
	return x, r.decode(ctx, desc, x)
}

func (r *Reader) decode(ctx context.Context, desc v1.Descriptor, into any) error {
	raw, err := r.ReadBlob(ctx, desc.Digest, MaxManifestSize)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return r.refuse(ErrInvalid, "%s: %v", short(desc), err)
	}
	return nil
}

// blobReader is one pass over one blob. It keeps the last chunk back until the digest is known to be right.
type blobReader struct {
	ctx     context.Context // of the pass; io.Reader has no room for it
	bundle  *Reader
	blob    Blob
	content *io.SectionReader
	sum     hash.Hash
	left    int64
	err     error
}

func (b *blobReader) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if err := b.ctx.Err(); err != nil {
		return 0, fmt.Errorf("read blob %s: %w", b.blob.Digest, err)
	}
	if len(p) == 0 && b.left > 0 {
		return 0, nil
	}
	n, err := b.content.Read(p)
	b.sum.Write(p[:n])
	b.left -= int64(n)
	switch {
	case b.left == 0:
		b.err = b.verdict()
		if !errors.Is(b.err, io.EOF) {
			clear(p[:n])
			return 0, b.err
		}
		return n, nil
	case errors.Is(err, io.EOF): // the file was cut under our hands
		b.err = b.bundle.refuse(ErrTruncated, "blob %s ends %d bytes early", b.blob.Digest, b.left)
	case err != nil:
		b.err = fmt.Errorf("read blob %s: %w", b.blob.Digest, err)
	}
	return n, b.err
}

func (b *blobReader) verdict() error {
	if got := digest.NewDigest(digest.SHA256, b.sum); got != b.blob.Digest {
		return b.bundle.refuse(ErrAltered, "blob %s (%d bytes at %d) reads as %s", b.blob.Digest, b.blob.Size, b.bundle.start+b.blob.Offset, got)
	}
	return io.EOF
}

// Close ends the pass. It need not have reached the end.
func (b *blobReader) Close() error {
	if b.err == nil {
		b.err = fmt.Errorf("read blob %s: %w", b.blob.Digest, os.ErrClosed)
	}
	return nil
}
