package datastore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"islet/appliance/atomicfile"
	"islet/appliance/layout"
)

// Inheritance is where a snapshot waits, beside etcd's directory, of which etcd is to begin: that of a backup.
func Inheritance(l layout.Layout) string { return filepath.Join(l.Datastore(), "etcd.db") }

// inherit makes etcd's directory where there is none, of a backup's snapshot or of the SQLite database with which this server
// was alone. It may be repeated after a power cut at any moment.
func (p Params) inherit(ctx context.Context) error {
	dir, snapshot, database := EtcdDir(p.Layout), Inheritance(p.Layout), Database(p.Layout)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	candidate := dir + ".coming"
	if err := os.RemoveAll(candidate); err != nil {
		return err
	}
	from, fill := snapshot, func() error { return p.store().candidate(ctx, snapshot, candidate) }
	if _, err := os.Stat(snapshot); errors.Is(err, fs.ErrNotExist) {
		from, fill = database, func() error { return p.convert(ctx, candidate) }
	}
	if _, err := os.Stat(from); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil // a new site, or a server that joins one
		}
		return err
	}
	if err := fill(); err != nil {
		return fmt.Errorf("take over what is in %s: %w", from, err)
	}
	if err := os.Rename(candidate, dir); err != nil {
		return err
	}
	p.Log.Info("datastore begins with what there was", "from", from)
	if from == snapshot { // it has served its purpose; SQLite's database stays until somebody says that it may go
		if err := os.Remove(snapshot); err != nil {
			return err
		}
	}
	return atomicfile.SyncDir(p.Layout.Datastore())
}

// convert copies what SQLite holds, and compares the two.
func (p Params) convert(ctx context.Context, candidate string) error {
	_, err := ask[Digest](ctx, p, EtcdToolName, append([]string{"convert", "--database", Database(p.Layout), "--data-dir", candidate}, p.seat()...)...)
	return err
}
