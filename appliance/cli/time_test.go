package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"islet/appliance/install"
	"islet/appliance/join"
	"islet/appliance/setup"
)

// clerk answers every question with the same, and keeps what it was asked and told.
type clerk struct {
	answer error
	asked  []setup.Question
	notes  []string
}

func (c *clerk) Tell(e setup.Event) {
	if n, ok := e.(setup.Note); ok {
		c.notes = append(c.notes, string(n))
	}
}

func (c *clerk) Ask(_ context.Context, q setup.Question) error {
	c.asked = append(c.asked, q)
	return c.answer
}

// The clock of a machine that joins is set to the site's where it is off and somebody wants that, and else told of.
func TestAgreeOnTime(t *testing.T) {
	t.Parallel()
	broken := errors.New("not permitted")
	for name, c := range map[string]struct {
		skew, left time.Duration
		answer     error
		plan       bool
		fails      error
		shifted    time.Duration
		asked      int
		note       string
	}{
		"agrees":        {skew: time.Second, left: time.Second},
		"behind":        {skew: 95 * time.Second, shifted: 95 * time.Second, asked: 1, note: "was 1m35s behind the site's, and is set"},
		"ahead":         {skew: -time.Hour, shifted: -time.Hour, asked: 1, note: "was 1h0m0s ahead of the site's, and is set"},
		"declined":      {skew: time.Minute, left: time.Minute, answer: setup.ErrDecline, asked: 1, note: "it can be set with: date -u -s"},
		"only a plan":   {skew: time.Minute, left: time.Minute, plan: true, note: "it can be set with"},
		"not permitted": {skew: time.Minute, left: time.Minute, fails: broken, shifted: time.Minute, asked: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, client, shifted := &clerk{answer: c.answer}, &join.Client{Skew: c.skew}, time.Duration(0)
			f := joinFlags{plan: c.plan}
			f.driver = d
			err := f.agreeOnTime(t.Context(), client, func(by time.Duration) error { shifted = by; return c.fails })
			if !errors.Is(err, c.fails) || shifted != c.shifted || client.Skew != c.left || len(d.asked) != c.asked {
				t.Errorf("%v, set by %s, %s are left, asked %v", err, shifted, client.Skew, d.asked)
			}
			if !strings.Contains(strings.Join(d.notes, "\n"), c.note) {
				t.Errorf("notes %q", d.notes)
			}
		})
	}
}

// Without a terminal nobody is asked about the clock: the flag says it.
func TestClockWithoutATerminal(t *testing.T) {
	t.Parallel()
	for set, want := range map[bool]error{true: nil, false: setup.ErrDecline} {
		l := &lines{env: NewEnv(Stdio{In: strings.NewReader(""), Err: io.Discard}), format: FormatText, setsClock: set}
		if err := l.Ask(t.Context(), setup.Skew{Ahead: time.Hour}); !errors.Is(err, want) {
			t.Errorf("%t: %v", set, err)
		}
	}
}

// A clock that is set is so before anything gets a date.
func TestClockIsTheFirstStep(t *testing.T) {
	t.Parallel()
	var shifted time.Duration
	o := install.Options{Shift: time.Hour, ConfigPath: t.TempDir() + "/config.yaml", Machine: install.Machine{ShiftClock: func(d time.Duration) error { shifted = d; return nil }}}
	o.Target.Layout.StateDir = t.TempDir()
	o.Source = "/proc/self/exe"
	steps, err := install.NewPlan(t.Context(), o)
	if err != nil || steps[0].Kind != install.KindClock || steps[0].Done {
		t.Fatalf("%+v, %v", steps, err)
	}
	if err := install.Run(t.Context(), steps[:1], func(install.Step, error) {}); err != nil || shifted != time.Hour {
		t.Errorf("%v, set by %s", err, shifted)
	}
	o.Shift = 0
	if steps, err := install.NewPlan(t.Context(), o); err != nil || steps[0].Kind != install.KindJournal {
		t.Errorf("%+v, %v", steps, err)
	}
}

func TestKeyIsConfirmed(t *testing.T) {
	t.Parallel()
	answers := []string{"", "yes", "saved", "never asked"}
	asked := 0
	if err := confirmSaved(func() (string, error) { asked++; return answers[asked-1], nil }); err != nil || asked != 3 {
		t.Errorf("%v after %d", err, asked)
	}
	if err := confirmSaved(func() (string, error) { return "", io.EOF }); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	var out bytes.Buffer
	l := &lines{env: NewEnv(Stdio{In: strings.NewReader(""), Out: &out, Err: io.Discard}), format: FormatText, confirms: true}
	if err := l.Ask(t.Context(), setup.Key{Site: "plant", Secret: "AGE-SECRET-KEY-1"}); err != nil || !strings.Contains(out.String(), "AGE-SECRET-KEY-1") {
		t.Errorf("without a terminal: %v\n%s", err, out.String())
	}
}
