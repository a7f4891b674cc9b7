package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/opencontainers/go-digest"

	"islet/bundle"
)

// errStalled ends a connection that gives nothing any more.
var errStalled = errors.New("the server has stopped sending")

// do gets one task from a source.
func (r *run) do(ctx context.Context, s *source, t task) error {
	if t.frame {
		return r.frame(ctx, s)
	}
	begun, err := r.part(ctx, s, t.Blob)
	if err == nil {
		err = r.settle(t.Blob)
	}
	if !errors.Is(err, bundle.ErrAltered) || begun == 0 {
		return err
	}
	// An earlier run, or another source, gave the beginning: nobody knows whose bytes are wrong.
	if _, err = r.part(ctx, s, t.Blob); err == nil {
		err = r.settle(t.Blob)
	}
	return err
}

func (r *run) frame(ctx context.Context, s *source) error {
	ctx, body, err := r.watch(ctx, func(ctx context.Context) (io.ReadCloser, error) { return s.Frame(ctx, r.Draft.Digest()) })
	if err != nil {
		return cause(ctx, err)
	}
	defer body.Close()
	return cause(ctx, r.Draft.WriteFrame(body))
}

// part brings a part to its full length, and returns how long it was before.
func (r *run) part(ctx context.Context, s *source, b bundle.Blob) (begun int64, err error) {
	file, err := os.OpenFile(r.partPath(b.Digest), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	begun = info.Size()
	if begun >= b.Size {
		return begun, nil
	}
	ctx, body, err := r.watch(ctx, func(ctx context.Context) (io.ReadCloser, error) {
		return s.Blob(ctx, r.Draft.Digest(), b.Digest, begun)
	})
	if err != nil {
		return begun, cause(ctx, err)
	}
	defer body.Close()
	n, err := io.Copy(file, counter{io.LimitReader(body, b.Size-begun), func(n int64) { r.note(s, n) }})
	if err == nil && begun+n < b.Size {
		err = fmt.Errorf("blob %s: %w after %d of %d bytes", b.Digest, io.ErrUnexpectedEOF, begun+n, b.Size)
	}
	return begun, cause(ctx, err)
}

// settle puts a part of full length into the draft. One that is not the blob is thrown away.
func (r *run) settle(b bundle.Blob) error {
	file, err := os.Open(r.partPath(b.Digest))
	if err != nil {
		return err
	}
	defer file.Close()
	err = r.Draft.WriteBlob(b.Digest, file)
	if errors.Is(err, bundle.ErrAltered) {
		r.discard(b)
	}
	if err == nil || errors.Is(err, bundle.ErrAltered) {
		err = errors.Join(err, r.dropPart(b.Digest))
	}
	return err
}

func (r *run) dropPart(d digest.Digest) error {
	err := os.Remove(r.partPath(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// partSize is how much of a blob an earlier run has left.
func (r *run) partSize(b bundle.Blob) int64 {
	info, err := os.Stat(r.partPath(b.Digest))
	if err != nil || info.Size() > b.Size {
		_ = r.dropPart(b.Digest)
		return 0
	}
	return info.Size()
}

// counter tells of every read.
type counter struct {
	io.Reader
	count func(int64)
}

func (c counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if n > 0 {
		c.count(int64(n))
	}
	return n, err
}

// watch opens a body that ends with errStalled when nothing comes for a while. The context it returns is that of the body.
func (r *run) watch(ctx context.Context, open func(context.Context) (io.ReadCloser, error)) (context.Context, io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(r.stall, func() { cancel(errStalled) })
	body, err := open(ctx)
	if err != nil {
		timer.Stop()
		cancel(nil)
		return ctx, nil, err
	}
	return ctx, &watched{body, timer, r.stall, func() { cancel(nil) }}, nil
}

type watched struct {
	io.ReadCloser
	timer  *time.Timer
	limit  time.Duration
	cancel func()
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.timer.Reset(w.limit)
	return n, err
}

func (w *watched) Close() error {
	w.timer.Stop()
	err := w.ReadCloser.Close()
	w.cancel()
	return err
}

// cause puts the reason in the place of an error that says no more than that the context has ended.
func cause(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		return errStalled
	}
	return err
}
