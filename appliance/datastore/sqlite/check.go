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

	_ "modernc.org/sqlite" // registers the "sqlite" driver
)

// ErrDamaged is returned by Check and Snapshot for a database whose pages or indices do not agree.
var ErrDamaged = errors.New("the database is damaged")

// Check opens the database, which replays or drops an unfinished WAL, and verifies every page.
func Check(ctx context.Context, path string) (Report, error) {
	report := Report{Path: path}
	info, err := os.Stat(path)
	if err != nil {
		return report, err
	}
	report.Bytes = info.Size()
	db, err := open(path)
	if err != nil {
		return report, err
	}
	defer db.Close()
	found, err := integrity(ctx, db)
	if err != nil {
		return report, fmt.Errorf("check %s: %w: %w", path, ErrDamaged, err)
	}
	if found != "" {
		return report, fmt.Errorf("check %s: %w: %s", path, ErrDamaged, found)
	}
	row := db.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0), COUNT(*) FROM kine")
	if err := row.Scan(&report.Revision, &report.Rows); err != nil {
		return report, fmt.Errorf("check %s: %w: %w", path, ErrDamaged, err)
	}
	return report, nil
}

// integrity returns what SQLite finds wrong, empty when nothing is.
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
			found = append(found, line)
		}
	}
	return strings.Join(found, "; "), rows.Err()
}

// Snapshot writes a consistent copy of a database that may be in use, then opens and checks the
// copy. The copy appears under its name only when it is sound.
func Snapshot(ctx context.Context, path, dst string) (Report, error) {
	if _, err := os.Stat(path); err != nil {
		return Report{}, err
	}
	tmp := dst + ".partial"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Report{}, err
	}
	report, err := copyAndCheck(ctx, path, tmp)
	if err != nil {
		_ = os.Remove(tmp)
		return report, fmt.Errorf("snapshot %s: %w", path, err)
	}
	if err := os.Rename(tmp, dst); err != nil {
		return report, err
	}
	report.Path = dst
	return report, nil
}

func copyAndCheck(ctx context.Context, path, tmp string) (Report, error) {
	db, err := open(path)
	if err != nil {
		return Report{}, err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", tmp); err != nil {
		return Report{}, err
	}
	f, err := os.OpenFile(tmp, os.O_RDWR, 0)
	if err != nil {
		return Report{}, err
	}
	err = errors.Join(f.Chmod(0o600), f.Sync(), f.Close())
	if err != nil {
		return Report{}, err
	}
	return Check(ctx, tmp)
}

func open(path string) (*sql.DB, error) {
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: "_pragma=busy_timeout(30000)"}
	return sql.Open("sqlite", dsn.String())
}
