package guest

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// RestartDelay is the pause before a boot command that ended is started again, as systemd's RestartSec.
const RestartDelay = time.Second

// defaultStopTimeout is how long the boot command may take to end after SIGTERM if the spec does not say.
const defaultStopTimeout = 90 * time.Second

// service keeps the boot command as a systemd unit with Restart=always and KillMode=process would: only the command
// itself is signalled, what it started lives on. Its methods are called by the keeper's loop alone.
type service struct {
	spec    Service
	output  *os.File
	log     *slog.Logger
	status  ServiceStatus
	timer   *time.Timer // restart when waiting, SIGKILL when stopping
	after   Op          // what follows the end of a stopping command: OpStop, OpStart or OpPowerOff
	waiters []order     // answered at that end
}

func newService(spec Service, output *os.File, log *slog.Logger) *service {
	if spec.StopTimeout <= 0 {
		spec.StopTimeout = defaultStopTimeout
	}
	s := &service{spec: spec, output: output, log: log, timer: time.NewTimer(time.Hour)}
	s.timer.Stop()
	s.enter(StateStopped)
	if len(spec.Args) == 0 {
		s.enter(StateNone)
	}
	return s
}

func (s *service) enter(state ServiceState) {
	s.status.State, s.status.Since = state, time.Now()
}

// alive says whether the boot command has a process.
func (s *service) alive() bool { return s.status.PID != 0 }

// over says that a requested power-off may go on.
func (s *service) over() bool { return s.after == OpPowerOff && !s.alive() }

func (s *service) start() {
	if s.status.State == StateNone || s.alive() {
		return
	}
	s.timer.Stop()
	pid, err := s.fork()
	if err != nil {
		s.log.Error("boot command does not start", "command", s.spec.Args, "error", err)
		s.status.LastEnd = err.Error()
		s.wait()
		return
	}
	s.log.Info("boot command started", "command", s.spec.Args, "pid", pid)
	s.status.PID = pid
	s.enter(StateRunning)
}

func (s *service) fork() (int, error) {
	path := s.spec.Args[0]
	if !strings.Contains(path, "/") {
		found, err := exec.LookPath(path) // by the PATH of Environ, which is that of PID 1
		if err != nil {
			return 0, err
		}
		path = found
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	return syscall.ForkExec(path, s.spec.Args, &syscall.ProcAttr{
		Dir:   "/",
		Env:   slices.Concat(Environ(), s.spec.Env),
		Files: []uintptr{null.Fd(), s.output.Fd(), s.output.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
}

// wait schedules the restart of a command that ended by itself.
func (s *service) wait() {
	s.status.Restarts++
	s.enter(StateWaiting)
	s.timer.Reset(RestartDelay)
}

// handle carries out one order and answers it, now or when the boot command has ended.
func (s *service) handle(o order) {
	switch o.Op {
	case OpStatus:
	case OpPowerOff:
		s.powerOff()
	case OpStart:
		if s.status.State == StateStopping && s.after != OpPowerOff {
			s.after = OpStart // once it has ended
		}
		s.start()
	case OpStop, OpRestart:
		if s.status.State == StateNone {
			o.reply <- Response{Error: "this host has no boot command", Status: s.status}
			return
		}
		s.stop(o)
		return
	case OpSignal:
		if !s.alive() {
			o.reply <- Response{Error: "the boot command is not running", Status: s.status}
			return
		}
		if err := unix.Kill(s.status.PID, unix.Signal(o.Signal)); err != nil {
			o.reply <- Response{Error: err.Error(), Status: s.status}
			return
		}
	default:
		o.reply <- Response{Error: fmt.Sprintf("unknown operation %q", o.Op), Status: s.status}
		return
	}
	o.reply <- Response{Status: s.status}
}

// stop ends the boot command for OpStop or OpRestart. The last of several orders decides what follows.
func (s *service) stop(o order) {
	if s.after != OpPowerOff {
		s.after = OpStop
		if o.Op == OpRestart {
			s.after = OpStart
		}
	}
	s.waiters = append(s.waiters, o)
	s.terminate()
}

func (s *service) powerOff() {
	s.after = OpPowerOff
	s.terminate()
}

// terminate asks a running command to end and settles at once if there is none.
func (s *service) terminate() {
	switch {
	case !s.alive():
		s.settle()
	case s.status.State != StateStopping:
		s.enter(StateStopping)
		s.timer.Reset(s.spec.StopTimeout)
		_ = unix.Kill(s.status.PID, unix.SIGTERM)
	}
}

// timeUp is called when the timer fires.
func (s *service) timeUp() {
	switch s.status.State {
	case StateWaiting:
		s.start()
	case StateStopping:
		s.log.Warn("boot command ignores SIGTERM; killing it", "waited", s.spec.StopTimeout)
		_ = unix.Kill(s.status.PID, unix.SIGKILL)
	}
}

// ended is called for every child that was collected.
func (s *service) ended(pid int, status unix.WaitStatus) {
	if pid != s.status.PID {
		return
	}
	s.status.PID = 0
	s.status.LastEnd = describe(status)
	s.log.Info("boot command ended", "pid", pid, "how", s.status.LastEnd)
	if s.status.State == StateStopping {
		s.settle()
		return
	}
	s.wait()
}

// settle follows the end of a command that was asked to end, and answers those who wait for it.
func (s *service) settle() {
	s.timer.Stop()
	if s.status.State != StateNone {
		s.enter(StateStopped)
	}
	if s.after == OpStart {
		s.start()
	}
	for _, o := range s.waiters {
		o.reply <- Response{Status: s.status}
	}
	s.waiters = nil
}

func describe(status unix.WaitStatus) string {
	if status.Signaled() {
		return "signal: " + status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}
