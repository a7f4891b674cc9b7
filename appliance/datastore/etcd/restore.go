package etcd

import (
	"errors"
	"fmt"
	"io"
	"os"

	bbolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/storage/schema"

	"islet/appliance/datastore"
)

// Restore makes a data directory of a snapshot, for etcd to start from as the only member of a new
// cluster; name and peer are what that member is configured with. All keys keep their revisions. With
// bump, that many revisions after the newest are never used, and what is older counts as compacted:
// clients that have seen revisions which are lost now must list anew, and none is ever used twice.
func Restore(snapshot, dir, name, peer string, bump int64) (datastore.Report, error) {
	report, err := CheckFile(snapshot)
	if err != nil {
		return report, err
	}
	report, err = build(dir, name, peer, func(database string) error {
		if err := copyDatabase(snapshot, database); err != nil || bump == 0 {
			return err
		}
		return skipTo(database, report.Revision+bump)
	})
	if err != nil {
		return report, fmt.Errorf("restore %s: %w", snapshot, err)
	}
	return report, nil
}

// copyDatabase copies a snapshot without its checksum, which it verifies once more: this is what counts.
func copyDatabase(snapshot, database string) (err error) {
	file, err := os.Open(snapshot)
	if err != nil {
		return err
	}
	defer file.Close()
	length, err := trailer(file)
	if err != nil {
		return err
	}
	return write(database, io.NewSectionReader(file, 0, length))
}

// skipTo makes etcd count on from a revision. It takes the one up to which it was told to compact for its
// newest when no key has a newer one.
func skipTo(database string, revision int64) error {
	if revision < 0 {
		return errors.New("there are no revisions left")
	}
	return update(database, func(db *bbolt.DB) error {
		return db.Update(func(tx *bbolt.Tx) error {
			return putMeta(tx, map[string][]byte{string(schema.ScheduledCompactKeyName): revisionBytes(revision)})
		})
	})
}
