//go:build !cgo

// The engine is built without cgo, which selects another SQLite than with it: only that one counts.

package etcd

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"islet/appliance/datastore"
	"islet/appliance/datastore/sqlite"
)

// serveKine serves a database until the returned function is called.
func serveKine(t *testing.T, database string) (*clientv3.Client, func()) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "kine.sock")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- sqlite.Serve(ctx, database, socket) }()
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{"unix://" + socket}, Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())},
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "kine", func() error {
		_, err := client.Get(ctx, "/registry/none")
		return err
	})
	return client, func() {
		t.Helper()
		_ = client.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
}

// put writes a key as the API server does; a revision of 0 makes it.
func put(t *testing.T, client *clientv3.Client, key, value string, revision int64, opts ...clientv3.OpOption) int64 {
	t.Helper()
	txn := client.Txn(t.Context()).If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).Then(clientv3.OpPut(key, value, opts...))
	if revision > 0 {
		txn = txn.Else(clientv3.OpGet(key))
	}
	response, err := txn.Commit()
	if err != nil || !response.Succeeded {
		t.Fatalf("%s at %d: %+v (%v)", key, revision, response, err)
	}
	return response.Header.Revision
}

func remove(t *testing.T, client *clientv3.Client, key string, revision int64) {
	t.Helper()
	response, err := client.Txn(t.Context()).If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
		Then(clientv3.OpDelete(key)).Else(clientv3.OpGet(key)).Commit()
	if err != nil || !response.Succeeded {
		t.Fatalf("delete %s: %+v (%v)", key, response, err)
	}
}

// markCompaction is how the API server says in the datastore that it has compacted it.
func markCompaction(t *testing.T, client *clientv3.Client, version int64, value string) {
	t.Helper()
	response, err := client.Txn(t.Context()).If(clientv3.Compare(clientv3.Version(compactKey), "=", version)).
		Then(clientv3.OpPut(compactKey, value)).Else(clientv3.OpGet(compactKey)).Commit()
	if err != nil || !response.Succeeded {
		t.Fatalf("%+v (%v)", response, err)
	}
}

// fillKine writes what a site writes.
func fillKine(t *testing.T, client *clientv3.Client) {
	t.Helper()
	for _, ttl := range []int64{3600, 7200} {
		lease, err := client.Grant(t.Context(), ttl)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			put(t, client, fmt.Sprintf("/registry/events/%d/%d", ttl, i), "event", 0, clientv3.WithLease(lease.ID))
		}
	}
	for i := range 60 {
		key := fmt.Sprintf("/registry/things/%02d", i)
		at := put(t, client, key, strings.Repeat(string(rune('a'+i%26)), i*50), 0)
		switch i % 4 {
		case 1:
			at = put(t, client, key, "changed", at)
			put(t, client, key, "and again\x00\xff", at)
		case 2:
			remove(t, client, key, at)
		case 3:
			remove(t, client, key, at)
			put(t, client, key, "", 0)
		}
	}
	markCompaction(t, client, 0, "7")
	markCompaction(t, client, 1, "9")
	remove(t, client, "/registry/last", put(t, client, "/registry/last", "x", 0)) // the newest revision is that of no key
}

// served is everything that kine serves, as one answer: it knows no range without a beginning.
func served(t *testing.T, client *clientv3.Client) *clientv3.GetResponse {
	t.Helper()
	response, err := client.Get(t.Context(), "/", clientv3.WithRange("0"))
	if err != nil {
		t.Fatal(err)
	}
	mark, err := client.Get(t.Context(), compactKey)
	if err != nil || len(mark.Kvs) != 1 {
		t.Fatalf("%+v (%v)", mark, err)
	}
	response.Kvs = append(response.Kvs, mark.Kvs...)
	return response
}

func TestConvert(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "state.db")
	client, stop := serveKine(t, database)
	fillKine(t, client)
	want := served(t, client)
	crashed := filepath.Join(t.TempDir(), "state.db")
	for _, ending := range []string{"", "-wal"} { // what is in the log only must count
		data, err := os.ReadFile(database + ending)
		if err == nil {
			err = os.WriteFile(crashed+ending, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	stop()
	before := tool[datastore.Digest](t, "digest-sqlite", database)
	if after := tool[datastore.Digest](t, "digest-sqlite", crashed); after != before {
		t.Errorf("after a crash %+v, want %+v", after, before)
	}
	if before.Keys != int64(len(want.Kvs)) || before.Revision != want.Header.Revision {
		t.Errorf("%+v, but kine serves %d keys at %d", before, len(want.Kvs), want.Header.Revision)
	}
	content, err := os.ReadFile(database)
	if err != nil {
		t.Fatal(err)
	}

	m := newMember(t, "a")
	args := []string{"convert", "--database", database, "--data-dir", m.dir, "--name", "a", "--peer", m.peer}
	if got := tool[datastore.Digest](t, args...); got != before {
		t.Errorf("%+v, want %+v", got, before)
	}
	if _, err := try[datastore.Digest](t, args...); err == nil {
		t.Error("converted twice into the same directory")
	}
	if after, err := os.ReadFile(database); err != nil || !bytes.Equal(after, content) {
		t.Errorf("the original was changed (%v)", err)
	}

	m.start(t)
	etcd := m.connect(t)
	got := all(t, etcd)
	sameKeys(t, got, ordered(want))
	if got.Header.Revision != want.Header.Revision {
		t.Errorf("at %d, want %d", got.Header.Revision, want.Header.Revision)
	}
	for _, kv := range got.Kvs {
		if version := map[bool]int64{true: 1, false: 2}[kv.CreateRevision == kv.ModRevision]; kv.Version != version {
			t.Errorf("%s has the version %d, want %d", kv.Key, kv.Version, version)
		}
	}
	markCompaction(t, etcd, 2, "11") // the version is what kine said
	compacted(t, m, want.Header.Revision-1, true)
	goesOn(t, m, want.Header.Revision+1)
	leases(t, m.connect(t))
	copies(t, m)
}

// ordered puts the last key where it belongs.
func ordered(r *clientv3.GetResponse) *clientv3.GetResponse {
	last := r.Kvs[len(r.Kvs)-1]
	i := 0
	for i < len(r.Kvs) && bytes.Compare(r.Kvs[i].Key, last.Key) < 0 {
		i++
	}
	copy(r.Kvs[i+1:], r.Kvs[i:len(r.Kvs)-1])
	r.Kvs[i] = last
	return r
}

// leases checks that keys go when their time is over.
func leases(t *testing.T, client *clientv3.Client) {
	t.Helper()
	for _, ttl := range []int64{3600, 7200} {
		lease, err := client.TimeToLive(t.Context(), clientv3.LeaseID(ttl), clientv3.WithAttachedKeys())
		if err != nil || lease.GrantedTTL != ttl || lease.TTL <= ttl-60 || len(lease.Keys) != 5 {
			t.Errorf("the lease of %d s: %+v (%v)", ttl, lease, err)
		}
	}
	if _, err := client.Revoke(t.Context(), 7200); err != nil {
		t.Fatal(err)
	}
	left, err := client.Get(t.Context(), "/registry/events/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil || left.Count != 5 {
		t.Errorf("%+v (%v)", left, err)
	}
}

func TestConvertWhatKineLeft(t *testing.T) {
	t.Parallel()
	row := "INSERT INTO kine (id, name, created, deleted, create_revision, prev_revision, lease, value) VALUES "
	cases := []struct {
		name string
		rows []string
		want datastore.Digest // without the hash
		fail bool
	}{
		{"nothing", nil, datastore.Digest{Revision: 1}, false},
		{"its own rows", []string{"(1, 'compact_rev_key', 1, 0, 0, 0, 0, '')", "(2, 'gap-2', 0, 1, 0, 0, 0, NULL)"}, datastore.Digest{Revision: 2}, false},
		{"no value, no lease", []string{"(4, '/a', 1, 0, 0, 0, NULL, NULL)"}, datastore.Digest{Revision: 4, Keys: 1}, false},
		{"a mark of an older kine", []string{"(3, 'compact_rev_key_apiserver', 0, 0, 2, 2, 0, '17')"}, datastore.Digest{Revision: 3, Keys: 1}, false},
		{"a mark that is no number", []string{"(3, 'compact_rev_key_apiserver', 0, 0, 2, 2, 0, 'x|17')"}, datastore.Digest{}, true},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			database := filepath.Join(t.TempDir(), "state.db")
			db, err := sql.Open("sqlite", database)
			if err != nil {
				t.Fatal(err)
			}
			_, err = db.ExecContext(t.Context(), "CREATE TABLE kine (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, created INTEGER, deleted INTEGER,"+
				" create_revision INTEGER, prev_revision INTEGER, lease INTEGER, value BLOB, old_value BLOB)")
			for _, values := range tc.rows {
				_, rowErr := db.ExecContext(t.Context(), row+values)
				err = errors.Join(err, rowErr)
			}
			if err := errors.Join(err, db.Close()); err != nil {
				t.Fatal(err)
			}
			got, err := Convert(t.Context(), database, filepath.Join(t.TempDir(), "etcd"), "a", "http://127.0.0.1:1")
			if tc.fail != (err != nil) {
				t.Errorf("%+v (%v)", got, err)
			}
			if got.Hash = ""; err == nil && got != tc.want {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
		})
	}
	missing := filepath.Join(t.TempDir(), "state.db")
	if _, err := DigestSQLite(t.Context(), missing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no database: %v", err)
	}
	if err := os.WriteFile(missing, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Convert(t.Context(), missing, filepath.Join(t.TempDir(), "etcd"), "a", "http://127.0.0.1:1"); err == nil {
		t.Error("a text is converted")
	}
}
