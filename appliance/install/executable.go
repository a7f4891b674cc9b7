package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"islet/appliance/atomicfile"
)

// copyChunk is how much is copied between two reports of progress.
const copyChunk = 8 << 20

func (p *planner) executable(context.Context) error {
	o := p.options
	same, err := sameContent(o.Source, o.Machine.Executable)
	if err != nil {
		return fmt.Errorf("compare this program with %s: %w", o.Machine.Executable, err)
	}
	p.add(KindExecutable, o.Machine.Executable, "copy this program, with everything in it", same, o.installExecutable)
	return nil
}

// fetched puts the file in place that was fetched. It has been verified where it is.
func (p *planner) fetched(context.Context) error {
	o := p.options
	p.add(KindExecutable, o.Machine.Executable, "put that in place, behind this program", false, o.moveExecutable)
	return nil
}

// moveExecutable needs no room for a second copy, where both places are on one file system.
func (o Options) moveExecutable(ctx context.Context) error {
	dir := filepath.Dir(o.Machine.Executable)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	err := os.Rename(o.Source, o.Machine.Executable)
	if errors.Is(err, unix.EXDEV) {
		if err := o.installExecutable(ctx); err != nil {
			return err
		}
		return os.Remove(o.Source)
	}
	if err != nil {
		return err
	}
	return errors.Join(atomicfile.SyncDir(dir), atomicfile.SyncDir(filepath.Dir(o.Source)))
}

// sameContent compares every byte: a copy that was damaged on disk is another one.
func sameContent(a, b string) (bool, error) {
	left, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer left.Close()
	right, err := os.Open(b)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer right.Close()
	one, err := left.Stat()
	if err != nil {
		return false, err
	}
	two, err := right.Stat()
	if err != nil || os.SameFile(one, two) || one.Size() != two.Size() {
		return err == nil && os.SameFile(one, two), err
	}
	return equal(left, right)
}

func equal(left, right io.Reader) (bool, error) {
	a, b := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(left, a)
		m, errRight := io.ReadFull(right, b)
		if n != m || !bytes.Equal(a[:n], b[:m]) {
			return false, nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return true, nil
		}
		if err := errors.Join(err, errRight); err != nil {
			return false, err
		}
	}
}

// installExecutable puts the copy in place when it is on disk and its bundle has proved whole and
// signed. A program that runs from there keeps the file it started from.
func (o Options) installExecutable(ctx context.Context) (err error) {
	dir := filepath.Dir(o.Machine.Executable)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(o.Machine.Executable)+".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close()
			_ = os.Remove(tmp.Name())
		}
	}()
	if err := o.copyTo(ctx, tmp); err != nil {
		return err
	}
	if err := errors.Join(tmp.Chmod(0o755), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := o.verify(ctx, tmp.Name()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), o.Machine.Executable); err != nil {
		return err
	}
	return atomicfile.SyncDir(dir)
}

// copyTo shares the blocks where the file system can, and copies else.
func (o Options) copyTo(ctx context.Context, to *os.File) error {
	from, err := os.Open(o.Source)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	if unix.IoctlFileClone(int(to.Fd()), int(from.Fd())) == nil {
		return nil
	}
	for done := int64(0); done < info.Size(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.CopyN(to, from, min(copyChunk, info.Size()-done))
		if done += n; o.Progress != nil {
			o.Progress(done, info.Size())
		}
		if err != nil {
			return fmt.Errorf("copy %s: %w", o.Source, err)
		}
	}
	return nil
}

func (o Options) verify(ctx context.Context, path string) (err error) {
	b, err := o.OpenBundle(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	return b.VerifyAll(ctx, nil)
}
