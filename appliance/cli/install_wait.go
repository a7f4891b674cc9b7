package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"islet/appliance/api"
	"islet/appliance/component"
)

// watchReady is waitReady for people: it tells on out what the node has come to. On a terminal that is
// one line that changes, elsewhere a line for each component that gets ready.
func watchReady(ctx context.Context, client *api.Client, wait time.Duration, out io.Writer) (api.Status, error) {
	w := newWatcher(out)
	defer w.end()
	return followReadyNode(ctx, client, wait, w.tell)
}

// followReadyNode waits until the node is ready, and tells each time what it has come to, or why it does not answer.
func followReadyNode(ctx context.Context, client *api.Client, wait time.Duration, tell func(api.Status, error)) (api.Status, error) {
	begun := time.Now()
	tick := time.NewTicker(waitInterval)
	defer tick.Stop()
	for {
		s, err := client.Status(ctx)
		switch tell(s, err); {
		case err == nil && s.Ready:
			return s, nil
		case err != nil && !errors.Is(err, api.ErrUnreachable):
			return s, err
		case time.Since(begun) > wait:
			return s, notReady(s, err, wait)
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-tick.C:
		}
	}
}

func newWatcher(out io.Writer) *watcher {
	file, ok := out.(*os.File)
	return &watcher{out: out, terminal: ok && term.IsTerminal(int(file.Fd())), begun: time.Now(), seen: map[string]bool{}}
}

type watcher struct {
	out      io.Writer
	terminal bool
	begun    time.Time
	seen     map[string]bool // components that were told to be ready
}

func (w *watcher) tell(s api.Status, err error) {
	if err == nil {
		w.show(s)
	}
}

func (w *watcher) show(s api.Status) {
	waiting := unready(s)
	if w.terminal {
		text := fmt.Sprintf("%d of %d ready", len(s.Components)-len(waiting), len(s.Components))
		if len(waiting) > 0 {
			text += "; " + waiting[0].Name + " is " + string(waiting[0].State)
			if waiting[0].Reason != "" {
				text += ": " + waiting[0].Reason
			}
		}
		fmt.Fprintf(w.out, "\r\x1b[K%.78s", text)
		return
	}
	for _, c := range s.Components {
		if c.State == component.Ready && !w.seen[c.Name] {
			w.seen[c.Name] = true
			fmt.Fprintf(w.out, "%5.1fs  %s is ready\n", time.Since(w.begun).Seconds(), c.Name)
		}
	}
}

func (w *watcher) end() {
	if w.terminal {
		fmt.Fprintln(w.out)
	}
}
