package etcd

import (
	"encoding/binary"

	bbolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
)

// content is what a database holds at its newest revision, while its transaction lasts.
type content struct {
	revision int64
	live     map[string][]byte // the marshalled mvccpb.KeyValue of each key
}

// load builds the content from the key bucket, which has one entry per revision. It panics on keys that are no
// revisions, as etcd does.
func load(tx *bbolt.Tx) (content, error) {
	compacted := max(metaRevision(tx, schema.ScheduledCompactKeyName), metaRevision(tx, schema.FinishedCompactKeyName))
	c := content{revision: max(1, compacted), live: map[string][]byte{}}
	keys := tx.Bucket(schema.Key.Name())
	if keys == nil {
		return c, nil
	}
	err := keys.ForEach(func(place, value []byte) error {
		c.revision = max(c.revision, mvcc.BytesToRev(place).Main)
		var kv mvccpb.KeyValue
		if err := kv.Unmarshal(value); err != nil {
			return damaged("revision %x: %v", place, err)
		}
		switch {
		case mvcc.IsTombstone(place):
			delete(c.live, string(kv.Key))
		case len(kv.Key) > 0: // a tool that left revisions out has put one without a key after them
			c.live[string(kv.Key)] = value
		}
		return nil
	})
	return c, err
}

// metaRevision reads a revision that stands by itself; 0 when it was never written.
func metaRevision(tx *bbolt.Tx, key []byte) int64 {
	if value := metaValue(tx, key); value != nil {
		return mvcc.BytesToRev(value).Main
	}
	return 0
}

// appliedIndex is the index of the last entry of the log that is in the database.
func appliedIndex(tx *bbolt.Tx) uint64 {
	if value := metaValue(tx, schema.MetaConsistentIndexKeyName); len(value) == 8 {
		return binary.BigEndian.Uint64(value)
	}
	return 0
}

func metaValue(tx *bbolt.Tx, key []byte) []byte {
	if meta := tx.Bucket(schema.Meta.Name()); meta != nil {
		return meta.Get(key)
	}
	return nil
}

// putMeta writes revisions and numbers that stand by themselves.
func putMeta(tx *bbolt.Tx, values map[string][]byte) error {
	meta, err := tx.CreateBucketIfNotExists(schema.Meta.Name())
	if err != nil {
		return err
	}
	for key, value := range values {
		if err := meta.Put([]byte(key), value); err != nil {
			return err
		}
	}
	return nil
}

func revisionBytes(revision int64) []byte {
	return mvcc.RevToBytes(mvcc.Revision{Main: revision}, mvcc.NewRevBytes())
}

func numberBytes(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// bucket is one of etcd's buckets.
type bucket interface{ Name() []byte }

func emptyBucket(tx *bbolt.Tx, b bucket) error {
	if err := tx.DeleteBucket(b.Name()); err != nil {
		return err
	}
	_, err := tx.CreateBucket(b.Name())
	return err
}
