package component

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"islet/appliance/cgroup"
)

// asDaemon makes the test binary a daemon with one child, which a test can then kill.
const asDaemon = "COMPONENT_TEST_DAEMON"

func TestMain(m *testing.M) {
	if os.Getenv(asDaemon) != "" {
		p := NewProcess(shell("echo child $$; exec sleep 1000"))
		p.spec.Output = os.Stdout
		_ = p.Run(context.Background(), func() {})
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("islet/appliance/component.forkForever"))
}

func shell(script string) Spec {
	return Spec{Name: "sh", Args: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}}
}

// buffer is a writer that may be read while it is written.
type buffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

// await polls until there is what the test waits for.
func await(t *testing.T, what string, there func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !there() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestProcessErrorHoldsTheLastLine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ script, want string }{
		"exit code":       {"echo one; echo two >&2; exit 3", "exit status 3: two"},
		"blank at end":    {"echo why; echo; echo '  '; exit 1", "exit status 1: why"},
		"no newline":      {"echo first; printf last; exit 1", "exit status 1: last"},
		"no output":       {"exit 1", "exit status 1"},
		"exits with zero": {"echo bye", "exited with code 0: bye"},
		"killed":          {"echo busy; kill -9 $$", "signal: killed: busy"},
		"long line":       {"printf '%01000d' 7; exit 1", "exit status 1: " + strings.Repeat("0", lastLineLimit)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := NewProcess(shell(c.script)).Run(t.Context(), func() {})
			if err == nil || err.Error() != c.want {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
	err := NewProcess(Spec{Name: "x", Args: []string{"/no/such/program"}}).Run(t.Context(), func() {})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
}

func TestProcessGetsItsEnvironmentAndNothingElse(t *testing.T) {
	t.Parallel()
	spec, out := shell("echo $A-$HOME-$PWD"), &buffer{}
	spec.Env, spec.Dir, spec.Output = []string{"A=1"}, t.TempDir(), out
	_ = NewProcess(spec).Run(t.Context(), func() {})
	if want := "1--" + spec.Dir + "\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

// full is a disk that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestFullDiskCostsLinesNotProcesses(t *testing.T) {
	t.Parallel()
	spec := shell("i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done; echo survived; exit 4")
	spec.Output = full{}
	if err := NewProcess(spec).Run(t.Context(), func() {}); err == nil || err.Error() != "exit status 4: survived" {
		t.Errorf("%v", err)
	}
}

func TestProcessIsReadyWhenItsProbeSaysSo(t *testing.T) {
	t.Parallel()
	flag := filepath.Join(t.TempDir(), "serving")
	spec := shell("exec sleep 1000")
	attempts := 0
	spec.Probe = func(context.Context) error {
		if attempts++; attempts == 1 {
			panic("bad probe")
		}
		_, err := os.Stat(flag)
		return err
	}
	p := NewProcess(spec)
	s, err := NewSupervisor(slog.New(slog.DiscardHandler), Unit{New: func() Component { return p }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	await(t, "the status says what it waits for", func() bool {
		now := s.Snapshot()[0]
		return now.State == Starting && now.PID > 0 && strings.Contains(now.Reason, "no such file")
	})
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "it is ready", func() bool { return s.Snapshot()[0].State == Ready })
	if got := s.Snapshot()[0].Reason; got != "" {
		t.Errorf("ready for the reason %q", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if pid := s.Snapshot()[0].PID; pid != 0 {
		t.Errorf("the stopped process has the id %d", pid)
	}
}

func TestProcessStops(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script string
		least  time.Duration
		want   string
	}{
		"when it is asked to":            {"trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done", 0, "up\nbye\n"},
		"with force when it is deaf":     {"trap '' TERM; echo up; while :; do sleep 0.01; done", 300 * time.Millisecond, "up\n"},
		"with what is left of its group": {"trap '' TERM; echo up; sleep 1000", 300 * time.Millisecond, "up\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec, out := shell(c.script), &buffer{}
			spec.Output, spec.StopTimeout = out, 300*time.Millisecond
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			p := NewProcess(spec)
			go func() { done <- p.Run(ctx, func() {}) }()
			await(t, "the process is up", func() bool { return out.String() != "" })
			pid, begun := p.PID(), time.Now()
			cancel()
			if err := <-done; err != nil {
				t.Errorf("a stop that was asked for is %v", err)
			}
			if took := time.Since(begun); took < c.least {
				t.Errorf("was stopped after %s", took)
			}
			if out.String() != c.want {
				t.Errorf("printed %q, want %q", out.String(), c.want)
			}
			// A killed grandchild stays in the group until its new parent has waited for it.
			await(t, "the group is empty", func() bool { return errors.Is(syscall.Kill(-pid, 0), syscall.ESRCH) || onlyZombies(pid) })
		})
	}
}

// onlyZombies tells whether nothing in the process group runs any more.
func onlyZombies(group int) bool {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		var state string
		var parent, pgrp int
		if _, err := fmt.Sscan(string(data[bytes.LastIndexByte(data, ')')+1:]), &state, &parent, &pgrp); err == nil && pgrp == group && state != "Z" {
			return false
		}
	}
	return true
}

// A grandchild that keeps the pipe open must not keep the supervisor waiting.
func TestProcessEndIsSeenWhileAGrandchildHoldsItsOutput(t *testing.T) {
	t.Parallel()
	out := &buffer{}
	spec := shell("sleep 1000 & echo $!; exit 5")
	spec.Output = out
	err := NewProcess(spec).Run(t.Context(), func() {})
	if err == nil || !strings.HasPrefix(err.Error(), "exit status 5: ") {
		t.Errorf("%v", err)
	}
	var left int
	if _, err := fmt.Sscan(out.String(), &left); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(left, syscall.SIGKILL); err != nil {
		t.Errorf("the grandchild: %v", err)
	}
}

// The kernel ends the children of a daemon that is killed.
func TestChildDiesWithTheDaemon(t *testing.T) {
	t.Parallel()
	daemon := exec.CommandContext(t.Context(), os.Args[0])
	daemon.Env = append(os.Environ(), asDaemon+"=1")
	out, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	var child int
	if _, err := fmt.Fscanf(out, "child %d\n", &child); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(child, 0); err != nil {
		t.Fatalf("the child is not there: %v", err)
	}
	if err := daemon.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, out)
	_ = daemon.Wait() // it was killed
	await(t, "the child is gone", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		return err != nil || bytes.Contains(stat, []byte(") Z "))
	})
}

func TestProcessRunsInItsGroup(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("control groups need root")
	}
	tree, err := cgroup.Detect(fmt.Sprintf("islet-component-test-%d", os.Getpid()))
	if err != nil {
		t.Skip(err)
	}
	group := tree.Group("sh")
	if err := group.Create(); err != nil {
		t.Skipf("control groups cannot be made here: %v", err)
	}
	t.Cleanup(func() {
		if err := tree.Remove(); err != nil {
			t.Errorf("the tree is not empty: %v", err)
		}
	})
	spec := shell("exec sleep 1000")
	spec.Cgroup, spec.OOMScoreAdj = group, 500
	ctx, cancel := context.WithCancel(t.Context())
	p := NewProcess(spec)
	err = p.Run(ctx, func() {
		defer cancel()
		if pids, err := group.Processes(); err != nil || !slices.Equal(pids, []int{p.PID()}) {
			t.Errorf("processes %v (%v), want %d", pids, err, p.PID())
		}
		groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p.PID()))
		if err != nil || !bytes.Contains(groups, []byte(group.Path())) {
			t.Errorf("its groups are\n%s (%v)", groups, err)
		}
		if adj, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", p.PID())); err != nil || string(adj) != "500\n" {
			t.Errorf("its OOM score adjustment is %q (%v)", adj, err)
		}
	})
	if err != nil {
		t.Error(err)
	}
	if pids, err := group.Processes(); err != nil || len(pids) > 0 {
		t.Errorf("processes %v (%v) after the stop", pids, err)
	}
}

func TestOutput(t *testing.T) {
	t.Parallel()
	spec := shell("echo answer; echo warning >&2")
	if out, err := Output(t.Context(), spec); err != nil || string(out) != "answer\n" {
		t.Errorf("%q (%v)", out, err)
	}
	for name, c := range map[string]struct{ script, want string }{
		"says why":     {"echo one >&2; echo two >&2; exit 1", "one\ntwo"},
		"says nothing": {"exit 3", "exit status 3"},
	} {
		if _, err := Output(t.Context(), shell(c.script)); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if _, err := Output(t.Context(), Spec{Args: []string{"/no/such/program"}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Output(ctx, shell("exec sleep 1000")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("too slow: %v", err)
	}
}
