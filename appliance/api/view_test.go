package api

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"islet/appliance/component"
	"islet/appliance/plan"
)

// chatty is a daemon whose programs print secrets.
type chatty struct{ node }

func (c *chatty) Status() Status {
	s := c.node.Status()
	s.Components[0].Reason = secret
	s.Problems[0].Detail = secret
	return s
}

func (c *chatty) Site() []Report { return []Report{{Received: now, Status: c.Status()}} }

func (c *chatty) Events() []component.Event {
	return []component.Event{{At: now, Component: "kubelet", State: component.Backoff, Reason: "exit 1: " + secret}}
}

// view serves what everybody may see until the test ends.
func view(t *testing.T, d Daemon) *Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "view.sock")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- ServeView(ctx, socket, d, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for deadline := time.Now().Add(10 * time.Second); ; {
		if info, err := os.Stat(socket); err == nil && info.Mode() == fs.ModeSocket|0o666 {
			return NewClient(socket)
		}
		if time.Now().After(deadline) {
			t.Fatal("no socket of mode 0666")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestViewTellsNoSecret(t *testing.T) {
	t.Parallel()
	c := view(t, &chatty{})
	status, err := c.Status(t.Context())
	if err != nil || status.Site != "plant" || status.Components[0].Reason == "" {
		t.Errorf("%+v, %v", status, err)
	}
	for path, into := range map[string]any{"/v1/status": new(any), "/v1/site": new(any), "/v1/events": new(any), "/v1/history": new(any), "/v1/pods": new(any), "/v1/plans": new(any)} {
		if err := c.call(t.Context(), "GET", path, into); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if text := strings.ToLower(strings.Join(flat(*into.(*any)), " ")); strings.Contains(text, "hunter2") {
			t.Errorf("%s tells a secret: %s", path, text)
		}
	}
}

// flat lists all strings of a decoded answer.
func flat(v any) (out []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, e := range v {
			out = append(out, flat(e)...)
		}
	case map[string]any:
		for _, e := range v {
			out = append(out, flat(e)...)
		}
	}
	return out
}

func TestViewOnlyTells(t *testing.T) {
	t.Parallel()
	n := &node{snapshot: func(context.Context) (string, error) { t.Error("a snapshot was taken"); return "", nil }}
	c := view(t, n)
	if err := c.Restart(t.Context(), "kubelet"); err == nil || len(n.restarted) > 0 {
		t.Errorf("restarted %q, %v", n.restarted, err)
	}
	if _, err := c.Snapshot(t.Context()); err == nil {
		t.Error("a snapshot can be taken")
	}
	if err := c.StartAnew(t.Context()); err == nil || n.anew {
		t.Error("the daemon can be told to start anew")
	}
	if err := c.Rotate(t.Context(), RotationOrder{Authorities: []string{"cluster"}}); err == nil || n.order.Authorities != nil {
		t.Error("authorities can be rotated")
	}
	if _, err := c.Log(t.Context(), "kubelet", 10, ""); err == nil {
		t.Error("logs can be read")
	}
	if _, err := c.Platform(t.Context()); err == nil {
		t.Error("tenants can be seen")
	}
}

func TestHistoryLogAndPods(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, &node{})
	h, err := c.History(t.Context())
	if err != nil || len(h.Recent) != 1 || h.Recent[0].CPU != 0.5 {
		t.Errorf("%+v, %v", h, err)
	}
	last, err := c.Log(t.Context(), "kubelet", 7, "")
	if err != nil || last.Lines[0] != "7" || last.Lines[1] != "" || last.Mark != "1:2" {
		t.Errorf("%+v, %v", last, err)
	}
	after, err := c.Log(t.Context(), "kubelet", 7, "3:4")
	if err != nil || after.Lines[1] != "3:4" {
		t.Errorf("%+v, %v", after, err)
	}
	for name, want := range map[string]string{"nobody": "no component", "addons": "no log of its own"} {
		if _, err := c.Log(t.Context(), name, 1, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	plans, err := c.Plans(t.Context())
	if err != nil || len(plans) != 1 || plans[0].Steps[0].State != plan.Failed {
		t.Errorf("%+v, %v", plans, err)
	}
	seen, err := c.Platform(t.Context())
	if err != nil || seen.Older != 3 || len(seen.Orders) != 1 || !seen.Orders[0].Since.Equal(now) {
		t.Errorf("%+v, %v", seen, err)
	}
	pods, err := c.Pods(t.Context())
	if err != nil || len(pods) != 1 || !pods[0].OK() {
		t.Errorf("%+v, %v", pods, err)
	}
}
