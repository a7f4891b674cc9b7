package plan

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"islet/appliance/install"
	"islet/appliance/layout"
)

var began = time.Date(2026, 5, 17, 9, 30, 0, 0, time.UTC)

// machine is a store on a machine that has a journal.
func machine(t *testing.T) Store {
	t.Helper()
	s := Store{Layout: layout.Layout{StateDir: t.TempDir()}, Now: func() time.Time { return began }}
	if err := os.Mkdir(s.Layout.Journal(), 0o700); err != nil {
		t.Fatal(err)
	}
	return s
}

func steps() []install.Step {
	return []install.Step{{Kind: install.KindJournal, Object: "journal", Done: true}, {Kind: install.KindConfig, Object: "config"}}
}

// keep writes a plan that ended in a state.
func keep(t *testing.T, s Store, kind Kind, state State) Journal {
	t.Helper()
	j := s.Begin(&Journal{Kind: kind, Resume: []string{string(kind)}}, steps())
	j.State = state
	if err := s.Write(*j); err != nil {
		t.Fatal(err)
	}
	return *j
}

func TestKeptAndFound(t *testing.T) {
	t.Parallel()
	s := machine(t)
	if all, err := List(s.Layout); err != nil || len(all) != 0 || s.Unfinished() {
		t.Errorf("%+v, %v", all, err)
	}
	first, second := keep(t, s, Join, Failed), keep(t, s, Join, Failed)
	if first.ID == second.ID {
		t.Errorf("two plans of the same moment are both %s", first.ID)
	}
	all, err := List(s.Layout)
	if err != nil || len(all) != 2 || all[0].ID != second.ID || all[0].Resume == nil || all[1].Resume != nil {
		t.Errorf("only the newest may go on: %+v, %v", all, err)
	}
	if all[0].Steps[0].State != Unchanged || all[0].Steps[1].State != Pending || all[0].At() != 1 || !s.Unfinished() {
		t.Errorf("%+v", all[0])
	}
	if j, err := Find(all, first.ID); err != nil || j.ID != first.ID {
		t.Errorf("%+v, %v", j, err)
	}
	if _, err := Find(all, "x"); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if info, err := os.Stat(filepath.Join(s.Layout.Plans(), first.ID+".json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	keep(t, s, Install, Done)
	if all, _ := List(s.Layout); all[0].Resume != nil || s.Unfinished() {
		t.Errorf("a plan that is through has something to go on with: %+v", all[0])
	}
}

func TestOnlyTheNewestStay(t *testing.T) {
	t.Parallel()
	s := machine(t)
	var last Journal
	for range kept + 5 {
		last = keep(t, s, Install, Done)
	}
	all, err := List(s.Layout)
	if err != nil || len(all) != kept || all[0].ID != last.ID {
		t.Errorf("%d are kept, %v", len(all), err)
	}
}

// Whoever was killed, or lost its machine's power, has noted no end.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	s := machine(t)
	j := s.Begin(&Journal{Kind: Install, Resume: []string{"install"}}, steps())
	j.Steps[1].State = Running
	for name, c := range map[string]struct {
		process Process
		want    State
	}{
		"alive":           {thisProcess(), Running},
		"another process": {Process{PID: thisProcess().PID, Start: "1", Boot: boot()}, Interrupted},
		"another boot":    {Process{PID: thisProcess().PID, Start: thisProcess().Start, Boot: "x"}, Interrupted},
		"nobody":          {Process{PID: 1 << 30, Start: "1", Boot: boot()}, Interrupted},
	} {
		j.Process = c.process
		if err := s.Write(*j); err != nil {
			t.Fatal(err)
		}
		all, err := List(s.Layout)
		if err != nil || all[0].State != c.want || all[0].Steps[1].State != c.want || (all[0].Resume != nil) != (c.want == Interrupted) {
			t.Errorf("%s: %+v, %v", name, all, err)
		}
	}
}

// What was undone leaves nothing behind, the journal of that least of all.
func TestNothingIsKeptWithoutAMachinesJournal(t *testing.T) {
	t.Parallel()
	s := Store{Layout: layout.Layout{StateDir: t.TempDir()}}
	j := s.Begin(&Journal{Kind: Join}, steps())
	if err := s.Write(*j); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(s.Layout.StateDir); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestDamagedJournalHidesNoOther(t *testing.T) {
	t.Parallel()
	s := machine(t)
	good := keep(t, s, Install, Done)
	for _, name := range []string{"0.json", "9.json"} {
		if err := os.WriteFile(filepath.Join(s.Layout.Plans(), name), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := List(s.Layout)
	if err == nil || len(all) != 1 || all[0].ID != good.ID {
		t.Errorf("%+v, %v", all, err)
	}
}
