package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"islet/appliance/component"
	"islet/appliance/health"
	"islet/appliance/metric"
	"islet/appliance/paas/survey"
	"islet/appliance/pki"
	"islet/appliance/plan"
	"islet/appliance/tail"
)

// node answers like a daemon; what a test asked of it is in restarted.
type node struct {
	restarted []string
	anew      bool
	snapshot  func(ctx context.Context) (string, error)
	order     RotationOrder
}

var now = time.Date(2026, 6, 1, 12, 0, 0, 123, time.UTC)

func (*node) Status() Status {
	return Status{
		Version: "v1", Site: "plant", Node: Node{Name: "node1", MTU: 1450}, StartedAt: now, Ready: true,
		Components:   []component.Status{{Name: "kubelet", State: component.Ready, Since: now, PID: 7, Failures: 1}},
		Datastore:    &Datastore{Store: "sqlite", Bytes: 42},
		Certificates: []pki.Entry{{Name: "admin", NotAfter: now, DaysLeft: 3}},
		Problems:     []health.Active{{Problem: health.Catalogue()[0], Subject: "datastore", Since: now}},
	}
}

func (n *node) Site() []Report { return []Report{{Received: now, Status: n.Status()}} }

func (*node) History() metric.History {
	return metric.History{Recent: []metric.Sample{{At: now, CPU: 0.5, MemoryUsed: 1, MemoryTotal: 2}}, Day: []metric.Sample{}}
}

func (*node) ReadLog(name string, lines int, mark string) (tail.Part, error) {
	switch name {
	case "nobody":
		return tail.Part{}, fmt.Errorf("%w: %q", component.ErrUnknown, name)
	case "addons":
		return tail.Part{}, ErrNoLog
	}
	return tail.Part{Lines: []string{fmt.Sprint(lines), mark}, Mark: "1:2"}, nil
}

func (*node) Pods(context.Context) ([]Pod, error) {
	return []Pod{{Namespace: "demo", Name: "web", State: "Running", Ready: 1, Total: 1, Created: now, Detail: secret}}, nil
}

func (*node) Platform(context.Context) (survey.Survey, error) {
	return survey.Survey{Orders: []survey.Order{{Environment: "press-dev", Name: "hello-1-1", Since: now}}, Older: 3}, nil
}

func (*node) Plans() ([]plan.Journal, error) {
	return []plan.Journal{{ID: "1-install", State: plan.Failed, Error: secret, Steps: []plan.Step{{Kind: "config", State: plan.Failed, Error: secret}}}}, nil
}

// secret is what a program may have printed.
const secret = "password=hunter2hunter2"

func (*node) Events() []component.Event {
	return []component.Event{{At: now, Component: "kubelet", State: component.Waiting, Reason: "waiting for containerd"}}
}

func (n *node) Restart(name string) error {
	if name == "nobody" {
		return fmt.Errorf("%w: %q", component.ErrUnknown, name)
	}
	n.restarted = append(n.restarted, name)
	return nil
}

// far is a node that answers with its name.
type far struct{ name string }

func (*node) Other(name string) (Other, error) {
	if name == "nobody" {
		return nil, fmt.Errorf("%w: %q", ErrUnknownNode, name)
	}
	return far{name}, nil
}

func (f far) Log(_ context.Context, name string, lines int, mark string) (tail.Part, error) {
	return tail.Part{Lines: []string{f.name, name, fmt.Sprint(lines), mark}, Mark: "9"}, nil
}

func (f far) History(context.Context) (metric.History, error) {
	return metric.History{Recent: []metric.Sample{{CPU: 0.25}}}, nil
}

func (f far) Events(context.Context) ([]component.Event, error) {
	return []component.Event{{Component: f.name}}, nil
}
func (far) Close() {}

func (n *node) StartAnew() { n.anew = true }

func (n *node) Rotate(_ context.Context, o RotationOrder) error {
	n.order = o
	return nil
}

func (n *node) Snapshot(ctx context.Context) (string, error) { return n.snapshot(ctx) }

// serve serves d until the test ends and returns a client.
func serve(t *testing.T, d Daemon) (*Client, string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "api.sock")
	if err := os.WriteFile(socket, nil, 0o600); err != nil { // of a killed daemon
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, socket, d, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	await(t, socket)
	return NewClient(socket), socket
}

// await waits until a daemon listens on the socket.
func await(t *testing.T, socket string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if info, err := os.Stat(socket); err == nil && info.Mode() == fs.ModeSocket|0o600 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no socket of mode 0600")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	n := &node{snapshot: func(context.Context) (string, error) { return "/backups/1.db", nil }}
	c, _ := serve(t, n)
	status, err := c.Status(t.Context())
	if want := n.Status(); err != nil || !reflect.DeepEqual(status, want) {
		t.Errorf("%+v (%v), want %+v", status, err, want)
	}
	events, err := c.Events(t.Context())
	if err != nil || !reflect.DeepEqual(events, n.Events()) {
		t.Errorf("%+v (%v)", events, err)
	}
	for _, name := range []string{"kubelet", "a/b c"} {
		if err := c.Restart(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	if got := strings.Join(n.restarted, ","); got != "kubelet,a/b c" {
		t.Errorf("restarted %q", got)
	}
	order := RotationOrder{Authorities: []string{"node-ca"}, Overlap: time.Minute}
	if err := c.Rotate(t.Context(), order); err != nil || !reflect.DeepEqual(n.order, order) {
		t.Errorf("rotation %+v (%v)", n.order, err)
	}
	if err := c.StartAnew(t.Context()); err != nil || !n.anew {
		t.Errorf("asked to start anew: %t (%v)", n.anew, err)
	}
	if path, err := c.Snapshot(t.Context()); err != nil || path != "/backups/1.db" {
		t.Errorf("%q (%v)", path, err)
	}
}

func TestErrorsKeepTheirWords(t *testing.T) {
	t.Parallel()
	c, socket := serve(t, &node{snapshot: func(context.Context) (string, error) { return "", errors.New("no space left on device") }})
	if _, err := c.Snapshot(t.Context()); err == nil || err.Error() != "no space left on device" {
		t.Errorf("%v", err)
	}
	if err := c.Restart(t.Context(), "nobody"); err == nil || err.Error() != `no component is named that: "nobody"` {
		t.Errorf("%v", err)
	}
	if err := c.call(t.Context(), http.MethodGet, "/v1/none", nil); err == nil || err.Error() != "404 Not Found" {
		t.Errorf("an unknown path: %v", err)
	}
	for path, want := range map[string]int{"/v1/snapshots": 500, "/v1/components/nobody/restart": 404, "/v1/components/kubelet/restart": 200} {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}}
		resp, err := client.Post("http://appliance"+path, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != want || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s, want %d", path, resp.StatusCode, resp.Header.Get("Content-Type"), want)
		}
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	dead := filepath.Join(t.TempDir(), "api.sock")
	listener, err := net.Listen("unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	listener.Close()
	for name, socket := range map[string]string{"no socket": "/no/such/api.sock", "of a dead daemon": dead} {
		if _, err := NewClient(socket).Status(t.Context()); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), socket) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewClient(dead).Status(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnreachable) {
		t.Errorf("cancelled: %v", err)
	}
}

// An answer that takes long is not waited for when the daemon stops.
func TestStopDoesNotWaitForSlowAnswers(t *testing.T) {
	t.Parallel()
	asked, stopped := make(chan struct{}), make(chan error, 1)
	socket := filepath.Join(t.TempDir(), "api.sock")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		stopped <- Serve(ctx, socket, &node{snapshot: func(ctx context.Context) (string, error) {
			close(asked)
			<-ctx.Done()
			return "", ctx.Err()
		}}, slog.New(slog.DiscardHandler))
	}()
	await(t, socket)
	client := make(chan error, 1)
	go func() {
		_, err := NewClient(socket).Snapshot(t.Context())
		client <- err
	}()
	<-asked
	begun := time.Now()
	cancel()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the stop took %s", took)
	}
	if err := <-client; err == nil {
		t.Error("the client got an answer")
	}
}

func TestServeRefusesAPlaceItCannotUse(t *testing.T) {
	t.Parallel()
	if err := Serve(t.Context(), "/no/such/dir/api.sock", &node{}, slog.New(slog.DiscardHandler)); err == nil || !strings.HasPrefix(err.Error(), "serve the local API: ") {
		t.Errorf("%v", err)
	}
}

// Whatever answers on the socket, the client does not panic and says something.
func FuzzAnswer(f *testing.F) {
	f.Add(200, `{"ready":true,"components":[{"since":"x"}]}`)
	f.Add(500, `{"error":""}`)
	f.Add(404, `{"error":{"a":1}}`)
	f.Fuzz(func(t *testing.T, code int, body string) {
		if code < 200 || code > 599 || code == 204 || code == 304 {
			return
		}
		var s Status
		err := decode(code, fmt.Sprintf("%d", code), []byte(body), &s)
		if code != 200 && (err == nil || err.Error() == "") {
			t.Errorf("%d %q: %v", code, body, err)
		}
	})
}
