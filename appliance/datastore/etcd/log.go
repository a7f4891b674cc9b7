package etcd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/etcdserver/api/snap"
	"go.etcd.io/etcd/server/v3/storage/datadir"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.uber.org/zap"
)

// checkLog does what etcd does with its log when it starts, except for the repairs. The database has what the
// log says up to the index applied.
func checkLog(dir string, applied uint64) error {
	walDir := datadir.ToWALDir(dir)
	if !wal.Exist(walDir) {
		if applied > 0 {
			return damaged("the database has %d entries of a log that is not there", applied)
		}
		return nil
	}
	if err := checkSegments(walDir); err != nil {
		return err
	}
	written, err := wal.ValidSnapshotEntries(zap.NewNop(), walDir)
	if err != nil {
		return blame(err)
	}
	start, err := newestSnapshot(datadir.ToSnapDir(dir), written)
	if err != nil {
		return err
	}
	if err := checkSnapshotDatabase(dir, start.Index, applied); err != nil {
		return err
	}
	return checkEntries(walDir, start)
}

// checkSegments reads all files of the log but the last to their ends: only there a record may be torn, and
// etcd would mend it only there.
func checkSegments(walDir string) error {
	paths, err := filepath.Glob(filepath.Join(walDir, "*.wal"))
	if err != nil {
		return err
	}
	slices.Sort(paths) // by the number in the name
	for _, path := range paths[:max(0, len(paths)-1)] {
		if err := checkSegment(path); err != nil {
			return blame(err)
		}
	}
	return nil
}

func checkSegment(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	decoder, record := wal.NewDecoder(fileutil.NewFileReader(file)), &walpb.Record{}
	for err == nil {
		if err = decoder.Decode(record); err == nil && record.Type == wal.CrcType {
			decoder.UpdateCRC(record.Crc)
		}
	}
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return nil
}

// newestSnapshot returns the raft snapshot that etcd starts from: the newest that is whole and that the log
// speaks of. Without one it starts from nothing.
func newestSnapshot(snapDir string, written []walpb.Snapshot) (walpb.Snapshot, error) {
	paths, err := filepath.Glob(filepath.Join(snapDir, "*.snap"))
	if err != nil {
		return walpb.Snapshot{}, err
	}
	slices.Sort(paths) // by the term and the index in the name
	for _, path := range slices.Backward(paths) {
		s, err := snap.Read(zap.NewNop(), path)
		if refused := (*fs.PathError)(nil); errors.As(err, &refused) {
			return walpb.Snapshot{}, err
		}
		if err != nil {
			continue // etcd puts it aside
		}
		at := s.Metadata
		if slices.ContainsFunc(written, func(w walpb.Snapshot) bool { return w.Index == at.Index && w.Term == at.Term }) {
			return walpb.Snapshot{Index: at.Index, Term: at.Term}, nil
		}
	}
	return walpb.Snapshot{}, nil
}

// checkSnapshotDatabase verifies that a database that is older than the raft snapshot has a newer one beside
// it, which the leader has sent and which etcd takes at its next start.
func checkSnapshotDatabase(dir string, index, applied uint64) error {
	if applied >= index {
		return nil
	}
	_, err := os.Stat(filepath.Join(datadir.ToSnapDir(dir), fmt.Sprintf("%016x.snap.db", index)))
	if errors.Is(err, fs.ErrNotExist) {
		return damaged("the database ends at the entry %d, but the log begins after %d", applied, index)
	}
	return err
}

// checkEntries reads the log from where etcd starts, and verifies that what is committed is in it.
func checkEntries(walDir string, start walpb.Snapshot) error {
	log, err := wal.OpenForRead(zap.NewNop(), walDir, start)
	if err != nil {
		return blame(err)
	}
	_, state, entries, err := log.ReadAll() // closes the files
	if err != nil {
		return blame(err)
	}
	last := start.Index
	if len(entries) > 0 {
		last = entries[len(entries)-1].Index
	}
	if state.Commit > last {
		return damaged("the log ends at the entry %d, but %d was committed", last, state.Commit)
	}
	return nil
}
