package etcd

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"strconv"

	"go.etcd.io/etcd/api/v3/mvccpb"
	_ "modernc.org/sqlite" // registers the "sqlite" driver

	"islet/appliance/datastore"
)

// Keys that kine keeps for itself (v0.16.4, pkg/server/compact.go). The API server's key of that name is stored
// under another, and its value has the version in front of it, because the API server compares that.
const (
	compactKey       = "compact_rev_key"
	compactKeyStored = "compact_rev_key_apiserver"
)

// columns are what scan reads, of rows that are the newest of their key.
const columns = "id, name, created, create_revision, COALESCE(lease, 0), value FROM kine"

// kine is a database of kine that is not in use.
type kine struct{ db *sql.DB }

// openKine opens the file for reading only. What a log beside it has is read too, and stays there.
func openKine(path string) (kine, error) {
	if _, err := os.Stat(path); err != nil {
		return kine{}, err
	}
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: "mode=ro&_pragma=query_only(1)&_pragma=busy_timeout(30000)"}
	db, err := sql.Open("sqlite", dsn.String())
	return kine{db}, err
}

// revision returns the newest, which may be that of a deletion or of one of kine's own rows.
func (k kine) revision(ctx context.Context) (int64, error) {
	revision := int64(0)
	err := k.db.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 1) FROM kine").Scan(&revision)
	return revision, err
}

// each calls f with every key that kine would serve, in the order of their newest revisions.
func (k kine) each(ctx context.Context, f func(*mvccpb.KeyValue) error) error {
	return k.query(ctx, f, "SELECT "+columns+` WHERE deleted = 0 AND name != ? AND id IN
		(SELECT MAX(id) FROM kine GROUP BY name) ORDER BY id`, compactKey)
}

// DigestSQLite returns the digest of what kine would serve from its database. It shares no query with the
// conversion.
func DigestSQLite(ctx context.Context, path string) (datastore.Digest, error) {
	k, err := openKine(path)
	if err != nil {
		return datastore.Digest{}, err
	}
	defer k.db.Close()
	digest, err := k.digest(ctx)
	if err != nil {
		err = fmt.Errorf("digest %s: %w", path, err)
	}
	return digest, err
}

func (k kine) digest(ctx context.Context) (datastore.Digest, error) {
	revision, err := k.revision(ctx)
	if err != nil {
		return datastore.Digest{}, err
	}
	d := newDigester()
	err = k.query(ctx, func(kv *mvccpb.KeyValue) error {
		d.add(kv)
		return nil
	}, "SELECT "+columns+` AS newest
		WHERE name != ?1 AND deleted = 0 AND NOT EXISTS
		(SELECT 1 FROM kine AS later WHERE later.name = newest.name AND later.id > newest.id)
		ORDER BY CASE name WHEN ?2 THEN ?1 ELSE name END`, compactKey, compactKeyStored)
	return d.at(revision), err
}

func (k kine) query(ctx context.Context, f func(*mvccpb.KeyValue) error, query string, args ...any) error {
	rows, err := k.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		kv, err := scan(rows)
		if err != nil {
			return err
		}
		if err := f(kv); err != nil {
			return err
		}
	}
	return rows.Err()
}

// scan makes of a row what kine would make of it. Kine keeps no versions: a key has the first until it is
// changed, and the second for ever after that.
func scan(rows *sql.Rows) (*mvccpb.KeyValue, error) {
	kv, created := &mvccpb.KeyValue{}, false
	if err := rows.Scan(&kv.ModRevision, &kv.Key, &created, &kv.CreateRevision, &kv.Lease, &kv.Value); err != nil {
		return nil, err
	}
	if created {
		kv.CreateRevision = kv.ModRevision
	}
	kv.Version = 2
	if kv.CreateRevision == kv.ModRevision {
		kv.Version = 1
	}
	if string(kv.Key) == compactKeyStored {
		version, value, found := bytes.Cut(kv.Value, []byte("|"))
		if !found { // as it was before kine kept the value
			value = []byte("0")
		}
		n, err := strconv.ParseInt(string(version), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("the version of %s: %w", compactKeyStored, err)
		}
		kv.Key, kv.Value, kv.Version = []byte(compactKey), value, n
	}
	return kv, nil
}
