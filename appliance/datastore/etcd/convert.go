package etcd

import (
	"context"
	"fmt"

	bbolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/lease/leasepb"
	"go.etcd.io/etcd/server/v3/storage/schema"

	"islet/appliance/datastore"
)

const (
	// batchBytes is about how much is written at once.
	batchBytes = 8 << 20
	// fillShare of each page is used: keys come in their order, so that pages are not split again.
	fillShare = 0.9
)

// Convert makes a data directory of kine's database, which nothing may use meanwhile and which stays as it
// is. Etcd starts from the directory as the only member of a new cluster; name and peer are what that
// member is configured with. It serves the same keys with the same values and revisions as kine, and
// counts on from kine's newest; everything before that counts as compacted. A key that expires gets
// its whole time again. The digest is that of the result, read back, and equals that of the original.
func Convert(ctx context.Context, database, dir, name, peer string) (datastore.Digest, error) {
	digest, err := convert(ctx, database, dir, name, peer)
	if err != nil {
		return digest, fmt.Errorf("convert %s: %w", database, err)
	}
	return digest, nil
}

func convert(ctx context.Context, database, dir, name, peer string) (datastore.Digest, error) {
	k, err := openKine(database)
	if err != nil {
		return datastore.Digest{}, err
	}
	defer k.db.Close()
	want, err := k.digest(ctx)
	if err != nil {
		return want, err
	}
	_, err = build(dir, name, peer, func(out string) error {
		err := update(out, func(db *bbolt.DB) error { return k.copyTo(ctx, db, want.Revision) })
		if err != nil {
			return err
		}
		got, err := digestDatabase(out)
		if err == nil && got != want {
			err = fmt.Errorf("the copy is not the same: it has %+v, not %+v", got, want)
		}
		return err
	})
	return want, err
}

func (k kine) copyTo(ctx context.Context, db *bbolt.DB, newest int64) error {
	w := &writer{db: db, leases: map[int64]bool{}}
	if err := k.each(ctx, w.add); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error {
		if err := putLeases(tx, w.leases); err != nil {
			return err
		}
		compacted := revisionBytes(newest)
		return putMeta(tx, map[string][]byte{
			string(schema.ScheduledCompactKeyName): compacted, string(schema.FinishedCompactKeyName): compacted,
		})
	})
}

// writer writes keys in batches.
type writer struct {
	db     *bbolt.DB
	batch  []*mvccpb.KeyValue
	bytes  int
	leases map[int64]bool // that keys have
}

func (w *writer) add(kv *mvccpb.KeyValue) error {
	w.batch = append(w.batch, kv)
	w.bytes += kv.Size()
	if kv.Lease > 0 {
		w.leases[kv.Lease] = true
	}
	if w.bytes < batchBytes {
		return nil
	}
	return w.flush()
}

func (w *writer) flush() error {
	err := w.db.Update(func(tx *bbolt.Tx) error {
		keys, err := tx.CreateBucketIfNotExists(schema.Key.Name())
		if err != nil {
			return err
		}
		keys.FillPercent = fillShare
		for _, kv := range w.batch {
			value, err := kv.Marshal()
			if err != nil {
				return err
			}
			if err := keys.Put(revisionBytes(kv.ModRevision), value); err != nil {
				return err
			}
		}
		return nil
	})
	w.batch, w.bytes = nil, 0
	return err
}

// putLeases makes a lease for each time to live. Kine has no leases: it takes the seconds for the lease's identity,
// which clients were told.
func putLeases(tx *bbolt.Tx, seconds map[int64]bool) error {
	leases, err := tx.CreateBucketIfNotExists(schema.Lease.Name())
	if err != nil {
		return err
	}
	for ttl := range seconds {
		lease := leasepb.Lease{ID: ttl, TTL: ttl}
		value, err := lease.Marshal()
		if err != nil {
			return err
		}
		if err := leases.Put(numberBytes(uint64(ttl)), value); err != nil {
			return err
		}
	}
	return nil
}
