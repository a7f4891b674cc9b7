package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"islet/appliance/atomicfile"
	"islet/appliance/layout"
)

// sumSuffix ends the name of the file beside a backup that holds its SHA-256, as sha256sum writes it. It is written when
// the backup has been read back, so that one without it is not known to be what was made.
const sumSuffix = ".sha256"

// left is the age from which a file under construction is what a power cut has left.
const left = time.Hour

// Shelf is a directory of the backups of one server, bounded by count and bytes. The newest one that is verified is never
// deleted.
type Shelf struct {
	Dir      string
	Keep     int
	MaxBytes int64
}

// OwnDir is where a server's own backups are.
func OwnDir(l layout.Layout) string { return filepath.Join(l.Backups(), "site") }

// CopiesDir is where a node keeps those of a server.
func CopiesDir(l layout.Layout, server string) string {
	return filepath.Join(l.Backups(), "copies", server)
}

// Kept is a backup on a shelf.
type Kept struct {
	Entry
	SHA256 string `json:"sha256,omitempty"`
	// Verified says that it was read back or compared when it came here, and still has its size.
	Verified bool `json:"verified"`
}

// Name is the backup's name on every shelf.
func (k Kept) Name() string { return filepath.Base(k.Path) }

// List returns what is on the shelf, the newest first. No file is read but for its head.
func (s Shelf) List(ctx context.Context) ([]Kept, error) {
	entries, err := List(ctx, s.Dir)
	if err != nil {
		return nil, err
	}
	out := make([]Kept, 0, len(entries))
	for _, e := range entries {
		k := Kept{Entry: e}
		sum, err := os.ReadFile(e.Path + sumSuffix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if digest, _, ok := strings.Cut(string(sum), " "); ok {
			k.SHA256, k.Verified = digest, e.Problem == ""
		}
		out = append(out, k)
	}
	return out, nil
}

// Make adds a backup, and prunes the shelf.
func (s Shelf) Make(ctx context.Context, to Recipient, from Source) (Written, error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return Written{}, err
	}
	written, err := WriteFile(ctx, filepath.Join(s.Dir, Name(from.Manifest.Site, from.Manifest.Created)), to, from)
	if err == nil {
		err = writeSum(written.Path, written.SHA256)
	}
	if err == nil {
		err = s.Prune(ctx)
	}
	return written, err
}

// Copy adds a backup that another machine has, if it is the one with that digest.
func (s Shelf) Copy(ctx context.Context, name, digest string, r io.Reader) (err error) {
	if _, _, err := parseName(name); err != nil || name != filepath.Base(name) {
		return fmt.Errorf("%w: it is called %.80q", ErrNotBackup, name)
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(s.Dir, "."+name+".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close()
			_ = os.Remove(tmp.Name())
		}
	}()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(tmp, sum), &source{ctx: ctx, r: r}); err != nil {
		return err
	}
	if have := hex.EncodeToString(sum.Sum(nil)); have != digest {
		return fmt.Errorf("%w: its SHA-256 is %s, and where it was made it is %s", ErrAltered, have, digest)
	}
	if err := errors.Join(tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	path := filepath.Join(s.Dir, name)
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return writeSum(path, digest) // syncs the directory, too
}

func writeSum(path, digest string) error {
	return atomicfile.Write(path+sumSuffix, fmt.Appendf(nil, "%s  %s\n", digest, filepath.Base(path)), 0o600)
}

// Wants says which of these, the newest first, belong on the shelf, by the same bounds as Prune.
func (s Shelf) Wants(sizes []int64) int {
	var total int64
	for i, size := range sizes {
		if total += size; i > 0 && (i >= s.Keep || total > s.MaxBytes) {
			return i
		}
	}
	return len(sizes)
}

// Prune deletes what is over the count or over the bytes, oldest first, and what was under construction when the power went.
// The newest that proves whole now stays, whatever the bounds; where none does, all stay.
func (s Shelf) Prune(ctx context.Context) error {
	list, err := s.List(ctx)
	if err != nil {
		return err
	}
	sizes := make([]int64, len(list))
	for i, k := range list {
		sizes[i] = k.Bytes
	}
	errs := []error{s.tidy()}
	if keep := s.Wants(sizes); keep < len(list) {
		good := s.newestWhole(ctx, list)
		for i := keep; i < len(list) && good >= 0; i++ {
			if i != good {
				errs = append(errs, os.Remove(list[i].Path), ignoreMissing(os.Remove(list[i].Path+sumSuffix)))
			}
		}
	}
	return errors.Join(errs...)
}

// newestWhole reads until it finds one; -1 when there is none.
func (s Shelf) newestWhole(ctx context.Context, list []Kept) int {
	for i, k := range list {
		if !k.Verified {
			continue
		}
		if file, err := digestFile(ctx, k.Path); err == nil && file.SHA256 == k.SHA256 {
			return i
		}
	}
	return -1
}

// tidy removes files that were never completed, and sums of what is gone.
func (s Shelf) tidy() error {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return ignoreMissing(err)
	}
	var errs []error
	for _, e := range entries {
		path := filepath.Join(s.Dir, e.Name())
		if of, ok := strings.CutSuffix(path, sumSuffix); ok {
			if _, err := os.Lstat(of); errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, ignoreMissing(os.Remove(path)))
			}
		}
		info, err := e.Info()
		if err == nil && strings.HasPrefix(e.Name(), ".") && strings.Contains(e.Name(), suffix+".tmp-") && time.Since(info.ModTime()) > left {
			errs = append(errs, ignoreMissing(os.Remove(path)))
		}
	}
	return errors.Join(errs...)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
