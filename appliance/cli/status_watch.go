package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"islet/appliance/api"
)

// statusChange is the JSON form of one line of `status --watch`: the status, or why there is none.
type statusChange struct {
	At     time.Time   `json:"at"`
	Status *api.Status `json:"status,omitempty"`
	Error  string      `json:"error,omitempty"` // the daemon does not answer
}

// statusWatch shows a node until ctx ends: a screen that is drawn anew, or where there is none a line for each change.
type statusWatch struct {
	client *api.Client
	out    io.Writer
	format Format
	screen func() (width, height int, ok bool) // not ok: no terminal
	every  time.Duration
	last   map[string]string // what was told of each thing
}

func newStatusWatch(env *Env, client *api.Client, format Format, every time.Duration) *statusWatch {
	w := &statusWatch{client: client, out: env.Stdio.Out, format: format, every: every}
	file, ok := env.Stdio.Out.(*os.File)
	w.screen = func() (int, int, bool) {
		if !ok || !term.IsTerminal(int(file.Fd())) {
			return 0, 0, false
		}
		width, height, err := term.GetSize(int(file.Fd()))
		if err != nil || width == 0 || height == 0 { // a serial line does not know
			return 80, 24, true
		}
		return width, height, true
	}
	return w
}

// run returns nil when ctx ends, which is how a watch is meant to end.
func (w *statusWatch) run(ctx context.Context) error {
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for {
		s, err := w.client.Status(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := w.show(time.Now(), s, err); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (w *statusWatch) show(now time.Time, s api.Status, down error) error {
	if width, height, ok := w.screen(); ok && w.format == FormatText {
		return w.draw(now, s, down, width, height)
	}
	changes := w.changes(facts(s, down))
	if len(changes) == 0 {
		return nil
	}
	if w.format == FormatJSON {
		change := statusChange{At: now.UTC(), Status: &s}
		if down != nil {
			change.Status, change.Error = nil, down.Error()
		}
		return json.NewEncoder(w.out).Encode(change) // one line each, so that a program can read them as they come
	}
	for _, change := range changes {
		if _, err := fmt.Fprintf(w.out, "%s  %s\n", now.Format(time.TimeOnly), change); err != nil {
			return err
		}
	}
	return nil
}

// draw shows what fits on the screen. It goes over what is there and clears what is left of it, so that nothing flickers.
func (w *statusWatch) draw(now time.Time, s api.Status, down error, width, height int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, every %s; Ctrl-C ends it\n\n", now.Format(time.DateTime), w.every)
	if down != nil {
		fmt.Fprintf(&b, "%v\nnext: start it with `systemctl start appliance`; `appliance doctor` examines the node\n", down)
	} else if err := printStatus(&b, s); err != nil {
		return err
	}
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	if len(lines) > height-1 {
		more := len(lines) - height + 2
		lines = append(lines[:height-2], fmt.Sprintf("... and %d lines more: appliance status | less", more))
	}
	var screen strings.Builder
	screen.WriteString("\x1b[H")
	for _, line := range lines {
		if runes := []rune(line); len(runes) > width {
			line = string(runes[:width])
		}
		screen.WriteString(line + "\x1b[K\r\n")
	}
	_, err := io.WriteString(w.out, screen.String()+"\x1b[J")
	return err
}

// fact is one thing that a watch tells of when it changes.
type fact struct{ name, text string }

func facts(s api.Status, down error) []fact {
	if down != nil {
		return []fact{{"daemon", down.Error()}}
	}
	list := []fact{{"daemon", fmt.Sprintf("node %s, %s", s.Node.Name, map[bool]string{true: "ready", false: "NOT READY"}[s.Ready])}}
	for _, c := range s.Components {
		text := fmt.Sprintf("%s is %s", c.Name, c.State)
		if c.Reason != "" {
			text += ": " + c.Reason
		}
		list = append(list, fact{"component " + c.Name, text})
	}
	for _, p := range s.Problems {
		if p.HiddenBy == "" {
			list = append(list, fact{"problem " + string(p.Code) + " " + p.Subject, fmt.Sprintf("%s: %s; next: %s [%s]", p.Severity, p.Headline(), p.Advice, p.Code)})
		}
	}
	return list
}

// changes tells what is new since the last call, and which problems are gone.
func (w *statusWatch) changes(list []fact) []string {
	var told []string
	now := map[string]string{}
	for _, f := range list {
		now[f.name] = f.text
		if w.last[f.name] != f.text {
			told = append(told, f.text)
		}
	}
	if len(list) > 1 { // while the daemon is silent nobody knows what is gone
		for name := range w.last {
			if problem, is := strings.CutPrefix(name, "problem "); is && now[name] == "" {
				told = append(told, "gone: "+problem)
			}
		}
	}
	w.last = now
	return told
}
