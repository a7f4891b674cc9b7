package etcd

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/server/v3/storage/datadir"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"

	"go.etcd.io/etcd/server/v3/storage/wal/walpb"

	"islet/appliance/datastore"
)

// edit changes a file.
func edit(t *testing.T, path string, f func(data []byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, f(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

// flip returns an edit that inverts bytes.
func flip(at, n int) func([]byte) []byte {
	return func(data []byte) []byte {
		for i := at; i < at+n; i++ {
			data[i] ^= 0xff
		}
		return data
	}
}

// flipPages returns an edit that inverts bytes of every page of a database but the first two.
func flipPages(at, n int) func([]byte) []byte {
	return func(data []byte) []byte {
		for page := 2 * 4096; page+4096 <= len(data); page += 4096 {
			flip(page+at, n)(data)
		}
		return data
	}
}

// flipValue inverts a byte of the last value.
func flipValue(data []byte) []byte { return flip(bytes.LastIndex(data, []byte("xxxx")), 1)(data) }

// segments returns the files of a log, the oldest first.
func segments(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(datadir.ToWALDir(dir), "*.wal"))
	if err != nil || len(paths) < 2 {
		t.Fatalf("the log is in %v (%v)", paths, err)
	}
	slices.Sort(paths)
	return paths
}

// fingerprint stands for everything in a directory.
func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	sum := sha256.New()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		sum.Write([]byte(path))
		sum.Write(data)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(sum.Sum(nil))
}

// overcommit makes the log speak of entries that are not in it.
func overcommit(t *testing.T, dir string) {
	t.Helper()
	log, err := wal.Open(zap.NewNop(), datadir.ToWALDir(dir), walpb.Snapshot{})
	if err != nil {
		t.Fatal(err)
	}
	_, state, _, err := log.ReadAll()
	state.Commit += 10
	if err := errors.Join(err, log.Save(state, []raftpb.Entry{}), log.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	m := newMember(t, "a")
	m.start(t)
	fill(t, m.connect(t))
	if _, err := Check(m.dir); err == nil || errors.Is(err, datastore.ErrDamaged) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("while it runs: %v", err)
	}
	m.stop()
	database := func(f func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) { edit(t, datadir.ToBackendFileName(dir), f) }
	}
	segment := func(i int, f func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			paths := segments(t, dir)
			edit(t, paths[(i+len(paths))%len(paths)], f)
		}
	}
	cases := []struct {
		name   string
		damage func(t *testing.T, dir string)
		want   string // part of what is wrong; empty: sound
		rows   int64
	}{
		{"as it is", func(*testing.T, string) {}, "", 90},
		{"not there", func(t *testing.T, dir string) { drop(t, dir) }, "", 0},
		{"killed before the first page", database(func([]byte) []byte { return nil }), "", 0},
		{"a record of the log torn", segment(-1, func(data []byte) []byte { return data[:len(bytes.TrimRight(data, "\x00"))-7] }), "", 90},
		{"the end of the log torn", segment(-1, func(data []byte) []byte { return append(data, "no record"...) }), "", 90},
		{"heads of pages", database(flipPages(0, 16)), "page", 0},
		{"middles of pages", database(flipPages(16, 256)), "page", 0},
		{"cut short", database(func(data []byte) []byte { return data[:len(data)/2] }), "cut short", 0},
		{"another file", database(func([]byte) []byte { return bytes.Repeat([]byte("text\n"), 9000) }), "invalid database", 0},
		{"the log is gone", func(t *testing.T, dir string) { drop(t, datadir.ToWALDir(dir)) }, "a log that is not there", 0},
		{"a value in the log", segment(0, flipValue), "crc mismatch", 0},
		{"a value at the log's end", segment(-1, flipValue), "crc mismatch", 0},
		{"a torn record in the log's middle", segment(0, func(data []byte) []byte { return data[:len(data)-99] }), "unexpected EOF", 0},
		{"a file of the log missing", func(t *testing.T, dir string) { drop(t, segments(t, dir)[0]) }, "wal", 0},
		{"a log without its last entries", overcommit, "was committed", 0},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "etcd")
			if err := os.CopyFS(dir, os.DirFS(m.dir)); err != nil {
				t.Fatal(err)
			}
			tc.damage(t, dir)
			before := fingerprint(t, dir)
			report, err := Check(dir)
			switch {
			case tc.want == "":
				if err != nil || report.Rows != tc.rows || report.Path != dir {
					t.Errorf("%+v (%v)", report, err)
				}
			case !errors.Is(err, datastore.ErrDamaged) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n"):
				t.Errorf("%v, want %q", err, tc.want)
			}
			if fingerprint(t, dir) != before {
				t.Error("the check has changed something")
			}
		})
	}
}

func drop(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// TestCheckAfterASnapshotOfTheLog is about what a member has that was sent everything by the leader.
func TestCheckAfterASnapshotOfTheLog(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "etcd")
	if _, err := Restore(snapshotFile(t), dir, "a", "http://127.0.0.1:1", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(dir); err != nil {
		t.Fatal(err)
	}
	snaps, err := filepath.Glob(filepath.Join(datadir.ToSnapDir(dir), "*.snap"))
	if err != nil || len(snaps) != 1 {
		t.Fatalf("%v (%v)", snaps, err)
	}
	if err := checkLog(dir, 0); !errors.Is(err, datastore.ErrDamaged) || !strings.Contains(err.Error(), "the log begins after 1") {
		t.Errorf("a database that is older: %v", err)
	}
	sent := filepath.Join(datadir.ToSnapDir(dir), "0000000000000001.snap.db")
	if err := os.WriteFile(sent, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := checkLog(dir, 0); err != nil {
		t.Errorf("with the one that the leader has sent beside it: %v", err)
	}
	edit(t, snaps[0], flip(20, 1))
	if err := checkLog(dir, 1); err != nil { // this log also has its first entry
		t.Errorf("with a broken snapshot: %v", err)
	}
}

func TestOtherTroubleIsNotDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(datadir.ToBackendFileName(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(dir); err == nil || errors.Is(err, datastore.ErrDamaged) {
		t.Errorf("a directory in the place of the database: %v", err)
	}
	if _, err := CheckFile(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, datastore.ErrDamaged) {
		t.Errorf("no snapshot: %v", err)
	}
	if _, err := CheckFile(dir); err == nil || errors.Is(err, datastore.ErrDamaged) {
		t.Errorf("a directory in the place of a snapshot: %v", err)
	}
	if _, err := DigestFile(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

func TestCheckFile(t *testing.T) {
	t.Parallel()
	whole, err := os.ReadFile(snapshotFile(t))
	if err != nil {
		t.Fatal(err)
	}
	sealed := func(data []byte) []byte {
		sum := sha256.Sum256(data)
		return append(data, sum[:]...)
	}
	body := whole[:len(whole)-checksumSize]
	cases := []struct {
		name, want string
		data       []byte
	}{
		{"sound", "", whole},
		{"empty", "cut short", nil},
		{"cut short", "checksum", whole[:len(whole)/2]},
		{"without its checksum", "checksum", body},
		{"a byte changed", "checksum", flip(5000, 1)(bytes.Clone(whole))},
		{"damaged before it was taken", "page", sealed(flipPages(0, 16)(bytes.Clone(body)))},
		{"of something else", "invalid database", sealed(bytes.Repeat([]byte("text\n"), 9000))},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "snapshot.db")
			if err := os.WriteFile(path, tc.data, 0o600); err != nil {
				t.Fatal(err)
			}
			report, err := CheckFile(path)
			if tc.want == "" {
				if err != nil || report.Rows != 90 || report.Bytes != int64(len(whole)) || report.Path != path {
					t.Errorf("%+v (%v)", report, err)
				}
				return
			}
			if !errors.Is(err, datastore.ErrDamaged) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}
