package component

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"islet/appliance/cgroup"
)

// Spec is a child process to run as a component.
type Spec struct {
	Name  string
	Needs []string
	// Args is the command line; Args[0] is the absolute path of the program.
	Args []string
	// Env is the whole environment; the daemon's own is not inherited.
	Env []string
	Dir string
	// Cgroup is the group that the process is put in; none when nil.
	Cgroup *cgroup.Group
	// Output gets both output streams. It is not closed.
	Output io.Writer
	// Prepare puts files in place before the start; may be nil.
	Prepare func(ctx context.Context) error
	// Probe tells whether the process serves; nil means it is ready when started. It is asked every
	// ProbeInterval until it first succeeds.
	Probe func(ctx context.Context) error
	// Check is the ongoing health; may be nil.
	Check func(ctx context.Context) error
	// StopTimeout is the time between SIGTERM and SIGKILL; 10 s when 0.
	StopTimeout time.Duration
	// OOMScoreAdj is given to the kernel where it allows it; a node's own programs are the last to go.
	OOMScoreAdj int
}

const (
	probeInterval = 25 * time.Millisecond
	probeTimeout  = 2 * time.Second
)

// Process runs a Spec. The process gets SIGTERM when the run is cancelled, and SIGKILL for it and
// what is left in its process group after StopTimeout.
type Process struct {
	spec Spec
	pid  atomic.Int64
	tail lastLine
	// refused is why the last probe failed, in words; nil before one has.
	refused atomic.Pointer[string]
}

// NewProcess returns a component that runs spec once.
func NewProcess(spec Spec) *Process {
	if spec.StopTimeout == 0 {
		spec.StopTimeout = 10 * time.Second
	}
	return &Process{spec: spec}
}

// Name implements Component.
func (p *Process) Name() string { return p.spec.Name }

// Needs implements Component.
func (p *Process) Needs() []string { return p.spec.Needs }

// PID is the process id, 0 while there is no process.
func (p *Process) PID() int { return int(p.pid.Load()) }

// Prepare implements Preparer.
func (p *Process) Prepare(ctx context.Context) error {
	if p.spec.Prepare == nil {
		return nil
	}
	return p.spec.Prepare(ctx)
}

// Check implements Checker.
func (p *Process) Check(ctx context.Context) error {
	if p.spec.Check == nil {
		return nil
	}
	return p.spec.Check(ctx)
}

// WaitingFor implements Waiter: it is what the last probe said.
func (p *Process) WaitingFor() string {
	if why := p.refused.Load(); why != nil {
		return *why
	}
	return ""
}

// Run implements Component. Its error holds the last line that the process printed, which with
// every engine here is the one that says why.
func (p *Process) Run(ctx context.Context, ready func()) error {
	cmd := exec.Command(p.spec.Args[0], p.spec.Args[1:]...) //nolint:noctx // stopped by signal below, with a grace period
	cmd.Env, cmd.Dir = p.spec.Env, p.spec.Dir
	out := io.Writer(&p.tail)
	if p.spec.Output != nil {
		out = io.MultiWriter(&p.tail, lossy{p.spec.Output})
	}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = time.Second // a grandchild may hold the pipe
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := startInGroup(cmd, p.spec.Cgroup); err != nil {
		return fmt.Errorf("start %s: %w", p.spec.Args[0], err)
	}
	p.pid.Store(int64(cmd.Process.Pid))
	defer p.pid.Store(0)
	if p.spec.OOMScoreAdj != 0 {
		// Refused without CAP_SYS_RESOURCE; the process then keeps the daemon's own score.
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", cmd.Process.Pid), fmt.Appendf(nil, "%d", p.spec.OOMScoreAdj), 0o644)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()

	probeCtx, stopProbe := context.WithCancel(ctx)
	var probing sync.WaitGroup
	probing.Go(func() {
		if p.awaitProbe(probeCtx) == nil {
			ready()
		}
	})
	var err error
	select {
	case err = <-exited:
		err = p.describe(err)
	case <-ctx.Done():
		p.stop(cmd.Process.Pid, exited)
	}
	stopProbe()
	probing.Wait()
	return err
}

func (p *Process) awaitProbe(ctx context.Context) error {
	if p.spec.Probe == nil {
		return ctx.Err()
	}
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for {
		err := p.probe(ctx)
		if err == nil {
			return ctx.Err()
		}
		p.refused.Store(new(err.Error()))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// probe makes one attempt. A panic is an answer like another: it shows as what the component waits for.
func (p *Process) probe(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the probe panicked: %v", v)
		}
	}()
	return p.spec.Probe(ctx)
}

func (p *Process) stop(pid int, exited <-chan error) {
	_ = syscall.Kill(pid, syscall.SIGTERM)
	select {
	case <-exited: //nolint:errcheck // it was told to end: how it did says nothing
	case <-time.After(p.spec.StopTimeout):
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		<-exited //nolint:errcheck // the same
	}
}

func (p *Process) describe(err error) error {
	what := "exited with code 0"
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		what = exit.String()
	} else if err != nil {
		what = err.Error()
	}
	if line := p.tail.String(); line != "" {
		return fmt.Errorf("%s: %s", what, line)
	}
	return errors.New(what)
}
