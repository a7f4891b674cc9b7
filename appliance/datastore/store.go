// Package datastore is where a site's state is kept: in SQLite, served by kine, on a site of one server, in etcd on three or
// five, or in a database of the site's own. What is on disk is opened by the store engine only.
package datastore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"

	"islet/appliance/component"
	"islet/appliance/layout"
)

// ErrDamaged is returned for a database whose pages or indices do not agree. Its text crosses the
// border between the store engine and the daemon.
var ErrDamaged = errors.New("the database is damaged")

// Report is what the store engine says about a database that is sound.
type Report struct {
	Path     string `json:"path"`
	Revision int64  `json:"revision"` // the newest in it
	Rows     int64  `json:"rows"`     // 0 before the first write
	Bytes    int64  `json:"bytes"`
}

// Params is what the datastore is told.
type Params struct {
	Layout   layout.Layout
	Ring     Ring
	Log      *slog.Logger
	Child    func(name string, args ...string) component.Spec
	Etcd     *Etcd     // nil where the datastore is another
	External *External // the same
	// Restored is called when a snapshot took the place of the database; may be nil.
	Restored func(Restoration)
}

// store is what one kind of datastore does in its own way.
type store interface {
	// path is the file or the directory that is in use, together with those that have one of the endings.
	path() string
	endings() []string
	// check says whether that is sound. Nothing there is, and has no rows.
	check(ctx context.Context) (Report, error)
	snapshot(ctx context.Context, copy string) (Report, error)
	// candidate makes of a snapshot, if that is still sound, what can take the place of path.
	candidate(ctx context.Context, snapshot, path string) error
}

func (p Params) store() store {
	switch {
	case p.Etcd != nil:
		return etcdStore{p}
	case p.External != nil:
		return externalStore{p}
	}
	return sqliteStore{p}
}

// Name is the name of the datastore's program, in the supervisor too.
func (p Params) Name() string {
	if p.Etcd != nil {
		return EtcdName
	}
	return KineName
}

// URL is the datastore of this server as the API server takes it.
func (p Params) URL() string {
	if p.Etcd != nil {
		return "https://" + localClients
	}
	return "unix://" + p.Layout.KineSocket()
}

// Path is what is in use on this server: SQLite's file or etcd's directory. For a site's own database it is where a note of it is
// kept, which backups hold.
func (p Params) Path() string { return p.store().path() }

// Bytes is what that takes on disk, without snapshots.
func (p Params) Bytes() int64 {
	total := int64(0)
	for _, ending := range p.store().endings() {
		// What goes away meanwhile counts nothing.
		_ = filepath.WalkDir(p.Path()+ending, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return nil //nolint:nilerr // the same
			}
			if info, err := e.Info(); err == nil {
				total += info.Size()
			}
			return nil
		})
	}
	return total
}

// examine says what is wrong with the database in a way that a snapshot mends; empty when it may be
// used. A database that is not there, or in which nothing was ever written, is what a first start
// finds, and also what is left by a power cut in the middle of a restoration: the ring tells which.
func (p Params) examine(ctx context.Context) (string, error) {
	report, err := p.store().check(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist): // no rows
	case errors.Is(err, ErrDamaged):
		return err.Error(), nil
	case err != nil:
		return "", err
	case report.Rows > 0:
		return "", nil
	}
	if _, err := p.Ring.Newest(); errors.Is(err, ErrNoSnapshot) {
		return "", nil
	}
	return "there is nothing in " + p.Path() + ", though there are snapshots of it", nil
}

// ask runs a program of the store engine for one answer, which it decodes.
func ask[T any](ctx context.Context, p Params, program string, args ...string) (answer T, err error) {
	out, err := component.Output(ctx, p.Child(program, args...))
	if err != nil && strings.Contains(err.Error(), ErrDamaged.Error()) {
		return answer, damagedError{strings.TrimPrefix(err.Error(), program+": ")}
	}
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return answer, fmt.Errorf("read the store engine's answer: %w", err)
	}
	return answer, nil
}

// damagedError is ErrDamaged in the words of the store engine.
type damagedError struct{ text string }

func (e damagedError) Error() string { return e.text }

func (e damagedError) Is(target error) bool { return target == ErrDamaged }
