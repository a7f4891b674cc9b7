package backup

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fill makes so many backups, an hour apart, and returns their names, the newest first.
func (s *site) fill(t *testing.T, shelf Shelf, n int) (names []string) {
	t.Helper()
	for i := range n {
		from := s.source
		from.Manifest.Created = from.Manifest.Created.Add(time.Duration(i) * time.Hour)
		written, err := shelf.Make(t.Context(), s.key.Recipient(), from)
		if err != nil {
			t.Fatal(err)
		}
		names = slices.Insert(names, 0, filepath.Base(written.Path))
	}
	return names
}

func (s Shelf) names(t *testing.T) (names []string) {
	t.Helper()
	list, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range list {
		names = append(names, k.Name())
	}
	return names
}

func TestShelfIsBounded(t *testing.T) {
	t.Parallel()
	s := newSite(t, 100_000)
	for name, c := range map[string]struct {
		keep     int
		maxBytes int64
		left     int
	}{
		"by count":         {3, 1 << 30, 3},
		"by bytes":         {100, 260_000, 2},
		"never to nothing": {1, 1, 1},
		"there is room":    {5, 1 << 30, 5},
		"more than made":   {9, 1 << 30, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shelf := Shelf{Dir: t.TempDir() + "/shelf", Keep: c.keep, MaxBytes: c.maxBytes}
			made := s.fill(t, shelf, 5)
			if got := shelf.names(t); !slices.Equal(got, made[:c.left]) {
				t.Errorf("left are %q of %q", got, made)
			}
			if sums, err := filepath.Glob(shelf.Dir + "/*" + sumSuffix); err != nil || len(sums) != c.left {
				t.Errorf("sums left: %q (%v)", sums, err)
			}
		})
	}
}

// The newest that proves whole is kept whatever else is there, and while none does nothing is deleted.
func TestShelfKeepsTheLastVerified(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1000)
	flip := func(path string) {
		content := read(t, path)
		content[len(content)/2] ^= 1
		write(t, path, content)
	}
	for name, c := range map[string]struct {
		spoil func(newest string)
	}{
		"altered":      {flip},
		"cut short":    {func(newest string) { write(t, newest, read(t, newest)[:500]) }},
		"of no digest": {func(newest string) { _ = os.Remove(newest + sumSuffix) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shelf := Shelf{Dir: t.TempDir(), Keep: 9, MaxBytes: 1 << 30}
			made := s.fill(t, shelf, 4)
			c.spoil(filepath.Join(shelf.Dir, made[0]))
			shelf.Keep = 1
			if err := shelf.Prune(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := shelf.names(t); !slices.Equal(got, made[:2]) {
				t.Errorf("left are %q of %q", got, made)
			}
			c.spoil(filepath.Join(shelf.Dir, made[1]))
			if err := shelf.Prune(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := shelf.names(t); !slices.Equal(got, made[:2]) {
				t.Errorf("with none verified, left are %q of %q", got, made)
			}
		})
	}
}

func TestShelfCopies(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1000)
	own := Shelf{Dir: t.TempDir(), Keep: 3, MaxBytes: 1 << 30}
	name := s.fill(t, own, 1)[0]
	list, err := own.List(t.Context())
	if err != nil || len(list) != 1 || !list[0].Verified || list[0].SHA256 == "" {
		t.Fatalf("%+v (%v)", list, err)
	}
	content, other := read(t, list[0].Path), Shelf{Dir: t.TempDir() + "/copies", Keep: 3, MaxBytes: 1 << 30}
	altered := bytes.Clone(content)
	altered[700] ^= 1
	for _, wrong := range [][]byte{nil, content[:900], altered, append(bytes.Clone(content), 0)} {
		if err := other.Copy(t.Context(), name, list[0].SHA256, bytes.NewReader(wrong)); !errors.Is(err, ErrAltered) {
			t.Errorf("%d bytes: %v", len(wrong), err)
		}
	}
	for _, bad := range []string{"", "x", "../" + name, "a/" + name, strings.TrimSuffix(name, suffix)} {
		if err := other.Copy(t.Context(), bad, list[0].SHA256, bytes.NewReader(content)); !errors.Is(err, ErrNotBackup) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if left, _ := os.ReadDir(other.Dir); len(left) > 0 {
		t.Errorf("refused copies left %v", left)
	}
	if err := other.Copy(t.Context(), name, list[0].SHA256, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	copied, err := other.List(t.Context())
	if err != nil || len(copied) != 1 || !copied[0].Verified || copied[0].SHA256 != list[0].SHA256 {
		t.Errorf("%+v (%v)", copied, err)
	}
}

func TestShelfIsTidied(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1000)
	shelf := Shelf{Dir: t.TempDir(), Keep: 3, MaxBytes: 1 << 30}
	name := s.fill(t, shelf, 1)[0]
	old, young := filepath.Join(shelf.Dir, "."+name+".tmp-1"), filepath.Join(shelf.Dir, "."+name+".tmp-2")
	write(t, old, []byte("x"))
	write(t, young, []byte("x"))
	write(t, filepath.Join(shelf.Dir, "gone"+suffix+sumSuffix), []byte("x"))
	write(t, filepath.Join(shelf.Dir, "note"), []byte("an operator's"))
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-2*left)); err != nil {
		t.Fatal(err)
	}
	if err := shelf.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	var names []string
	entries, err := os.ReadDir(shelf.Dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{filepath.Base(young), "note", name, name + sumSuffix}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%q, want %q (%v)", names, want, err)
	}
}
