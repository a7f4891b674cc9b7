package cli

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"islet/appliance/api"
	"islet/tui/dashboard"
	"islet/tui/term"
)

// socketVariable makes of this test's executable a dashboard, in a process that a test may end.
const socketVariable = "TEST_DASHBOARD_SOCKET"

func TestDashboardProcess(t *testing.T) {
	socket := os.Getenv(socketVariable)
	if socket == "" {
		t.Skip("is run by another test")
	}
	env := NewEnv(Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	shown, in, out, ok := screenOf(env)
	if !ok {
		t.Fatal("no screen")
	}
	resident := os.Getenv("TEST_RESIDENT") != ""
	if err := show(t.Context(), shown, in, out, dashboard.New(shown, sight{api.NewClient(socket)}), resident); err != nil {
		t.Fatal(err)
	}
}

// screenProcess is a dashboard on a pty.
type screenProcess struct {
	*exec.Cmd
	terminal *os.File
	ended    chan error

	mu    sync.Mutex
	drawn bytes.Buffer
}

func startDashboard(t *testing.T, socket string, environ ...string) *screenProcess {
	t.Helper()
	return startDashboardAt(t, &pty.Winsize{Rows: 24, Cols: 80}, socket, environ...)
}

// startDashboardAt is that on a terminal which says that it is of this size.
func startDashboardAt(t *testing.T, size *pty.Winsize, socket string, environ ...string) *screenProcess {
	t.Helper()
	p := &screenProcess{Cmd: exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run", "^TestDashboardProcess$"), ended: make(chan error, 1)}
	p.Env = append(os.Environ(), "TERM=xterm-256color", "LANG=C.UTF-8", term.EnvPlain+"=", socketVariable+"="+socket)
	p.Env = append(p.Env, environ...)
	var err error
	if p.terminal, err = pty.StartWithSize(p.Cmd, size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.terminal.Close() })
	go func() {
		_, _ = io.Copy(p, p.terminal) // until the terminal is closed
	}()
	go func() { p.ended <- p.Wait() }()
	return p
}

// Write keeps what is drawn.
func (p *screenProcess) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.drawn.Write(b)
}

// shows waits until a text was drawn.
func (p *screenProcess) shows(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		p.mu.Lock()
		drawn := p.drawn.String()
		p.mu.Unlock()
		if strings.Contains(drawn, text) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q is not shown: %q", text, drawn)
		}
	}
}

// ends waits for the process.
func (p *screenProcess) ends(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended: //nolint:errcheck // that it ends is what is asked
	case <-time.After(10 * time.Second):
		t.Fatal("goes on")
	}
}

// A dashboard that an SSH connection has left behind ends by itself, also one that cannot be left.
func TestDashboardEndsWithItsTerminal(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*screenProcess) error{
		"closed": func(p *screenProcess) error { return p.terminal.Close() },
		"hangup": func(p *screenProcess) error { return p.Process.Signal(syscall.SIGHUP) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startDashboard(t, filepath.Join(t.TempDir(), "none.sock"), "TEST_RESIDENT=1")
			p.shows(t, "does not answer")
			if err := end(p); err != nil {
				t.Fatal(err)
			}
			p.ends(t)
		})
	}
}

// The daemon comes up under a dashboard that is there already, and q leaves.
func TestDashboardShowsTheDaemon(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "api.sock")
	p := startDashboard(t, socket)
	p.shows(t, "does not answer")
	serveNodeAt(t, &fakeNode{}, socket)
	p.shows(t, "plant (hall-2)")
	if _, err := p.terminal.WriteString("q"); err != nil {
		t.Fatal(err)
	}
	p.ends(t)
}

// A serial line whose other end answers nothing at all gets screens of 80 by 24, in which every key works.
func TestDashboardWithoutASize(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "api.sock")
	serveNodeAt(t, &fakeNode{}, socket)
	p := startDashboardAt(t, &pty.Winsize{}, socket, "TERM=vt100", "LANG=C")
	p.shows(t, "\x1b[6n") // it asks, and nobody answers
	p.shows(t, "plant (hall-2)")
	rows, columns, err := pty.Getsize(p.terminal)
	if err != nil || rows != 24 || columns != 80 {
		t.Errorf("the terminal is taken for one of %d by %d, %v", columns, rows, err)
	}
	for _, k := range []struct{ key, shows string }{{"3", "Components"}, {"g", ""}, {"e", "Events"}, {"?", "draw anew"}} {
		if _, err := p.terminal.WriteString(k.key); err != nil {
			t.Fatal(err)
		}
		p.shows(t, k.shows)
	}
	p.mu.Lock()
	drawn := p.drawn.String()
	p.mu.Unlock()
	for _, r := range drawn {
		if r >= 0x80 {
			t.Errorf("%q is sent to a terminal that knows ASCII", r)
			break
		}
	}
	if _, err := p.terminal.WriteString("\rq"); err != nil {
		t.Fatal(err)
	}
	p.ends(t)
}

func TestComponentLogsNeedANode(t *testing.T) {
	t.Parallel()
	if got := call(t, "/proc/self/exe", "component", "logs", "kubelet", "--lines", "0"); got.code != CodeUsage {
		t.Errorf("%+v", got)
	}
}
