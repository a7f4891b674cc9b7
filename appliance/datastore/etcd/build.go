package etcd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	bbolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/storage/datadir"

	"islet/appliance/atomicfile"
	"islet/appliance/datastore"
)

// build makes a data directory from which etcd can start as the only member of a new cluster. The
// directory must not be there, or be empty; it appears under its name only when fill has made its
// database, and when it was found sound. What a power cut has left of an earlier attempt is removed.
func build(dir, name, peer string, fill func(database string) error) (datastore.Report, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return datastore.Report{}, err
	}
	if len(entries) > 0 {
		return datastore.Report{}, fmt.Errorf("%s is not empty", dir)
	}
	tmp := filepath.Clean(dir) + partial
	if err := os.RemoveAll(tmp); err != nil {
		return datastore.Report{}, err
	}
	report, err := buildAt(tmp, name, peer, fill)
	if err != nil {
		_ = os.RemoveAll(tmp)
		return report, err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return report, err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return report, err
	}
	report.Path = dir
	return report, atomicfile.SyncDir(filepath.Dir(filepath.Clean(dir)))
}

func buildAt(tmp, name, peer string, fill func(database string) error) (datastore.Report, error) {
	if err := os.MkdirAll(datadir.ToSnapDir(tmp), 0o700); err != nil {
		return datastore.Report{}, err
	}
	database := datadir.ToBackendFileName(tmp)
	if err := fill(database); err != nil {
		return datastore.Report{}, err
	}
	if err := found(tmp, name, peer); err != nil {
		return datastore.Report{}, fmt.Errorf("found a cluster on %s: %w", database, err)
	}
	for _, dir := range []string{datadir.ToSnapDir(tmp), datadir.ToMemberDir(tmp), tmp} {
		if err := atomicfile.SyncDir(dir); err != nil {
			return datastore.Report{}, err
		}
	}
	return Check(tmp)
}

// update calls f with a database that it may change, and makes the changes durable. Like etcd it does not
// write the list of free pages.
func update(path string, f func(*bbolt.DB) error) (err error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true, Timeout: lockTimeout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return f(db)
}
