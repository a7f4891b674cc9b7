package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"modernc.org/sqlite" // also registers the "sqlite" driver
	sqlite3 "modernc.org/sqlite/lib"

	"islet/appliance/datastore"
)

// Check opens the database, which replays or drops an unfinished WAL, and verifies every page. It
// returns datastore.ErrDamaged only for what SQLite calls corrupt: a disk that is full or a file that
// may not be read says nothing about the data. A database that is not there, or that was killed
// before its first table was made, is sound and has no rows.
func Check(ctx context.Context, path string) (datastore.Report, error) {
	report := datastore.Report{Path: path}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return report, nil
	}
	if err != nil {
		return report, err
	}
	report.Bytes = info.Size()
	db, err := open(path)
	if err != nil {
		return report, err
	}
	defer db.Close()
	if err := examine(ctx, db, &report); err != nil {
		return report, fmt.Errorf("check %s: %w", path, judge(err))
	}
	return report, nil
}

func examine(ctx context.Context, db *sql.DB, report *datastore.Report) error {
	found, err := integrity(ctx, db)
	if err != nil {
		return err
	}
	if found != "" {
		return fmt.Errorf("%w: %s", datastore.ErrDamaged, found)
	}
	var tables int
	if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_master WHERE name = 'kine'").Scan(&tables); err != nil || tables == 0 {
		return err
	}
	return db.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0), COUNT(*) FROM kine").Scan(&report.Revision, &report.Rows)
}

// judge tells damage from everything else that can go wrong.
func judge(err error) error {
	if e := (*sqlite.Error)(nil); errors.As(err, &e) {
		switch e.Code() & 0xff { // the rest is SQLite's finer distinction
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			return fmt.Errorf("%w: %w", datastore.ErrDamaged, err)
		}
	}
	return err
}

// integrity returns what SQLite finds wrong as one line, empty when nothing is.
func integrity(ctx context.Context, db *sql.DB) (string, error) {
	rows, err := db.QueryContext(ctx, "PRAGMA integrity_check(3)")
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var found []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return "", err
		}
		if line != "ok" {
			found = append(found, strings.Split(line, "\n")...)
		}
	}
	return strings.Join(found, "; "), rows.Err()
}

// Snapshot writes a consistent copy of a database that may be in use, then opens and checks the
// copy. The copy appears under its name only when it is sound.
func Snapshot(ctx context.Context, path, dst string) (datastore.Report, error) {
	if _, err := os.Stat(path); err != nil {
		return datastore.Report{}, err
	}
	tmp := dst + ".partial"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return datastore.Report{}, err
	}
	report, err := copyAndCheck(ctx, path, tmp)
	if err != nil {
		_ = os.Remove(tmp)
		return report, fmt.Errorf("snapshot %s: %w", path, judge(err))
	}
	if err := os.Rename(tmp, dst); err != nil {
		return report, err
	}
	report.Path = dst
	return report, nil
}

func copyAndCheck(ctx context.Context, path, tmp string) (datastore.Report, error) {
	db, err := open(path)
	if err != nil {
		return datastore.Report{}, err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", tmp); err != nil {
		return datastore.Report{}, err
	}
	f, err := os.OpenFile(tmp, os.O_RDWR, 0)
	if err != nil {
		return datastore.Report{}, err
	}
	err = errors.Join(f.Chmod(0o600), f.Sync(), f.Close())
	if err != nil {
		return datastore.Report{}, err
	}
	return Check(ctx, tmp)
}

func open(path string) (*sql.DB, error) {
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: "_pragma=busy_timeout(30000)"}
	return sql.Open("sqlite", dsn.String())
}
