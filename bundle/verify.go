package bundle

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"

	"github.com/opencontainers/go-digest"
)

// maxProblems bounds the report on a file that is damaged all over.
const maxProblems = 50

// Progress is told how far a long operation is, in bytes, from the goroutine that called the operation.
type Progress func(done, total int64)

// VerifyAll reads the whole archive once, front to back, and compares every byte of it with what the signed index says:
// the blobs by their digests, everything between them by the frame digest. Then it checks that each component is
// complete. All damaged blobs are reported, not only the first. progress may be nil.
func (r *Reader) VerifyAll(ctx context.Context, progress Progress) error {
	pass := &pass{bundle: r, buffer: make([]byte, 1<<20), progress: progress}
	var problems []error
	frame := sha256.New()
	for _, b := range r.index.Blobs {
		sum := sha256.New()
		if err := errors.Join(pass.hash(ctx, frame, b.Offset), pass.hash(ctx, sum, b.Offset+b.Size)); err != nil {
			return err
		}
		if got := digest.NewDigest(digest.SHA256, sum); got != b.Digest && len(problems) < maxProblems {
			problems = append(problems, r.refuse(ErrAltered, "blob %s (%d bytes at %d) reads as %s", b.Digest, b.Size, r.start+b.Offset, got))
		}
	}
	if err := pass.hash(ctx, frame, r.index.Archive.Size); err != nil {
		return err
	}
	if got := digest.NewDigest(digest.SHA256, frame); got != r.index.Archive.FrameDigest {
		problems = append(problems, r.refuse(ErrAltered, "the bytes around the blobs (tar headers, index.json) do not match the frame digest"))
	}
	if len(problems) > 0 {
		return errors.Join(problems...) // what is damaged cannot be walked
	}
	return r.complete(ctx)
}

// pass is one reading of the archive from its first byte to its last.
type pass struct {
	bundle   *Reader
	at       int64
	buffer   []byte
	progress Progress
}

// hash feeds the bytes from where the pass is to end into sum.
func (p *pass) hash(ctx context.Context, sum hash.Hash, end int64) error {
	for p.at < end {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("verify bundle %s: %w", p.bundle.source, err)
		}
		chunk := p.buffer[:min(int64(len(p.buffer)), end-p.at)]
		if err := readAt(p.bundle.content, chunk, p.at); err != nil {
			return fmt.Errorf("verify bundle %s: %w", p.bundle.source, err)
		}
		sum.Write(chunk)
		p.at += int64(len(chunk))
		if p.progress != nil {
			p.progress(p.at, p.bundle.index.Archive.Size)
		}
	}
	return nil
}
