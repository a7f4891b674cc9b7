package datastore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"islet/appliance/component"
	"islet/appliance/layout"
)

// KineName is the name of kine, which serves SQLite, or a database of the site's own.
const KineName = "kine"

// Database is the SQLite file.
func Database(l layout.Layout) string { return filepath.Join(l.Datastore(), "state.db") }

// Kine returns the unit of kine. Before each start of it on SQLite the database is checked; a damaged one
// is put aside and the newest sound snapshot takes its place (LESSONS 20).
func Kine(p Params) component.Unit {
	if p.External != nil {
		return externalKine(p)
	}
	database, socket := Database(p.Layout), p.Layout.KineSocket()
	return component.Unit{New: func() component.Component {
		spec := p.Child(KineName, "serve", "--database", database, "--listen", socket)
		spec.Prepare = p.prepareKine
		spec.Probe = func(ctx context.Context) error { return dialSocket(ctx, socket) }
		return component.NewProcess(spec)
	}}
}

func (p Params) prepareKine(ctx context.Context) error {
	if err := os.MkdirAll(p.Layout.Datastore(), 0o700); err != nil {
		return err
	}
	if err := p.leaveEtcd(); err != nil {
		return err
	}
	if err := os.Remove(p.Layout.KineSocket()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	found, err := p.examine(ctx)
	if err != nil || found == "" {
		return err
	}
	return p.restore(ctx, found)
}

// leaveEtcd puts aside what a site has left that returned to SQLite: another migration begins anew.
func (p Params) leaveEtcd() error {
	dir := EtcdDir(p.Layout)
	err := os.Rename(dir, dir+".left-"+time.Now().UTC().Format(stamp))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// sqliteStore is one file and its log.
type sqliteStore struct{ p Params }

func (s sqliteStore) path() string { return Database(s.p.Layout) }

// The log goes aside with its database: it would be replayed into the one that follows.
func (s sqliteStore) endings() []string { return []string{"", "-wal", "-shm"} }

func (s sqliteStore) check(ctx context.Context) (Report, error) {
	if _, err := os.Stat(s.path()); err != nil {
		return Report{Path: s.path()}, err
	}
	return ask[Report](ctx, s.p, KineName, "check", s.path())
}

func (s sqliteStore) snapshot(ctx context.Context, copy string) (Report, error) {
	return ask[Report](ctx, s.p, KineName, "snapshot", s.path(), copy)
}

func (s sqliteStore) candidate(ctx context.Context, snapshot, path string) error {
	if err := copyFile(snapshot, path); err != nil {
		return err
	}
	_, err := ask[Report](ctx, s.p, KineName, "check", path)
	return err
}
