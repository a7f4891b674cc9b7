package lab_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"islet/appliance/lab"
)

func TestExec(t *testing.T) {
	t.Parallel()
	h := host(t, up(t, newLayout(t), lab.Spec{}, 1), "node1")
	for _, test := range []struct {
		name   string
		line   string
		stdin  string
		env    []string
		stdout string
		stderr string
		code   int
	}{
		{name: "output", line: "echo out; echo err >&2", stdout: "out\n", stderr: "err\n"},
		{name: "exit code", line: "exit 42", code: 42},
		{name: "killed by a signal", line: "kill -9 $$", code: 137},
		{name: "input", line: "tr a-z A-Z", stdin: "hello", stdout: "HELLO"},
		{name: "environment", line: "echo $X $HOME; pwd", env: []string{"X=y"}, stdout: "y /root\n/root\n"},
		{name: "nothing inherited", line: "echo ${GOPATH-}${USER}", stdout: "root\n"},
		{name: "in the host's namespaces", line: "hostname; readlink /proc/self/root; test -d /proc/$$ && echo pid", stdout: "node1\n/\npid\n"},
		{name: "in the host's control groups", line: "cut -d: -f3 /proc/self/cgroup | sort -u", stdout: "/\n"},
		{name: "in the control group's process list", line: "grep -qx $$ /sys/fs/cgroup/memory/cgroup.procs /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs 2>/dev/null"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			err := h.Exec(t.Context(), lab.Command{Args: []string{"sh", "-c", test.line}, Env: test.env,
				Stdin: strings.NewReader(test.stdin), Stdout: &stdout, Stderr: &stderr})
			if code, ran := lab.ExitCode(err); !ran || code != test.code {
				t.Errorf("exit code %d (%v), want %d", code, err, test.code)
			}
			if stdout.String() != test.stdout || stderr.String() != test.stderr {
				t.Errorf("wrote %q and %q, want %q and %q", &stdout, &stderr, test.stdout, test.stderr)
			}
		})
	}
}

func TestExecOfAMissingProgram(t *testing.T) {
	t.Parallel()
	h := host(t, up(t, newLayout(t), lab.Spec{}, 1), "node1")
	for _, name := range []string{"no-such-program", "/no/such/program"} {
		_, err := h.Output(t.Context(), name)
		if _, ran := lab.ExitCode(err); ran || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v, want ErrNotExist and no exit code", name, err)
		}
	}
}

func TestExecOnATerminal(t *testing.T) {
	t.Parallel()
	h := host(t, up(t, newLayout(t), lab.Spec{}, 1), "node1")
	var screen bytes.Buffer
	err := h.Exec(t.Context(), lab.Command{
		Args: []string{"sh", "-c", "tty; stty size; read line; echo got $line; exit 3"}, TTY: true,
		Size: lab.TTYSize{Rows: 33, Cols: 111}, Stdin: strings.NewReader("word\n"), Stdout: &screen,
	})
	if code, ran := lab.ExitCode(err); !ran || code != 3 {
		t.Errorf("exit code %d, %v", code, err)
	}
	for _, want := range []string{"/dev/pts/0\r\n", "33 111\r\n", "got word\r\n"} {
		if !strings.Contains(screen.String(), want) {
			t.Errorf("the screen lacks %q: %q", want, &screen)
		}
	}
}

func TestTerminalIsResizedAndInterrupted(t *testing.T) {
	t.Parallel()
	h := host(t, up(t, newLayout(t), lab.Spec{}, 1), "node1")
	resize, screen := make(chan lab.TTYSize, 1), &notifyingBuffer{wait: make(chan string, 100)}
	ended := make(chan error)
	input, typed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer typed.Close()
	go func() {
		ended <- h.Exec(t.Context(), lab.Command{
			Args: []string{"sh", "-c", `trap 'stty size; echo resized' WINCH; echo ready; while :; do sleep 0.01; done`},
			TTY:  true, Stdin: input, Stdout: screen, Resize: resize,
		})
	}()
	screen.await(t, "ready")
	resize <- lab.TTYSize{Rows: 44, Cols: 99}
	screen.await(t, "44 99\r\nresized")
	if _, err := typed.Write([]byte{3}); err != nil { // ^C
		t.Fatal(err)
	}
	if code, _ := lab.ExitCode(<-ended); code != 130 {
		t.Errorf("exit code %d after ^C, want 130", code)
	}
}

// notifyingBuffer sends all that has been written so far at each write.
type notifyingBuffer struct {
	content string
	wait    chan string
}

func (b *notifyingBuffer) Write(p []byte) (int, error) {
	b.content += string(p)
	b.wait <- b.content
	return len(p), nil
}

func (b *notifyingBuffer) await(t *testing.T, text string) {
	t.Helper()
	timeout := time.After(10 * time.Second)
	var content string
	for {
		select {
		case content = <-b.wait:
			if strings.Contains(content, text) {
				return
			}
		case <-timeout:
			t.Fatalf("waited in vain for %q in %q", text, content)
		}
	}
}

func TestCancelledExecEndsTheWholeGroup(t *testing.T) {
	t.Parallel()
	h := host(t, up(t, newLayout(t), lab.Spec{}, 1), "node1")
	ctx, cancel := context.WithCancel(t.Context())
	out := &notifyingBuffer{wait: make(chan string, 100)}
	ended := make(chan error)
	go func() {
		ended <- h.Exec(ctx, lab.Command{Args: []string{"sh", "-c", "sleep 1001 & echo ready; wait"}, Stdout: out})
	}()
	out.await(t, "ready")
	cancel()
	if err := <-ended; err == nil {
		t.Error("a cancelled command succeeded")
	}
	if left := output(t, h, "pgrep -f '^sleep 1001' || true"); left != "" {
		t.Errorf("left running: %s", left)
	}
}

func TestExecPassesSignalsOn(t *testing.T) {
	t.Parallel()
	h := host(t, up(t, newLayout(t), lab.Spec{}, 1), "node1")
	out, signals, ended := &notifyingBuffer{wait: make(chan string, 100)}, make(chan os.Signal, 1), make(chan error)
	go func() {
		ended <- h.Exec(t.Context(), lab.Command{Signals: signals, Stdout: out,
			Args: []string{"sh", "-c", "trap 'exit 7' USR1; echo ready; while :; do sleep 0.01; done"}})
	}()
	out.await(t, "ready")
	signals <- syscall.SIGUSR1
	if code, _ := lab.ExitCode(<-ended); code != 7 {
		t.Errorf("exit code %d, want 7", code)
	}
}

func TestExecEndsWithTheHost(t *testing.T) {
	t.Parallel()
	h := host(t, up(t, newLayout(t), lab.Spec{}, 1), "node1")
	out, ended := &notifyingBuffer{wait: make(chan string, 100)}, make(chan error)
	go func() {
		ended <- h.Exec(t.Context(), lab.Command{Args: []string{"sh", "-c", "echo ready; exec sleep 1000"}, Stdout: out})
	}()
	out.await(t, "ready")
	if err := h.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := <-ended; !errors.As(err, &exit) {
		t.Errorf("got %v, want an exit error", err)
	}
	if _, err := h.Output(t.Context(), "true"); !errors.Is(err, lab.ErrNotRunning) {
		t.Errorf("got %v, want ErrNotRunning", err)
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	spec := lab.HostSpec{Files: map[string]lab.File{
		"/etc/appliance/config.yaml": {Data: []byte("a: b\n"), Mode: 0o600},
		"/var/lib/x/y":               {Data: []byte("data")},
	}}
	h := host(t, up(t, newLayout(t), lab.Spec{Hosts: []lab.HostSpec{spec}}, 1), "node1")
	if out := output(t, h, "stat -c %a /etc/appliance/config.yaml; cat /etc/appliance/config.yaml /var/lib/x/y"); out != "600\na: b\ndata" {
		t.Errorf("got %q", out)
	}
	if err := h.WriteFile("/var/lib/z/file", []byte("1"), 0o640); err != nil {
		t.Fatal(err)
	}
	output(t, h, "ln -s /etc/hostname /root/link")
	if content, err := h.ReadFile("/root/link"); err != nil || string(content) != "node1\n" {
		t.Errorf("through a link: %q, %v", content, err)
	}
	if _, err := h.ReadFile("/no/file"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want ErrNotExist", err)
	}
	for range 2 { // running, then off
		if content, err := os.ReadFile(h.Path("/var/lib/z/file")); err != nil || string(content) != "1" {
			t.Errorf("from outside: %q, %v", content, err)
		}
		if err := h.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
