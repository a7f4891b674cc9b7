package etcd

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/verify"
	"go.uber.org/zap"

	"islet/appliance/datastore"
)

// TestRestore takes a snapshot, goes on writing, and starts from the snapshot elsewhere.
func TestRestore(t *testing.T) {
	t.Parallel()
	old := newMember(t, "a")
	old.start(t)
	client := old.connect(t)
	fill(t, client)
	file := filepath.Join(t.TempDir(), "snapshot.db")
	if err := os.WriteFile(file+partial, []byte("of one that was killed"), 0o600); err != nil {
		t.Fatal(err)
	}
	report := tool[datastore.Report](t, "snapshot", file, "--endpoints", old.client)
	info, err := os.Stat(file)
	if err != nil || info.Size() != report.Bytes || info.Mode() != 0o600 || report.Path != file || report.Rows != 90 {
		t.Fatalf("%+v, %v (%v)", report, info, err)
	}
	want, digest := all(t, client), tool[datastore.Digest](t, "digest", "--endpoints", old.client)
	if digest.Keys != report.Rows || digest.Revision != report.Revision {
		t.Errorf("%+v, but %+v", digest, report)
	}
	if _, err := client.Put(t.Context(), "/registry/lost", "x"); err != nil {
		t.Fatal(err)
	}
	oldID := all(t, client).Header.ClusterId
	old.stop()

	for name, bump := range map[string]string{"as it is": "0", "with revisions left out": "1000"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMember(t, "a")
			restored := tool[datastore.Report](t, "restore", "--snapshot", file, "--data-dir", m.dir, "--name", "a", "--peer", m.peer, "--bump", bump)
			newest := report.Revision
			if bump != "0" {
				newest += 1000
			}
			if restored.Path != m.dir || restored.Rows != report.Rows || restored.Revision != newest {
				t.Errorf("%+v from %+v", restored, report)
			}
			if err := verify.Verify(verify.Config{DataDir: m.dir, ExactIndex: true, Logger: zap.NewNop()}); err != nil {
				t.Errorf("etcd's own verification: %v", err)
			}
			m.start(t)
			got := all(t, m.connect(t))
			sameKeys(t, got, want)
			if got.Header.ClusterId == oldID {
				t.Error("it takes itself for the cluster that it was")
			}
			if got := tool[datastore.Digest](t, "digest", "--endpoints", m.client); got.Hash != digest.Hash || got.Revision != newest {
				t.Errorf("%+v, want %+v at %d", got, digest, newest)
			}
			goesOn(t, m, newest)
			compacted(t, m, report.Revision-1, bump != "0")
			copies(t, m)
		})
	}
}

// goesOn checks that the next write has the next revision, and that all is there after a restart.
func goesOn(t *testing.T, m *member, newest int64) {
	t.Helper()
	put, err := m.connect(t).Put(t.Context(), "/registry/new", "y")
	if err != nil || put.Header.Revision != newest+1 {
		t.Fatalf("the first write after %d: %+v (%v)", newest, put, err)
	}
	before := tool[datastore.Digest](t, "digest", "--endpoints", m.client)
	m.stop()
	if at := tool[datastore.Digest](t, "digest-file", m.dir); at != before {
		t.Errorf("stopped, it has %+v, want %+v", at, before)
	}
	if report := tool[datastore.Report](t, "check", m.dir); report.Rows != before.Keys || report.Revision != before.Revision {
		t.Errorf("stopped, it has %+v, want %+v", report, before)
	}
	m.start(t)
	if after := tool[datastore.Digest](t, "digest", "--endpoints", m.client); after != before {
		t.Errorf("after a restart it has %+v, want %+v", after, before)
	}
}

func compacted(t *testing.T, m *member, revision int64, want bool) {
	t.Helper()
	_, err := m.connect(t).Get(t.Context(), "/registry/001", clientv3.WithRev(revision))
	if got := errors.Is(err, rpctypes.ErrCompacted); got != want || !want && err != nil {
		t.Errorf("revision %d: %v", revision, err)
	}
}

// copies checks that a member that joins gets everything, also what is in no log.
func copies(t *testing.T, m *member) {
	t.Helper()
	other := newMember(t, "b")
	join(t, m.client, other)
	want := tool[datastore.Digest](t, "digest", "--endpoints", m.client)
	eventually(t, "the copy", func() error {
		if s := status(t, m.client, "b"); s.Revision != want.Revision {
			return errors.New("not there yet")
		}
		return nil
	})
	other.stop()
	if got := tool[datastore.Digest](t, "digest-file", other.dir); got != want {
		t.Errorf("the copy is %+v, want %+v", got, want)
	}
}

func TestRestoreLeavesNothingHalf(t *testing.T) {
	t.Parallel()
	file := snapshotFile(t)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	broken := file + ".broken"
	if err := os.WriteFile(broken, whole[:len(whole)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	inUse := filepath.Join(t.TempDir(), "in use")
	if err := os.MkdirAll(filepath.Join(inUse, "member"), 0o700); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, snapshot, dir, peer string
		want                      error // nil: any
	}{
		{"a damaged snapshot", broken, filepath.Join(t.TempDir(), "etcd"), "http://127.0.0.1:1", datastore.ErrDamaged},
		{"no snapshot", file + ".none", filepath.Join(t.TempDir(), "etcd"), "http://127.0.0.1:1", os.ErrNotExist},
		{"a directory that is in use", file, inUse, "http://127.0.0.1:1", nil},
		{"no URL", file, filepath.Join(t.TempDir(), "etcd"), "nonsense", nil},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if _, err := Restore(tc.snapshot, tc.dir, "a", tc.peer, 0); err == nil || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
			if _, err := os.Stat(tc.dir + partial); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("left behind: %v", err)
			}
		})
	}
	dir := filepath.Join(t.TempDir(), "etcd")
	for _, d := range []string{dir, filepath.Join(dir+partial, "member", "snap")} { // an empty one, and what a power cut left
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if report, err := Restore(file, dir, "a", "http://127.0.0.1:1", 0); err != nil || report.Rows == 0 {
		t.Errorf("%+v (%v)", report, err)
	}
}

// snapshotFile takes a snapshot of a member that is then stopped.
func snapshotFile(t *testing.T) string {
	t.Helper()
	m := newMember(t, "a")
	m.start(t)
	fill(t, m.connect(t))
	file := filepath.Join(t.TempDir(), "snapshot.db")
	tool[datastore.Report](t, "snapshot", "--endpoints", m.client, file)
	m.stop()
	return file
}
