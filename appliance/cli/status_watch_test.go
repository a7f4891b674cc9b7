package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"islet/appliance/api"
	"islet/appliance/component"
	"islet/appliance/health"
)

func watched(state component.State, problems ...health.Active) api.Status {
	return api.Status{Ready: state == component.Ready, Node: api.Node{Name: "press1"}, Components: []component.Status{{Name: "kubelet", State: state}}, Problems: problems}
}

func TestWatchTellsOfChanges(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	full := health.Active{Problem: health.Problem{Code: health.DiskBytesLow, Title: "is almost full", Advice: "free space", Severity: health.Critical}, Subject: "/var"}
	var out bytes.Buffer
	w := &statusWatch{out: &out, format: FormatText, screen: func() (int, int, bool) { return 0, 0, false }}
	for _, step := range []struct {
		s    api.Status
		down error
		want string
	}{
		{watched(component.Starting), nil, "03:04:05  node press1, NOT READY\n03:04:05  kubelet is starting\n"},
		{watched(component.Starting), nil, ""},
		{watched(component.Ready, full), nil, "03:04:05  node press1, ready\n03:04:05  kubelet is ready\n03:04:05  critical: /var is almost full; next: free space [disk-bytes-low]\n"},
		{api.Status{}, api.ErrUnreachable, "03:04:05  the node daemon does not answer\n"},
		{watched(component.Ready, full), nil, "03:04:05  node press1, ready\n03:04:05  kubelet is ready\n03:04:05  critical: /var is almost full; next: free space [disk-bytes-low]\n"},
		{watched(component.Ready), nil, "03:04:05  gone: disk-bytes-low /var\n"},
	} {
		out.Reset()
		if err := w.show(now, step.s, step.down); err != nil || out.String() != step.want {
			t.Errorf("%q (%v), want %q", out.String(), err, step.want)
		}
	}
}

func TestWatchAsJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := &statusWatch{out: &out, format: FormatJSON, screen: func() (int, int, bool) { return 80, 24, true }}
	for _, down := range []error{nil, nil, api.ErrUnreachable} {
		if err := w.show(time.Now(), watched(component.Ready), down); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines, want one for each change: %q", len(lines), lines)
	}
	if first := decode[statusChange](t, lines[0]); first.Status == nil || !first.Status.Ready {
		t.Errorf("%+v", first)
	}
	if second := decode[statusChange](t, lines[1]); second.Status != nil || second.Error == "" {
		t.Errorf("%+v", second)
	}
}

// Whatever the size, nothing is written beyond the screen.
func TestWatchDrawsWithinTheScreen(t *testing.T) {
	t.Parallel()
	s := watched(component.Ready)
	for range 40 {
		s.Components = append(s.Components, component.Status{Name: strings.Repeat("long", 30), State: component.Ready})
	}
	for _, size := range [][2]int{{60, 20}, {80, 24}, {200, 100}} {
		var out bytes.Buffer
		w := &statusWatch{out: &out, format: FormatText, every: time.Second, screen: func() (int, int, bool) { return size[0], size[1], true }}
		for _, down := range []error{nil, api.ErrUnreachable} {
			out.Reset()
			if err := w.show(time.Now(), s, down); err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSuffix(strings.TrimPrefix(out.String(), "\x1b[H"), "\x1b[J"), "\r\n")
			if len(lines) > size[1] {
				t.Errorf("%d lines on %d", len(lines), size[1])
			}
			for _, line := range lines {
				if n := len([]rune(strings.TrimSuffix(line, "\x1b[K"))); n > size[0] {
					t.Errorf("a line of %d columns on %d", n, size[0])
				}
			}
		}
	}
}

// It goes on while the daemon is down, and ends without an error.
func TestWatchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var out bytes.Buffer
	w := newStatusWatch(&Env{Stdio: Stdio{Out: &out}}, api.NewClient("/no/such/api.sock"), FormatText, 50*time.Millisecond)
	if err := w.run(ctx); err != nil || strings.Count(out.String(), "does not answer") != 1 {
		t.Errorf("%v %q", err, out.String())
	}
}
