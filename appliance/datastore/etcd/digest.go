package etcd

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"slices"

	bbolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/storage/datadir"

	"islet/appliance/datastore"
)

// pageKeys is how many keys to ask for at once: as many of Kubernetes' largest are still less than 2 GiB.
const pageKeys = 500

// digester takes keys in their order.
type digester struct {
	hash hash.Hash
	keys int64
}

func newDigester() *digester { return &digester{hash: sha256.New()} }

// add hashes what a client can tell two values of a key apart by, except for the version, which kine does not
// keep, and the lease, which changes on the way.
func (d *digester) add(kv *mvccpb.KeyValue) {
	var line []byte
	for _, field := range [][]byte{kv.Key, kv.Value} {
		line = append(binary.BigEndian.AppendUint64(line, uint64(len(field))), field...)
	}
	line = binary.BigEndian.AppendUint64(line, uint64(kv.CreateRevision))
	line = binary.BigEndian.AppendUint64(line, uint64(kv.ModRevision))
	_, _ = d.hash.Write(line) // a hash takes everything
	d.keys++
}

func (d *digester) at(revision int64) datastore.Digest {
	return datastore.Digest{Revision: revision, Keys: d.keys, Hash: hex.EncodeToString(d.hash.Sum(nil))}
}

// digest reads all keys of the cluster at the revision that is the newest when it begins.
func (c *cluster) digest(ctx context.Context) (datastore.Digest, error) {
	members, err := c.members(ctx)
	if err != nil {
		return datastore.Digest{}, err
	}
	d, revision := newDigester(), int64(0)
	err = c.with(c.voters(members), func(client *clientv3.Client) error {
		for next := "\x00"; next != ""; {
			page, err := readPage(ctx, client, next, revision)
			if err != nil {
				return fmt.Errorf("read the keys from %q: %w", next, err)
			}
			if revision == 0 {
				revision = page.Header.Revision
			}
			for _, kv := range page.Kvs {
				d.add(kv)
			}
			next = ""
			if page.More {
				next = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
			}
		}
		return nil
	})
	return d.at(revision), err
}

// readPage reads the next keys at a revision; 0 is the newest.
func readPage(ctx context.Context, client *clientv3.Client, next string, revision int64) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return client.Get(ctx, next, clientv3.WithFromKey(), clientv3.WithLimit(pageKeys), clientv3.WithRev(revision))
}

// DigestFile returns the digest of a data directory whose etcd is not running. It equals that of the running cluster after
// a clean stop; after a crash the log may have more than the database.
func DigestFile(dir string) (datastore.Digest, error) {
	digest, err := digestDatabase(datadir.ToBackendFileName(dir))
	if err != nil {
		err = fmt.Errorf("digest %s: %w", dir, err)
	}
	return digest, err
}

func digestDatabase(database string) (datastore.Digest, error) {
	var digest datastore.Digest
	err := view(database, func(tx *bbolt.Tx) error {
		c, err := load(tx)
		if err != nil {
			return err
		}
		d := newDigester()
		for _, key := range slices.Sorted(maps.Keys(c.live)) {
			var kv mvccpb.KeyValue
			if err := kv.Unmarshal(c.live[key]); err != nil {
				return err
			}
			d.add(&kv)
		}
		digest = d.at(c.revision)
		return nil
	})
	return digest, err
}
