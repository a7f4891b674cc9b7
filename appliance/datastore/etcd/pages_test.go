package etcd

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bbolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/storage/schema"

	"islet/appliance/datastore"
)

// smallDatabase is one with branches, with small buckets, and with pages that are free. The larger a scale, the more of its
// values are longer than a page.
func smallDatabase(t testing.TB, scale int64, options *bbolt.Options) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	db, err := bbolt.Open(path, 0o600, options)
	if err != nil {
		t.Fatal(err)
	}
	for round := range int64(2) {
		err = errors.Join(err, db.Update(func(tx *bbolt.Tx) error {
			keys, err := tx.CreateBucketIfNotExists(schema.Key.Name())
			for i := range int64(60) {
				kv := mvccpb.KeyValue{Key: []byte(strings.Repeat("k", int(i+1))), Value: make([]byte, scale*i*(1+i%11)), ModRevision: round*60 + i + 1}
				value, marshalErr := kv.Marshal()
				err = errors.Join(err, marshalErr, keys.Put(revisionBytes(kv.ModRevision), value))
			}
			return errors.Join(err, putMeta(tx, map[string][]byte{string(schema.FinishedCompactKeyName): revisionBytes(round + 1)}))
		}))
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// look checks a database that is only in memory yet.
func look(t testing.TB, data []byte) (datastore.Report, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var report datastore.Report
	err := view(path, func(tx *bbolt.Tx) error { return examine(tx, &report) })
	return report, err
}

// TestNoPageEndsTheProcess changes bytes everywhere, most of all in the heads of pages, which bbolt trusts.
func TestNoPageEndsTheProcess(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]*bbolt.Options{"as etcd writes it": {NoFreelistSync: true}, "with a list of free pages": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := smallDatabase(t, 10, options)
			if report, err := look(t, whole); err != nil || report.Rows != 60 || report.Revision != 120 {
				t.Fatalf("the whole one: %+v (%v)", report, err)
			}
			found := 0
			random := rand.New(rand.NewPCG(1, 2))
			for range 300 {
				data := bytes.Clone(whole)
				at := random.IntN(len(data)/4096)*4096 + random.IntN(64)
				data[at] ^= byte(1 + random.IntN(255))
				if _, err := look(t, data); err != nil {
					found++
					if !errors.Is(err, datastore.ErrDamaged) || strings.Contains(err.Error(), "\n") {
						t.Errorf("byte %d: %v", at, err)
					}
				}
			}
			if found < 75 {
				t.Errorf("only %d of 300 damages were found", found)
			}
		})
	}
}

// FuzzPages writes something somewhere into a database that is sound.
func FuzzPages(f *testing.F) {
	whole := smallDatabase(f, 0, &bbolt.Options{NoFreelistSync: true})
	listed := smallDatabase(f, 0, nil)
	for page := range uint32(6) {
		f.Add(page*4096+8, []byte{branchPage, 0, 1}, page%2 == 0)
		f.Add(page*4096+12, []byte{0xff, 0xff}, page%2 == 0)
	}
	f.Fuzz(func(t *testing.T, at uint32, patch []byte, list bool) {
		data := bytes.Clone(whole)
		if list {
			data = bytes.Clone(listed)
		}
		copy(data[at%uint32(len(data)):], patch)
		if _, err := look(t, data); err != nil && !errors.Is(err, datastore.ErrDamaged) {
			t.Error(err)
		}
	})
}
