package etcd

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	bbolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/etcdserver/api/snap"
	"go.etcd.io/etcd/server/v3/storage/datadir"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// The only entry of a new log is the one that adds the first member.
const (
	firstIndex = 1
	firstTerm  = 1
)

// found makes the database in a data directory the beginning of a new cluster with one member, and writes the
// log for it. Etcd would also start on the database alone and begin a log by itself, but whoever
// joined later would be sent that log from its first entry, and never what was in the database before:
// only a snapshot in the log makes etcd send the database. The cluster gets an identity that none had
// before, so that members of an earlier one that come back are refused.
func found(dir, name, peer string) error {
	urls, err := types.NewURLs([]string{peer})
	if err != nil {
		return err
	}
	cluster, err := membership.NewClusterFromURLsMap(zap.NewNop(), rand.Text(), types.URLsMap{name: urls})
	if err != nil {
		return err
	}
	member := cluster.MemberByName(name)
	state := raftpb.ConfState{Voters: []uint64{uint64(member.ID)}}
	err = update(datadir.ToBackendFileName(dir), func(db *bbolt.DB) error {
		return db.Update(func(tx *bbolt.Tx) error { return enter(tx, member, state) })
	})
	if err != nil {
		return err
	}
	snapshot := raftpb.Snapshot{
		Data:     etcdserver.GetMembershipInfoInV2Format(zap.NewNop(), cluster),
		Metadata: raftpb.SnapshotMetadata{Index: firstIndex, Term: firstTerm, ConfState: state},
	}
	if err := snap.New(zap.NewNop(), datadir.ToSnapDir(dir)).SaveSnap(snapshot); err != nil {
		return err
	}
	return beginLog(datadir.ToWALDir(dir), cluster, member, state)
}

// enter replaces what the database knows of the cluster that it is from.
func enter(tx *bbolt.Tx, member *membership.Member, state raftpb.ConfState) error {
	for _, b := range schema.AllBuckets {
		if _, err := tx.CreateBucketIfNotExists(b.Name()); err != nil {
			return err
		}
	}
	for _, b := range []bucket{schema.Members, schema.MembersRemoved, schema.Cluster, schema.Alarm} {
		if err := emptyBucket(tx, b); err != nil {
			return err
		}
	}
	self, err := json.Marshal(member)
	if err != nil {
		return err
	}
	if err := tx.Bucket(schema.Members.Name()).Put(schema.BackendMemberKey(member.ID), self); err != nil {
		return err
	}
	voters, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return putMeta(tx, map[string][]byte{
		string(schema.MetaConsistentIndexKeyName): numberBytes(firstIndex),
		string(schema.MetaTermKeyName):            numberBytes(firstTerm),
		string(schema.MetaConfStateName):          voters,
	})
}

// beginLog writes a log as etcd's own tool for restoring does: the entry that adds the member is committed, and
// a snapshot was taken after it.
func beginLog(dir string, cluster *membership.RaftCluster, member *membership.Member, state raftpb.ConfState) (err error) {
	identity := etcdserverpb.Metadata{NodeID: uint64(member.ID), ClusterID: uint64(cluster.ID())}
	metadata, err := identity.Marshal()
	if err != nil {
		return err
	}
	self, err := json.Marshal(member)
	if err != nil {
		return err
	}
	addition := raftpb.ConfChange{Type: raftpb.ConfChangeAddNode, NodeID: uint64(member.ID), Context: self}
	data, err := addition.Marshal()
	if err != nil {
		return err
	}
	log, err := wal.Create(zap.NewNop(), dir, metadata)
	if err != nil {
		return fmt.Errorf("begin a log in %s: %w", dir, err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	hard := raftpb.HardState{Term: firstTerm, Vote: uint64(member.ID), Commit: firstIndex}
	entry := raftpb.Entry{Type: raftpb.EntryConfChange, Term: firstTerm, Index: firstIndex, Data: data}
	if err := log.Save(hard, []raftpb.Entry{entry}); err != nil {
		return err
	}
	return log.SaveSnapshot(walpb.Snapshot{Index: firstIndex, Term: firstTerm, ConfState: &state})
}
