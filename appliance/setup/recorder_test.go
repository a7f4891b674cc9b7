package setup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"islet/appliance/install"
	"islet/appliance/layout"
	"islet/appliance/plan"
)

// yes is a driver that agrees to everything, unless it is told to answer otherwise.
type yes struct {
	told  []Event
	wrong error
}

func (y *yes) Tell(e Event)                        { y.told = append(y.told, e) }
func (y *yes) Ask(context.Context, Question) error { return y.wrong }

// recording is a recorder on a new machine, whose clock goes on by a second at each look.
func recording(t *testing.T, kind plan.Kind, d Driver) (*Recorder, layout.Layout) {
	t.Helper()
	l := layout.Layout{StateDir: t.TempDir()}
	now := time.Date(2026, 5, 17, 9, 30, 0, 0, time.UTC)
	store := plan.Store{Layout: l, Now: func() time.Time { now = now.Add(time.Second); return now }}
	return Record(d, store, kind, "v1", string(kind)), l
}

var planned = []install.Step{{Kind: install.KindJournal, Object: "j"}, {Kind: install.KindUnit, Object: "u", Done: true}, {Kind: install.KindConfig, Object: "c"}}

// carry out the plan as install.Run does, up to a step that fails.
func carry(t *testing.T, r *Recorder, l layout.Layout, failing int, err error) {
	t.Helper()
	if err := r.Ask(t.Context(), Plan{Steps: planned}); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(l.Journal(), 0o700); err != nil {
		t.Fatal(err)
	}
	for i, s := range planned {
		if i == failing {
			r.Tell(Ended{Step: s, Err: err})
			return
		}
		r.Tell(Ended{Step: s})
	}
}

// newest is a plan in short: its state, and those of its steps.
func newest(t *testing.T, l layout.Layout) (plan.Journal, string) {
	t.Helper()
	all, err := plan.List(l)
	if err != nil || len(all) == 0 {
		t.Fatalf("%d journals, %v", len(all), err)
	}
	short := string(all[0].State)
	for _, s := range all[0].Steps {
		short += fmt.Sprintf(" %s:%s", s.Kind, s.State)
	}
	return all[0], short
}

func TestRecordInstallation(t *testing.T) {
	t.Parallel()
	d := &yes{}
	r, l := recording(t, plan.Install, d)
	carry(t, r, l, -1, nil)
	r.Tell(Starting)
	if _, got := newest(t, l); got != "running journal:done unit:unchanged config:done start:running" {
		t.Error(got)
	}
	r.Tell(Started{})
	if err := r.Ask(t.Context(), Key{Recipient: "age1x", Secret: "AGE-SECRET-KEY-1X"}); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(nil); err != nil {
		t.Fatal(err)
	}
	j, got := newest(t, l)
	if got != "done journal:done unit:unchanged config:done start:done key:done" || j.Version != "v1" || j.Resume != nil {
		t.Errorf("%s %+v", got, j)
	}
	for _, s := range j.Steps {
		if s.State == plan.Done && !s.Ended.After(s.Begun) {
			t.Errorf("%s began %s and ended %s", s.Kind, s.Begun, s.Ended)
		}
	}
	if len(d.told) != len(planned)+2 {
		t.Errorf("passed on %v", d.told)
	}
	text, err := os.ReadFile(filepath.Join(l.Plans(), j.ID+".json"))
	if err != nil || strings.Contains(string(text), "SECRET") {
		t.Errorf("the journal has the key: %s, %v", text, err)
	}
}

func TestRecordWhatStopsIt(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left on device")
	for name, c := range map[string]struct {
		kind    plan.Kind
		failing int
		err     error
		start   bool
		want    string
		resume  []string
	}{
		"a step fails":         {plan.Install, 2, full, false, "failed journal:done unit:unchanged config:failed", []string{"install"}},
		"somebody leaves":      {plan.Join, 2, context.Canceled, false, "interrupted journal:done unit:unchanged config:interrupted", []string{"join"}},
		"the node is slow":     {plan.Install, -1, full, true, "failed journal:done unit:unchanged config:done start:failed", []string{"install"}},
		"a joined one is slow": {plan.Join, -1, full, true, "failed journal:done unit:unchanged config:done start:failed", []string{"status", "--wait", "15m0s"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, l := recording(t, c.kind, &yes{})
			carry(t, r, l, c.failing, c.err)
			if c.start {
				r.Tell(Starting)
				r.Tell(Started{Err: c.err})
			}
			if err := r.Close(fmt.Errorf("in short: %w", c.err), "free some"); err != nil {
				t.Fatal(err)
			}
			j, got := newest(t, l)
			if got != c.want || !slices.Equal(j.Resume, c.resume) || !strings.Contains(j.Error, "in short") || !slices.Equal(j.Advice, []string{"free some"}) {
				t.Errorf("%s %+v", got, j)
			}
		})
	}
}

// A plan that nobody agreed to, one that is undone, and one that changes nothing leave no journal.
func TestNothingToRecord(t *testing.T) {
	t.Parallel()
	no := errors.New("no")
	r, l := recording(t, plan.Install, &yes{wrong: no})
	if err := r.Ask(t.Context(), Plan{Steps: planned}); !errors.Is(err, no) || r.Close(err) != nil {
		t.Error(err)
	}
	r, undone := recording(t, plan.Join, &yes{})
	carry(t, r, undone, 2, no)
	if err := os.RemoveAll(undone.Journal()); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(no); err != nil {
		t.Error(err)
	}
	r, same := recording(t, plan.Install, &yes{})
	if err := r.Ask(t.Context(), Plan{Steps: planned[1:2]}); err != nil {
		t.Error(err)
	}
	r.Tell(Ended{Step: planned[1]})
	r.Tell(Starting)
	r.Tell(Started{})
	if err := r.Close(nil); err != nil {
		t.Error(err)
	}
	for _, l := range []layout.Layout{l, undone, same} {
		if left, err := os.ReadDir(l.StateDir); err != nil || len(left) > 0 {
			t.Errorf("%v, %v", left, err)
		}
	}
}
