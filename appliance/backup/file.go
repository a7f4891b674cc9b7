package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"islet/appliance/atomicfile"
)

// Written is a backup that is on disk.
type Written struct {
	Path     string   `json:"path"`
	Bytes    int64    `json:"bytes"`
	SHA256   string   `json:"sha256"` // of the file, to compare a copy with
	Manifest Manifest `json:"manifest"`
}

// WriteFile makes a backup in a file that appears under its name only when it is whole and on disk, and reads it back: a
// disk that does not hold it is noticed now. What is there already is never overwritten.
func WriteFile(ctx context.Context, path string, to Recipient, s Source) (_ Written, err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return Written{}, cmp.Or(err, fmt.Errorf("%s: %w", path, fs.ErrExist))
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".tmp-*") // mode 0600
	if err != nil {
		return Written{}, err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close()
			_ = os.Remove(tmp.Name())
		}
	}()
	sum, out := sha256.New(), &counter{w: tmp}
	done := Written{Path: path}
	if done.Manifest, err = Create(ctx, io.MultiWriter(sum, out), to, s); err != nil {
		return done, err
	}
	done.Bytes, done.SHA256 = out.n, hex.EncodeToString(sum.Sum(nil))
	if err := errors.Join(tmp.Sync(), tmp.Close()); err != nil {
		return done, err
	}
	if err := done.readBack(ctx, tmp.Name(), to); err != nil {
		return done, err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return done, err
	}
	return done, atomicfile.SyncDir(filepath.Dir(path))
}

// readBack compares what is on disk with what was written. More cannot be checked without the recovery key.
func (w Written) readBack(ctx context.Context, path string, to Recipient) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_ = unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED) // from the disk, where the file system can
	sum := sha256.New()
	content := io.TeeReader(file, sum)
	seal, err := ReadSeal(ctx, content)
	if err == nil {
		_, err = io.Copy(io.Discard, &source{ctx: ctx, r: content})
	}
	if err != nil {
		return fmt.Errorf("read back %s: %w", path, err)
	}
	if seal.Bytes != w.Bytes || seal.Recipient != to.String() || hex.EncodeToString(sum.Sum(nil)) != w.SHA256 {
		return fmt.Errorf("read back %s: it is not what was written: the disk is failing", path)
	}
	return nil
}

// Entry is a backup in a directory, as far as it can be known without the key.
type Entry struct {
	Path      string    `json:"path"`
	Site      string    `json:"site"`
	Created   time.Time `json:"created"`
	Bytes     int64     `json:"bytes"`
	Recipient string    `json:"recipient,omitempty"`
	Problem   string    `json:"problem,omitempty"` // why it cannot be used
}

// List returns the backups of a directory by the names that Name gives them, the newest first.
func List(ctx context.Context, dir string) ([]Entry, error) {
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	list := []Entry{}
	for _, f := range files {
		site, created, err := parseName(f.Name())
		if err != nil || strings.HasPrefix(f.Name(), ".") {
			continue
		}
		e := Entry{Path: filepath.Join(dir, f.Name()), Site: site, Created: created}
		if err := e.look(ctx); err != nil {
			e.Problem = err.Error()
		}
		list = append(list, e)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	slices.SortFunc(list, func(a, b Entry) int {
		return cmp.Or(b.Created.Compare(a.Created), strings.Compare(a.Path, b.Path))
	})
	return list, nil
}

// Look is what List says of one file.
func Look(ctx context.Context, path string) (Entry, error) {
	site, created, err := parseName(filepath.Base(path))
	e := Entry{Path: path, Site: site, Created: created}
	if err == nil {
		err = e.look(ctx)
	}
	return e, err
}

// look compares the size of a file with its seal.
func (e *Entry) look(ctx context.Context) error {
	file, err := os.Open(e.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	e.Bytes = info.Size()
	seal, err := ReadSeal(ctx, file)
	if err != nil {
		return err
	}
	e.Recipient = seal.Recipient
	switch {
	case e.Bytes < seal.Bytes:
		return fmt.Errorf("%w: it has %d of %d bytes", ErrTruncated, e.Bytes, seal.Bytes)
	case e.Bytes > seal.Bytes:
		return fmt.Errorf("%w: it has %d bytes more than when it was made", ErrAltered, e.Bytes-seal.Bytes)
	}
	return nil
}
