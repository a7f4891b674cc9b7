package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"islet/appliance/lab/guest"
	"islet/appliance/lab/hierarchy"
)

// Command is a program to run in a host, in all its namespaces and control groups.
type Command struct {
	Args []string
	Env  []string // added to the host's environment; nothing is inherited from the caller
	Dir  string   // default /root

	// Stdin, Stdout and Stderr may be nil: then it is /dev/null. An *os.File is handed to the command as it is.
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer

	// TTY runs the command on a terminal of the host, connected to Stdin and Stdout; Stderr is not used. Size is its
	// first size; each value from Resize changes it.
	TTY    bool
	Size   TTYSize
	Resize <-chan TTYSize

	// Signals are passed on to the command.
	Signals <-chan os.Signal
}

// TTYSize is the size of a terminal in characters.
type TTYSize struct{ Rows, Cols uint16 }

// killDelay is how long a command has between the SIGTERM and the SIGKILL of a cancelled Exec, and how long Exec reads on
// when something that the command left in the background still holds its output.
const killDelay = 3 * time.Second

// Exec runs a command in the host and waits for it. A command that ends with another code than 0, or by a signal, gives
// an error that wraps *exec.ExitError; see ExitCode. When ctx ends, the command's process group gets SIGTERM and, 3 s
// later, SIGKILL. If the host goes down, the command goes with it.
func (h *Host) Exec(ctx context.Context, command Command) error {
	if len(command.Args) == 0 {
		return errors.New("no command to run")
	}
	init, err := h.running()
	if err != nil {
		return err
	}
	if err := h.exec(ctx, init, command); err != nil {
		return fmt.Errorf("%s on %s: %w", command.Args[0], h.label(), err)
	}
	return nil
}

func (h *Host) exec(ctx context.Context, init process, command Command) (err error) {
	tree, err := hierarchy.Detect()
	if err != nil {
		return err
	}
	group := tree.Group(h.lab.layout.hostCgroup(h.lab.Name(), h.Name()))
	v2, err := group.OpenV2()
	if err != nil {
		return err
	}
	cmd := command.prepare(ctx)
	if v2 != nil {
		defer v2.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(v2.Fd())
	}
	var term *terminal
	err = onThread(func() error {
		if err := group.JoinThread(); err != nil {
			return err
		}
		if err := init.enter(nsAll); err != nil {
			return err
		}
		if cmd.Path, err = lookPath(command.Args[0]); err != nil {
			return err
		}
		if command.TTY {
			if term, err = openTerminal(cmd, command.Size); err != nil {
				return err
			}
		}
		return cmd.Start()
	})
	if term != nil {
		defer term.close()
		term.started(command)
	}
	if err != nil {
		return err
	}
	stop := forward(command.Signals, cmd.Process)
	defer stop()
	err = cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	return err
}

// prepare makes everything of the command but its path.
func (c Command) prepare(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/")
	cmd.Err = nil
	cmd.Args = c.Args
	cmd.Env = slices.Concat(guest.Environ(), c.Env)
	cmd.Dir = c.Dir
	if cmd.Dir == "" {
		cmd.Dir = "/root"
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: !c.TTY}
	cmd.Cancel = func() error { return cancelGroup(cmd.Process.Pid) }
	cmd.WaitDelay = killDelay
	return cmd
}

// cancelGroup asks a whole process group to end. What remains after WaitDelay is killed by os/exec.
func cancelGroup(pid int) error {
	err := unix.Kill(-pid, unix.SIGTERM)
	if errors.Is(err, unix.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// lookPath finds a program in the root directory of the calling thread, by the PATH of hosts.
func lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	path := strings.TrimPrefix(guest.Environ()[0], "PATH=")
	for dir := range strings.SplitSeq(path, ":") {
		file := filepath.Join(dir, name)
		info, err := os.Stat(file)
		if err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", &fs.PathError{Op: "find program in PATH of the host", Path: name, Err: fs.ErrNotExist}
}

// forward passes signals on to a process until the returned function is called.
func forward(signals <-chan os.Signal, to *os.Process) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			case sig, ok := <-signals:
				if !ok {
					return
				}
				_ = to.Signal(sig) // it may have ended by now
			}
		}
	}()
	return func() { close(quit); <-done }
}

// Output runs a command and returns what it wrote to its standard output, without the final newline. What it wrote to
// standard error is in the error if it fails.
func (h *Host) Output(ctx context.Context, args ...string) (string, error) {
	var stdout, stderr strings.Builder
	err := h.Exec(ctx, Command{Args: args, Stdout: &stdout, Stderr: &stderr})
	if message := strings.TrimSpace(stderr.String()); err != nil && message != "" {
		err = fmt.Errorf("%w: %s", err, message)
	}
	return strings.TrimSuffix(stdout.String(), "\n"), err
}

// ExitCode returns the exit code of a command that Exec or Output ran: 0 without an error, 128 and the signal's number if
// a signal ended it as shells have it, and false if it did not run at all.
func ExitCode(err error) (int, bool) {
	if err == nil {
		return 0, true
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0, false
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), true
	}
	return exit.ExitCode(), true
}
