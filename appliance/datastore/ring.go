package datastore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"islet/appliance/atomicfile"
	"islet/appliance/component"
)

// SnapshotsName is the snapshot ring's name in the supervisor.
const SnapshotsName = "snapshots"

const (
	stamp  = "20060102T150405Z"
	prefix = "sqlite-"
	suffix = ".db"
)

// ErrNoSnapshot is returned when the ring is empty.
var ErrNoSnapshot = errors.New("there is no snapshot")

// Ring is a bounded set of verified snapshots in one directory.
type Ring struct {
	Dir      string
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
		at, ok := strings.CutPrefix(e.Name(), prefix)
		at, ends := strings.CutSuffix(at, suffix)
		taken, err := time.Parse(stamp, at)
		if !ok || !ends || err != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		out = append(out, Snapshot{filepath.Join(r.Dir, e.Name()), taken, info.Size()})
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

// prune deletes what is over the count or over the bytes, oldest first, never the newest (LESSONS 22).
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
	return errors.Join(errs...)
}

// Snapshots returns the unit that takes snapshots: one soon after the first start, then one per
// interval, counted from the newest there is, so that restarts neither skip nor multiply them.
func Snapshots(p Params) component.Unit {
	return component.Unit{New: func() component.Component {
		return component.Task{TaskName: SnapshotsName, TaskNeeds: []string{Name}, Do: func(ctx context.Context, ready func()) error {
			ready()
			for {
				wait := time.Minute
				if newest, err := p.Ring.Newest(); err == nil {
					wait = max(wait, time.Until(newest.Taken.Add(p.Ring.Interval)))
				}
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(wait):
				}
				if _, err := p.Take(ctx); err != nil {
					return err
				}
			}
		}}
	}}
}

// Take makes a snapshot now, verifies it, and prunes the ring.
func (p Params) Take(ctx context.Context) (Snapshot, error) {
	if err := os.MkdirAll(p.Ring.Dir, 0o700); err != nil {
		return Snapshot{}, err
	}
	taken := time.Now().UTC().Truncate(time.Second)
	path := filepath.Join(p.Ring.Dir, prefix+taken.Format(stamp)+suffix)
	report, err := p.tool(ctx, "snapshot", Database(p.Layout), path)
	if err != nil {
		return Snapshot{}, err
	}
	if err := atomicfile.SyncDir(p.Ring.Dir); err != nil {
		return Snapshot{}, err
	}
	p.Log.Info("datastore snapshot taken", "path", path, "revision", report.Revision, "bytes", report.Bytes)
	return Snapshot{path, taken, report.Bytes}, p.Ring.prune()
}

// copyFile copies a snapshot into place, whole or not at all.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	tmp := to + ".restoring"
	out, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if err := os.Rename(tmp, to); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(to))
}
