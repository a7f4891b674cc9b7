package sqlite

import (
	"context"
	"fmt"
)

// predecessor makes the table that kine's predecessor kept its keys in, with one row that nothing is
// ever migrated from. At its start kine asks for both tables' counts and, when the old one is missing
// or empty, never reads the second answer: that query stays open for as long as kine runs. An open
// query is a reader, and past a reader SQLite moves nothing from its log into the database. The log
// would only grow, by 40 kB per write. (kine v0.16.4, generic.Migrate; this goes when it closes its
// query.)
func predecessor(ctx context.Context, path string) error {
	db, err := open(path)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, statement := range []string{
		"CREATE TABLE IF NOT EXISTS key_value (id INTEGER, name TEXT, value BLOB, ttl INTEGER)",
		"INSERT INTO key_value SELECT NULL, NULL, NULL, NULL WHERE NOT EXISTS (SELECT 1 FROM key_value)",
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("prepare %s: %w", path, err)
		}
	}
	return nil
}
