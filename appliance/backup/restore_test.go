package backup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"islet/appliance/datastore"
	"islet/appliance/layout"
	"islet/appliance/pki"
)

// sealed is a backup and what is in it.
type sealed struct {
	*site
	file     []byte
	contents Contents
}

func newSealed(t *testing.T) *sealed {
	t.Helper()
	s := &sealed{site: newSite(t, 70<<10)}
	s.file, _ = s.seal(t)
	var err error
	if s.contents, err = Open(t.Context(), bytes.NewReader(s.file), s.key, io.Discard); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *sealed) place(t *testing.T, l layout.Layout) error {
	t.Helper()
	return Place(t.Context(), bytes.NewReader(s.file), s.key, l, s.contents.Manifest)
}

// placed checks that everything is in place, and nothing beside it.
func (s *sealed) placed(t *testing.T, l layout.Layout) {
	t.Helper()
	if done, err := s.contents.Placed(t.Context(), l); err != nil || !done {
		t.Errorf("not in place: %v", err)
	}
	entries, err := os.ReadDir(l.StateDir)
	if err != nil || len(entries) != 2 {
		t.Errorf("in the state directory are %v (%v)", entries, err)
	}
	if !bytes.Equal(read(t, datastore.Database(l)), read(t, s.source.Database)) {
		t.Error("another database")
	}
	err = filepath.WalkDir(l.StateDir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 && path != l.StateDir {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	before, err := pki.Open(s.layout.PKI(), time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	after, err := pki.Open(l.PKI(), time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before.Authority(pki.NodeCA).PEM(), after.Authority(pki.NodeCA).PEM()) {
		t.Error("another authority")
	}
}

// Each case is what an interruption, or somebody, has left on the machine.
func TestPlace(t *testing.T) {
	t.Parallel()
	s := newSealed(t)
	for name, leave := range map[string]func(t *testing.T, l layout.Layout){
		"nothing":           func(*testing.T, layout.Layout) {},
		"empty directories": func(t *testing.T, l layout.Layout) { makeDirs(t, l.PKI(), l.Datastore()) },
		"half unpacked": func(t *testing.T, l layout.Layout) {
			write(t, filepath.Join(staging(l), "pki", "node-ca.key"), []byte("half"))
			write(t, filepath.Join(staging(l), sqlite.path), []byte("half"))
		},
		"one of two in place": func(t *testing.T, l layout.Layout) {
			if err := errors.Join(s.place(t, l), os.RemoveAll(l.Datastore())); err != nil {
				t.Fatal(err)
			}
			makeDirs(t, staging(l))
		},
		"the other in place": func(t *testing.T, l layout.Layout) {
			if err := errors.Join(s.place(t, l), os.RemoveAll(l.PKI())); err != nil {
				t.Fatal(err)
			}
		},
		"all in place but not tidied": func(t *testing.T, l layout.Layout) {
			if err := s.place(t, l); err != nil {
				t.Fatal(err)
			}
			makeDirs(t, staging(l))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := machine(t)
			leave(t, l)
			if done, err := s.contents.Placed(t.Context(), l); err != nil || done {
				t.Fatalf("before: %v, %v", done, err)
			}
			if err := s.place(t, l); err != nil {
				t.Fatal(err)
			}
			s.placed(t, l)
		})
	}
}

func makeDirs(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPlacedRefusesANode(t *testing.T) {
	t.Parallel()
	s := newSealed(t)
	for name, leave := range map[string]func(t *testing.T, l layout.Layout){
		"another answer file":      func(t *testing.T, l layout.Layout) { write(t, l.Config(), []byte("x")) },
		"the same answer file":     func(t *testing.T, l layout.Layout) { write(t, l.Config(), s.contents.Config) },
		"other keys":               func(t *testing.T, l layout.Layout) { write(t, l.PKI()+"/node-ca.key", []byte("x")) },
		"another database":         func(t *testing.T, l layout.Layout) { write(t, datastore.Database(l), []byte("x")) },
		"a started one: its leaf":  s.andThen(func(l layout.Layout) string { return l.PKI() + "/admin.crt" }),
		"a started one: its log":   s.andThen(func(l layout.Layout) string { return datastore.Database(l) + "-wal" }),
		"a started one: its pages": s.andThen(datastore.Database),
	} {
		l := machine(t)
		leave(t, l)
		if _, err := s.contents.Placed(t.Context(), l); !errors.Is(err, ErrNode) {
			t.Errorf("%s: %v", name, err)
		}
	}
	l := machine(t)
	if err := s.place(t, l); err != nil {
		t.Fatal(err)
	}
	write(t, l.Config(), s.contents.Config)
	if done, err := s.contents.Placed(t.Context(), l); err != nil || !done {
		t.Errorf("interrupted behind the answer file: %v, %v", done, err)
	}
}

// andThen restores, and writes to a file afterwards.
func (s *sealed) andThen(path func(layout.Layout) string) func(t *testing.T, l layout.Layout) {
	return func(t *testing.T, l layout.Layout) {
		t.Helper()
		if err := s.place(t, l); err != nil {
			t.Fatal(err)
		}
		write(t, l.Config(), s.contents.Config)
		write(t, path(l), []byte("written since"))
	}
}

func TestPlaceRefusesAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s, other := newSealed(t), newSealed(t)
	for name, c := range map[string]struct {
		file []byte
		key  Key
		want error
	}{
		"cut":                      {s.file[:len(s.file)-1], s.key, ErrTruncated},
		"another key":              {s.file, other.key, ErrWrongKey},
		"another file than before": {other.file, other.key, ErrAltered},
	} {
		l := machine(t)
		makeDirs(t, l.StateDir)
		if err := Place(t.Context(), bytes.NewReader(c.file), c.key, l, s.contents.Manifest); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := os.ReadDir(l.StateDir); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind: %v (%v)", name, left, err)
		}
	}
	l := machine(t)
	write(t, l.PKI()+"/node-ca.key", []byte("x"))
	if err := s.place(t, l); !errors.Is(err, ErrNode) || string(read(t, l.PKI()+"/node-ca.key")) != "x" {
		t.Errorf("over other keys: %v", err)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	s := newSealed(t)
	good := datastore.Report{Revision: 42, Rows: 7}
	for name, c := range map[string]struct {
		check Check
		want  error
	}{
		"not checked":      {nil, nil},
		"sound":            {reports(good, nil), nil},
		"another revision": {reports(datastore.Report{Revision: 41, Rows: 7}, nil), ErrAltered},
		"other rows":       {reports(datastore.Report{Revision: 42, Rows: 8}, nil), ErrAltered},
		"damaged":          {reports(datastore.Report{}, datastore.ErrDamaged), ErrAltered},
		"no check":         {reports(datastore.Report{}, fs.ErrPermission), fs.ErrPermission},
	} {
		dir := t.TempDir()
		check := c.check
		if check != nil {
			check = func(ctx context.Context, _, path string) (datastore.Report, error) {
				if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || !bytes.Equal(read(t, path), read(t, s.source.Database)) {
					t.Errorf("%s: %v %v", name, info, err)
				}
				return c.check(ctx, "sqlite", path)
			}
		}
		_, err := Verify(t.Context(), bytes.NewReader(s.file), s.key, dir, check)
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func reports(r datastore.Report, err error) Check {
	return func(context.Context, string, string) (datastore.Report, error) { return r, err }
}

func TestWriteFileAndList(t *testing.T) {
	t.Parallel()
	s, dir := newSealed(t), t.TempDir()
	path := filepath.Join(dir, Name("plant", s.source.Manifest.Created))
	if filepath.Base(path) != "plant-20260601T120000Z.islet-backup" {
		t.Errorf("it is called %s", path)
	}
	done, err := WriteFile(t.Context(), path, s.key.Recipient(), s.source)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != done.Bytes || fileOf("", read(t, path)).SHA256 != done.SHA256 {
		t.Errorf("%+v: %v %v", done, info, err)
	}
	if _, err := WriteFile(t.Context(), path, s.key.Recipient(), s.source); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over another one: %v", err)
	}
	content := read(t, path)
	for name, data := range map[string][]byte{
		"plant-20260602T120000Z": content[:1000], "plant-20260603T120000Z": append(bytes.Clone(content), 'x'), "plant-20260604T120000Z": []byte("hello, world, this is no backup"),
		"old-plant-20250101T000000Z": content, "plant": content, ".plant-20260605T120000Z": content,
	} {
		write(t, filepath.Join(dir, name+suffix), data)
	}
	list, err := List(t.Context(), dir)
	if err != nil || len(list) != 5 {
		t.Fatalf("%+v (%v)", list, err)
	}
	for i, want := range []struct {
		site, problem string
		day           int
	}{{"plant", ErrNotBackup.Error(), 4}, {"plant", ErrAltered.Error(), 3}, {"plant", ErrTruncated.Error(), 2}, {"plant", "", 1}, {"old-plant", "", 1}} {
		e := list[i]
		if e.Site != want.site || e.Created.Day() != want.day || !strings.HasPrefix(e.Problem, want.problem) || want.problem == "" && (e.Problem != "" || e.Recipient != s.key.Recipient().String()) {
			t.Errorf("%d: %+v, want %+v", i, e, want)
		}
	}
	if list, err := List(t.Context(), filepath.Join(dir, "none")); err != nil || len(list) != 0 {
		t.Errorf("%v (%v)", list, err)
	}
}

// A restored etcd is of the generation after that of its backup, so that other servers take it for newer than what they have.
func TestPlaceBeginsAGeneration(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1000)
	etcd := databases["etcd"]
	s.source.Manifest.Datastore.Kind, s.source.Generation = "etcd", 2
	write(t, s.source.Database, append(make([]byte, etcd.at), etcd.magic+"the rest of it"...))
	content, m := s.seal(t)
	l := machine(t)
	if err := Place(t.Context(), bytes.NewReader(content), s.key, l, m); err != nil {
		t.Fatal(err)
	}
	if generation, err := datastore.Generation(l); err != nil || generation != 3 {
		t.Errorf("%d (%v), want 3", generation, err)
	}
	c, err := Open(t.Context(), bytes.NewReader(content), s.key, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if done, err := c.Placed(t.Context(), l); err != nil || !done {
		t.Errorf("placed %t (%v)", done, err)
	}
}
