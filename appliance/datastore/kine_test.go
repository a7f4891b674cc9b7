package datastore_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"islet/appliance/component"
	"islet/appliance/datastore"
	"islet/appliance/datastore/sqlite"
	"islet/appliance/layout"
)

// asKine makes the test binary the store engine, which is what the daemon would run.
const asKine = "DATASTORE_TEST_KINE"

func TestMain(m *testing.M) {
	if os.Getenv(asKine) == "" {
		os.Exit(m.Run())
	}
	logrus.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := sqlite.Run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "kine: %v\n", err)
		os.Exit(1)
	}
}

// site is a node's datastore under a directory of the test.
type site struct {
	datastore.Params
	database string
	restored []datastore.Restoration
}

func newSite(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	l := layout.Layout{StateDir: filepath.Join(dir, "state"), RunDir: dir}
	s := &site{database: datastore.Database(l)}
	s.Params = datastore.Params{
		Layout: l, Log: slog.New(slog.DiscardHandler),
		Ring: datastore.Ring{Dir: filepath.Join(dir, "ring"), Store: "sqlite", Interval: time.Hour, Keep: 5, MaxBytes: 1 << 30},
		Child: func(name string, args ...string) component.Spec {
			return component.Spec{Name: name, Args: append([]string{"/proc/self/exe"}, args...), Env: []string{asKine + "=1", "GOCOVERDIR=" + dir}}
		},
		Restored: func(r datastore.Restoration) { s.restored = append(s.restored, r) },
	}
	for _, d := range []string{filepath.Dir(s.database), s.Ring.Dir} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// prepare is what happens before each start of kine.
func (s *site) prepare(t *testing.T) error {
	t.Helper()
	return datastore.Kine(s.Params).New().(component.Preparer).Prepare(t.Context())
}

// write makes a database with one row that holds value.
func write(t *testing.T, path, value string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	filler := strings.Repeat("x", 3000)
	for _, statement := range []string{
		"CREATE TABLE kine (id INTEGER PRIMARY KEY, name TEXT, value BLOB)", "CREATE INDEX i ON kine (name)",
		"INSERT INTO kine (name, value) VALUES ('k', '" + value + "')",
		"INSERT INTO kine (name, value) VALUES ('f1', '" + filler + "'), ('f2', '" + filler + "'), ('f3', '" + filler + "')",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, path string) (value string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), "SELECT value FROM kine WHERE name = 'k'").Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// damage overwrites all but the first page in its middle.
func damage(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096; i < len(data); i++ {
		data[i] ^= 0xff
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// snapshot puts a snapshot into the ring that was taken that many hours ago.
func (s *site) snapshot(t *testing.T, hours int, value string) string {
	t.Helper()
	path := filepath.Join(s.Ring.Dir, "sqlite-"+time.Now().UTC().Add(-time.Duration(hours)*time.Hour).Format("20060102T150405Z")+".db")
	write(t, path, value)
	return path
}

func TestStartsWithWhatItFinds(t *testing.T) {
	t.Parallel()
	touch := func(t *testing.T, path string) {
		t.Helper()
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cases := []struct {
		name  string
		setup func(t *testing.T, s *site)
		want  string // the value in the database afterwards; empty when there is none
		found string // part of what is said to be wrong; empty when nothing was restored
	}{
		{"first start", func(*testing.T, *site) {}, "", ""},
		{"killed in the first start", func(t *testing.T, s *site) { touch(t, s.database) }, "", ""},
		{"a sound one", func(t *testing.T, s *site) {
			write(t, s.database, "live")
			s.snapshot(t, 1, "old")
		}, "live", ""},
		{"a damaged one", func(t *testing.T, s *site) {
			write(t, s.database, "live")
			damage(t, s.database)
			s.snapshot(t, 2, "older")
			s.snapshot(t, 1, "old")
		}, "old", "the database is damaged"},
		{"a damaged one, and a damaged snapshot", func(t *testing.T, s *site) {
			write(t, s.database, "live")
			damage(t, s.database)
			s.snapshot(t, 2, "older")
			damage(t, s.snapshot(t, 1, "old"))
		}, "older", "the database is damaged"},
		{"gone, though there was one", func(t *testing.T, s *site) { s.snapshot(t, 1, "old") }, "old", "there is nothing in"},
		{"emptied", func(t *testing.T, s *site) {
			touch(t, s.database)
			s.snapshot(t, 1, "old")
		}, "old", "there is nothing in"},
		{"power cut while restoring, half a copy", func(t *testing.T, s *site) {
			write(t, s.database, "live")
			damage(t, s.database)
			s.snapshot(t, 1, "old")
			touch(t, s.database+".restoring")
		}, "old", "the database is damaged"},
		{"power cut while restoring, the log still in place", func(t *testing.T, s *site) {
			s.snapshot(t, 1, "old")
			if err := os.WriteFile(s.database+"-wal", bytes.Repeat([]byte("stale"), 1000), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "old", "there is nothing in"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			c.setup(t, s)
			for range 2 { // the second time there is nothing left to do
				if err := s.prepare(t); err != nil {
					t.Fatal(err)
				}
			}
			if c.found == "" && len(s.restored) > 0 || c.found != "" && (len(s.restored) != 1 || !strings.Contains(s.restored[0].Found, c.found)) {
				t.Errorf("restored %+v, want %q", s.restored, c.found)
			}
			if c.want == "" {
				return
			}
			if got := read(t, s.database); got != c.want {
				t.Errorf("the database holds %q, want %q", got, c.want)
			}
			if info, err := os.Stat(s.database); c.found != "" && (err != nil || info.Mode() != 0o600) {
				t.Errorf("%+v (%v)", info, err)
			}
			if _, err := os.Stat(s.database + ".restoring"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the copy is still there: %v", err)
			}
		})
	}
}

func TestDamagedDatabaseIsKeptWithItsLog(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	write(t, s.database, "live")
	damage(t, s.database)
	if err := os.WriteFile(s.database+"-wal", []byte("log"), 0o600); err != nil {
		t.Fatal(err)
	}
	damaged, err := os.ReadFile(s.database)
	if err != nil {
		t.Fatal(err)
	}
	chosen := s.snapshot(t, 1, "old")
	if err := s.prepare(t); err != nil {
		t.Fatal(err)
	}
	done := s.restored[0]
	if kept, err := os.ReadFile(done.Kept); err != nil || !bytes.Equal(kept, damaged) {
		t.Errorf("the damaged database was not kept as it was (%v)", err)
	}
	if done.Snapshot != chosen || time.Since(done.Taken).Round(time.Hour) != time.Hour || time.Since(done.At) > time.Minute {
		t.Errorf("report %+v", done)
	}
	if _, err := os.Stat(chosen); err != nil {
		t.Errorf("the snapshot left the ring: %v", err)
	}
	told, err := datastore.LastRestoration(s.Layout)
	if err != nil || told == nil || told.Kept != done.Kept || !told.Taken.Equal(done.Taken) {
		t.Errorf("later told %+v (%v), want %+v", told, err, done)
	}
	if err := os.Remove(done.Kept); err != nil {
		t.Fatal(err)
	}
	if told, err := datastore.LastRestoration(s.Layout); err != nil || told != nil {
		t.Errorf("told %+v (%v) after the damaged file was removed", told, err)
	}
}

// An empty cluster in the place of a damaged one would delete every pod on the node.
func TestNeverStartsEmptyInPlaceOfADamagedOne(t *testing.T) {
	t.Parallel()
	for name, ring := range map[string]func(t *testing.T, s *site){
		"no snapshot":        func(*testing.T, *site) {},
		"only a damaged one": func(t *testing.T, s *site) { damage(t, s.snapshot(t, 1, "old")) },
		"several damaged ones": func(t *testing.T, s *site) {
			damage(t, s.snapshot(t, 1, "old"))
			damage(t, s.snapshot(t, 2, "older"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			write(t, s.database, "live")
			damage(t, s.database)
			ring(t, s)
			before, err := os.ReadFile(s.database)
			if err != nil {
				t.Fatal(err)
			}
			err = s.prepare(t)
			if err == nil || !strings.Contains(err.Error(), "the database is damaged") || !strings.Contains(err.Error(), "no snapshot can take its place") {
				t.Errorf("%v", err)
			}
			if after, err := os.ReadFile(s.database); err != nil || !bytes.Equal(after, before) {
				t.Errorf("the damaged database was touched (%v)", err)
			}
			if len(s.restored) > 0 {
				t.Errorf("reported %+v", s.restored)
			}
		})
	}
}

func TestTroubleThatIsNotDamageRestoresNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if err := os.Mkdir(s.database, 0o700); err != nil {
		t.Fatal(err)
	}
	s.snapshot(t, 1, "old")
	if err := s.prepare(t); err == nil || errors.Is(err, datastore.ErrDamaged) || len(s.restored) > 0 {
		t.Errorf("%v, restored %v", err, s.restored)
	}
	s.Child = func(string, ...string) component.Spec { return component.Spec{Args: []string{"/bin/echo", "no JSON"}} }
	if err := s.prepare(t); err == nil || !strings.Contains(err.Error(), "read the store engine's answer") {
		t.Errorf("%v", err)
	}
}

func TestTake(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	write(t, s.database, "live")
	s.Ring.Keep = 1
	old := s.snapshot(t, 1, "old")
	taken, err := s.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, taken.Path); got != "live" || taken.Bytes == 0 || time.Since(taken.Taken) > time.Minute {
		t.Errorf("%+v holds %q", taken, got)
	}
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the ring was not pruned: %v", err)
	}
	if newest, err := s.Ring.Newest(); err != nil || newest != taken {
		t.Errorf("%+v (%v), want %+v", newest, err, taken)
	}
	damage(t, s.database)
	if _, err := s.Take(t.Context()); !errors.Is(err, datastore.ErrDamaged) {
		t.Errorf("of a damaged database: %v", err)
	}
	if newest, err := s.Ring.Newest(); err != nil || newest != taken {
		t.Errorf("%+v (%v) after a failure, want %+v", newest, err, taken)
	}
}

func TestTakeIsAloneInItsRing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	write(t, s.database, "live")
	dir, err := os.Open(s.Ring.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Take(t.Context()); !errors.Is(err, datastore.ErrBusy) {
		t.Errorf("%v", err)
	}
	dir.Close()
	if _, err := s.Take(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestURL(t *testing.T) {
	t.Parallel()
	p := datastore.Params{Layout: layout.Layout{RunDir: "/run/x"}}
	if got := p.URL(); got != "unix:///run/x/kine.sock" {
		t.Error(got)
	}
	p.Etcd = new(datastore.Etcd)
	if got := p.URL(); got != "https://127.0.0.1:2379" {
		t.Error(got)
	}
}
