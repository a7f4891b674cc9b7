//go:build !cgo

package sqlite

import (
	"os"
	"testing"
)

// TestLogIsMovedIntoTheDatabase writes more than the thousand pages after which SQLite moves its log into the database, which
// it can do only while nobody reads what is older.
func TestLogIsMovedIntoTheDatabase(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	client, stop := s.serve(t)
	defer stop()
	fill(t, client, 400)
	var size [2]int64
	for i, suffix := range []string{"", "-wal"} {
		info, err := os.Stat(s.database + suffix)
		if err != nil {
			t.Fatal(err)
		}
		size[i] = info.Size()
	}
	if size[0] < 100<<10 || size[1] > 8<<20 {
		t.Errorf("after 400 writes the database has %d bytes and its log %d: it is never moved", size[0], size[1])
	}
}

func TestPredecessorHoldsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for range 2 { // the second start finds the table
		_, stop := s.serve(t)
		stop()
		report, err := Check(t.Context(), s.database)
		if err != nil {
			t.Fatal(err)
		}
		if report.Rows > 2 {
			t.Errorf("%d rows in a database that nothing was written to", report.Rows)
		}
	}
}
