package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"islet/appliance/datastore"
)

// Check opens a database of that kind and verifies every page of it; it may write to it. It returns datastore.ErrDamaged for one that
// is not sound.
type Check func(ctx context.Context, kind, database string) (datastore.Report, error)

// Verify reads a whole backup, checks every digest, and has the database checked as well. For that it is copied into dir,
// which is the caller's to remove. Without a check the database's digest is all that is compared.
func Verify(ctx context.Context, r io.Reader, key Key, dir string, check Check) (Contents, error) {
	if check == nil {
		return Open(ctx, r, key, io.Discard)
	}
	path := filepath.Join(dir, "database")
	c, err := openTo(ctx, r, key, path)
	if err != nil {
		return c, err
	}
	have := c.Manifest.Datastore
	report, err := check(ctx, have.Kind, path)
	switch {
	case errors.Is(err, datastore.ErrDamaged):
		return c, fmt.Errorf("%w: %w", ErrAltered, err)
	case err != nil:
		return c, fmt.Errorf("check the database of the backup: %w", err)
	case report.Revision != have.Revision || report.Rows != have.Rows:
		return c, fmt.Errorf("%w: its database is at revision %d with %d rows, and the manifest says %d with %d",
			ErrAltered, report.Revision, report.Rows, have.Revision, have.Rows)
	}
	return c, nil
}

// openTo is Open with the database in a new file, which is on disk when it returns.
func openTo(ctx context.Context, r io.Reader, key Key, path string) (c Contents, err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return c, err
	}
	c, err = Open(ctx, r, key, file)
	return c, errors.Join(err, file.Sync(), file.Close())
}
