package datastore

import (
	"cmp"
	"context"
	"encoding/json"
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
	"islet/appliance/layout"
)

const reportSuffix = ".json"

// Restoration tells what happened to a damaged database.
type Restoration struct {
	At       time.Time `json:"at"`
	Found    string    `json:"found"`    // what is wrong with it
	Kept     string    `json:"kept"`     // where it was put aside
	Snapshot string    `json:"snapshot"` // what took its place; empty where the other servers have everything
	Taken    time.Time `json:"taken"`    // when the snapshot was taken: later writes are lost
}

// restore puts the newest snapshot that is still sound in the place of the database. Without one it
// starts nothing: an empty cluster in the place of a damaged one would delete every pod on the node.
// It is safe to repeat after a power cut at any moment.
func (p Params) restore(ctx context.Context, found string) error {
	database := p.Path()
	candidate := database + ".restoring"
	chosen, err := p.choose(ctx, candidate)
	if err != nil {
		return fmt.Errorf("%s; and no snapshot can take its place: %w", found, err)
	}
	done, err := p.putAside(Restoration{Found: found, Snapshot: chosen.Path, Taken: chosen.Taken})
	if err != nil {
		return err
	}
	if err := os.Rename(candidate, database); err != nil {
		return err
	}
	if err := atomicfile.SyncDir(filepath.Dir(database)); err != nil {
		return err
	}
	p.Log.Error("datastore restored from a snapshot", "found", found, "snapshot", chosen.Path, "taken", chosen.Taken, "kept", done.Kept)
	if p.Restored != nil {
		p.Restored(done)
	}
	return nil
}

// putAside makes room for what takes the place of a damaged database, and writes the report of that.
func (p Params) putAside(r Restoration) (Restoration, error) {
	r.At = time.Now()
	r.Kept = fmt.Sprintf("%s.damaged-%s", p.Path(), r.At.UTC().Format(stamp))
	for _, ending := range p.store().endings() {
		if err := os.Rename(p.Path()+ending, r.Kept+ending); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return r, err
		}
	}
	return r, r.write() // syncs the renames too
}

// write keeps the report beside the database that was put aside.
func (r Restoration) write() error {
	report, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return atomicfile.Write(r.Kept+reportSuffix, report, 0o600)
}

// LastRestoration returns the newest report of which the damaged database is still there, nil when there is none: who
// has dealt with the loss removes that file.
func LastRestoration(l layout.Layout) (*Restoration, error) {
	reports, err := filepath.Glob(filepath.Join(l.Datastore(), "*.damaged-*"+reportSuffix))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(reports, func(a, b string) int { return cmp.Compare(timeIn(a), timeIn(b)) })
	for _, path := range slices.Backward(reports) {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var r Restoration
		if err := json.Unmarshal(content, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if _, err := os.Stat(r.Kept); err == nil {
			return &r, nil
		}
	}
	return nil, nil
}

// timeIn is the part of a report's name that orders reports.
func timeIn(report string) string {
	_, at, _ := strings.Cut(filepath.Base(report), ".damaged-")
	return at
}

// choose makes a candidate of the newest sound snapshot at path. Each was sound when it was made, but the disk that
// damaged the database holds the snapshots too.
func (p Params) choose(ctx context.Context, path string) (Snapshot, error) {
	list, err := p.Ring.List()
	if err != nil {
		return Snapshot{}, err
	}
	errs := []error{}
	for _, s := range list {
		err := os.RemoveAll(path) // of an interrupted attempt
		if err == nil {
			err = p.store().candidate(ctx, s.Path, path)
		}
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil {
			return Snapshot{}, ctx.Err()
		}
		p.Log.Warn("snapshot not usable", "snapshot", s.Path, "error", err)
		errs = append(errs, fmt.Errorf("%s: %w", s.Path, err))
	}
	if len(errs) == 0 {
		return Snapshot{}, fmt.Errorf("%w in %s", ErrNoSnapshot, p.Ring.Dir)
	}
	return Snapshot{}, errors.Join(errs...)
}

// copyFile copies a snapshot and makes the copy durable.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
