package datastore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"islet/appliance/atomicfile"
)

const (
	stamp  = "20060102T150405Z"
	suffix = ".db"
	// soonest is the least time before a snapshot, at the start and after a failure.
	soonest = time.Minute
)

// ErrNoSnapshot is returned when the ring is empty.
var ErrNoSnapshot = errors.New("there is no snapshot")

// ErrBusy is returned by Take while another snapshot is being taken.
var ErrBusy = errors.New("another snapshot is being taken")

// Ring is a bounded set of verified snapshots in one directory. Those of another kind of store are left alone: they are the
// way back after a migration.
type Ring struct {
	Dir      string
	Store    string // kind of what is in it: sqlite or etcd
	Interval time.Duration
	Keep     int
	MaxBytes int64
}

// Snapshot is one copy of the datastore; it was opened and checked when it was made.
type Snapshot struct {
	Path  string    `json:"path"`
	Taken time.Time `json:"taken"`
	Bytes int64     `json:"bytes"`
}

func (r Ring) prefix() string { return r.Store + "-" }

// List returns the snapshots, newest first.
func (r Ring) List() ([]Snapshot, error) {
	entries, err := os.ReadDir(r.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []Snapshot
	for _, e := range entries {
		at, ok := strings.CutPrefix(e.Name(), r.prefix())
		at, ends := strings.CutSuffix(at, suffix)
		taken, err := time.Parse(stamp, at)
		if !ok || !ends || err != nil {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // pruned since
		}
		if err != nil {
			return nil, err
		}
		out = append(out, Snapshot{Path: filepath.Join(r.Dir, e.Name()), Taken: taken, Bytes: info.Size()})
	}
	slices.SortFunc(out, func(a, b Snapshot) int { return b.Taken.Compare(a.Taken) })
	return out, nil
}

// Newest returns the newest snapshot, or ErrNoSnapshot.
func (r Ring) Newest() (Snapshot, error) {
	list, err := r.List()
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%w in %s", ErrNoSnapshot, r.Dir)
	}
	if err != nil {
		return Snapshot{}, err
	}
	return list[0], nil
}

// prune deletes what is over the count or over the bytes, oldest first, never the newest (LESSONS 22),
// and what interrupted calls of Take left.
func (r Ring) prune() error {
	list, err := r.List()
	if err != nil {
		return err
	}
	var total int64
	var errs []error
	for i, s := range list {
		total += s.Bytes
		if i > 0 && (i >= r.Keep || total > r.MaxBytes) {
			errs = append(errs, os.Remove(s.Path))
		}
	}
	partial, err := filepath.Glob(filepath.Join(r.Dir, r.prefix()+"*"+suffix+".partial*"))
	errs = append(errs, err)
	for _, path := range partial {
		errs = append(errs, os.Remove(path))
	}
	return errors.Join(errs...)
}

// due is how long after now the next snapshot is to be taken: one interval after the newest, so that
// restarts neither skip nor multiply them, and not at once, because a start is a busy time. A newest
// one from the future, which a clock that was ahead has left, puts the next one off by an interval.
func (r Ring) due(now time.Time) time.Duration {
	newest, err := r.Newest()
	if err != nil {
		return soonest
	}
	return max(soonest, min(newest.Taken.Add(r.Interval).Sub(now), r.Interval))
}

// Take makes a snapshot now, verifies it, and prunes the ring. Of a site's own database it is only a note.
func (p Params) Take(ctx context.Context) (Snapshot, error) {
	s, _, err := p.TakeAndTell(ctx)
	return s, err
}

// TakeAndTell is Take with what the check of the snapshot said.
func (p Params) TakeAndTell(ctx context.Context) (Snapshot, Report, error) {
	if p.External != nil { // there is nothing here to keep several of
		report, err := p.store().snapshot(ctx, p.Path())
		return Snapshot{report.Path, time.Now().UTC().Truncate(time.Second), report.Bytes}, report, err
	}
	unlock, err := p.Ring.lock()
	if err != nil {
		return Snapshot{}, Report{}, err
	}
	defer unlock()
	taken := time.Now().UTC().Truncate(time.Second)
	path := filepath.Join(p.Ring.Dir, p.Ring.prefix()+taken.Format(stamp)+suffix)
	report, err := p.store().snapshot(ctx, path)
	if err != nil {
		return Snapshot{}, report, err
	}
	if err := atomicfile.SyncDir(p.Ring.Dir); err != nil {
		return Snapshot{}, report, err
	}
	p.Log.Info("datastore snapshot taken", "path", path, "revision", report.Revision, "bytes", report.Bytes)
	return Snapshot{path, taken, report.Bytes}, report, p.Ring.prune()
}

// lock makes the directory and keeps others from taking a snapshot at the same time.
func (r Ring) lock() (unlock func(), err error) {
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return nil, err
	}
	dir, err := os.Open(r.Dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = dir.Close()
		return nil, ErrBusy
	}
	return func() { _ = dir.Close() }, nil
}
