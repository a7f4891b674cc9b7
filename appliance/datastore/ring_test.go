package datastore

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// fill makes snapshots of the given sizes, one per hour, the newest first.
func fill(t *testing.T, sizes ...int) Ring {
	t.Helper()
	r := Ring{Dir: t.TempDir(), Store: "sqlite", Interval: time.Hour, Keep: 5, MaxBytes: 1000}
	for i, size := range sizes {
		put(t, r, "sqlite-"+noon.Add(-time.Duration(i)*time.Hour).Format(stamp)+suffix, size)
	}
	return r
}

func put(t *testing.T, r Ring, name string, size int) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.Dir, name), make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sizes    []int
		keep     int
		maxBytes int64
		want     int // how many of the newest stay
	}{
		"empty":                              {nil, 3, 100, 0},
		"within both":                        {[]int{10, 10, 10}, 3, 100, 3},
		"over the count":                     {[]int{10, 10, 10, 10}, 3, 100, 3},
		"over the bytes":                     {[]int{40, 40, 40}, 3, 100, 2},
		"exactly the bytes":                  {[]int{50, 50, 1}, 3, 100, 2},
		"a big old one":                      {[]int{10, 500, 10}, 3, 100, 1},
		"the newest alone is over the bytes": {[]int{500, 10}, 3, 100, 1},
		"keep none":                          {[]int{10, 10}, 0, 100, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := fill(t, c.sizes...)
			r.Keep, r.MaxBytes = c.keep, c.maxBytes
			before, err := r.List()
			if err != nil {
				t.Fatal(err)
			}
			if err := r.prune(); err != nil {
				t.Fatal(err)
			}
			if after, err := r.List(); err != nil || !slices.Equal(after, before[:c.want]) {
				t.Errorf("%v (%v), want the newest %d of %v", after, err, c.want, before)
			}
		})
	}
}

func TestRubbishIsLeftAlone(t *testing.T) {
	t.Parallel()
	r := fill(t, 10, 10)
	rubbish := []string{"README", "sqlite-.db", "sqlite-yesterday.db", "etcd-20260601T120000Z.db", "sqlite-20260601T120000Z.db.bak", ".hidden"}
	for _, name := range rubbish {
		put(t, r, name, 10)
	}
	cut := []string{"sqlite-20260601T130000Z" + suffix + ".partial", "sqlite-20260601T130000Z" + suffix + ".partial-journal"}
	for _, name := range cut {
		put(t, r, name, 10)
	}
	r.Keep = 1
	if err := r.prune(); err != nil {
		t.Fatal(err)
	}
	newest, err := r.Newest()
	if want := (Snapshot{Path: filepath.Join(r.Dir, "sqlite-20260601T120000Z.db"), Taken: noon, Bytes: 10}); err != nil || newest != want {
		t.Errorf("%+v (%v), want %+v", newest, err, want)
	}
	var left []string
	entries, err := os.ReadDir(r.Dir)
	for _, e := range entries {
		left = append(left, e.Name())
	}
	want := append([]string{"sqlite-20260601T120000Z.db"}, rubbish...)
	slices.Sort(want)
	if err != nil || !slices.Equal(left, want) {
		t.Errorf("left %q (%v), want %q", left, err, want)
	}
}

func TestNewest(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]Ring{"empty": fill(t), "no directory": {Dir: filepath.Join(t.TempDir(), "no/such")}} {
		if s, err := r.Newest(); !errors.Is(err, ErrNoSnapshot) {
			t.Errorf("%s: %+v (%v)", name, s, err)
		}
		if err := r.prune(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (Ring{Dir: "/proc/self/exe"}).Newest(); err == nil || errors.Is(err, ErrNoSnapshot) {
		t.Errorf("a ring that cannot be read counts as empty: %v", err)
	}
}

func TestDue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		now  time.Time
		want time.Duration
	}{
		"just taken":          {noon, time.Hour},
		"half way":            {noon.Add(30 * time.Minute), 30 * time.Minute},
		"nearly there":        {noon.Add(59*time.Minute + 59*time.Second), soonest},
		"switched off for":    {noon.AddDate(0, 3, 0), soonest},
		"clock was set back":  {noon.AddDate(-5, 0, 0), time.Hour},
		"clock a little back": {noon.Add(-time.Minute), time.Hour},
	} {
		if got := fill(t, 1).due(c.now); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if got := fill(t).due(noon); got != soonest {
		t.Errorf("at first: %s", got)
	}
}
