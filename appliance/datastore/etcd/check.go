package etcd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	bbolt "go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/etcd/server/v3/storage/datadir"

	"islet/appliance/datastore"
)

const (
	// lockTimeout is how long to wait for whoever has the database open.
	lockTimeout = 3 * time.Second
	// maxFound limits what a check says to what fits in a line.
	maxFound = 3
)

// Check verifies every page of the database in a data directory, and the log that etcd would replay into
// it. It changes nothing. It returns datastore.ErrDamaged only for what etcd could not start from or
// would read wrongly: a lock, or a file that may not be read, says nothing about the data, and a record
// at the end of the log that a power cut has torn is mended by etcd itself. A directory that is not
// there, or in which nothing was ever written, is sound and has no rows.
func Check(dir string) (datastore.Report, error) {
	report := datastore.Report{Path: dir}
	database := datadir.ToBackendFileName(dir)
	info, err := os.Stat(database)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return report, nil
	}
	if err != nil {
		return report, err
	}
	if !info.Mode().IsRegular() {
		return report, fmt.Errorf("%s is not a file", database)
	}
	report.Bytes = info.Size()
	err = view(database, func(tx *bbolt.Tx) error {
		if err := examine(tx, &report); err != nil {
			return err
		}
		return checkLog(dir, appliedIndex(tx))
	})
	if err != nil {
		return report, fmt.Errorf("check %s: %w", dir, err)
	}
	return report, nil
}

// CheckFile verifies a snapshot as etcd streams it: a database, followed by its checksum.
func CheckFile(path string) (datastore.Report, error) {
	report := datastore.Report{Path: path}
	file, err := os.Open(path)
	if err != nil {
		return report, err
	}
	defer file.Close()
	length, err := trailer(file)
	if err == nil {
		report.Bytes = length + checksumSize
		err = view(path, func(tx *bbolt.Tx) error { return examine(tx, &report) })
	}
	if err != nil {
		return report, fmt.Errorf("check %s: %w", path, err)
	}
	return report, nil
}

// examine lets bbolt check the database and fills the report.
func examine(tx *bbolt.Tx, report *datastore.Report) error {
	var found []string
	for err := range tx.Check() { // until it ends: it would wait for ever to tell the rest
		if len(found) < maxFound {
			found = append(found, strings.ReplaceAll(err.Error(), "\n", " "))
		}
	}
	if len(found) > 0 {
		return damaged("%s", strings.Join(found, "; "))
	}
	c, err := load(tx)
	report.Revision, report.Rows = c.revision, int64(len(c.live))
	return err
}

// view calls f with a database of which every page can be read, and which nobody writes to meanwhile.
// When f panics, the database has something in it that etcd did not write.
func view(path string, f func(*bbolt.Tx) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = damaged("%v", r)
		}
	}()
	db, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, Timeout: lockTimeout})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return fmt.Errorf("%s is in use", path)
	}
	if err != nil {
		return blame(err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := checkPages(db); err != nil {
		return blame(err)
	}
	return db.View(f)
}

// blame tells damage from what the operating system refuses.
func blame(err error) error {
	var path *fs.PathError
	var errno syscall.Errno
	if err == nil || errors.As(err, &path) || errors.As(err, &errno) || errors.Is(err, datastore.ErrDamaged) {
		return err
	}
	return fmt.Errorf("%w: %w", datastore.ErrDamaged, err)
}
