package lab

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// drainDelay is how long the last output of a terminal is read when something in the background still holds it.
const drainDelay = 500 * time.Millisecond

// terminal is a pseudo terminal of a host with a command on its far end.
type terminal struct {
	near, far *os.File
	output    sync.WaitGroup
	quit      chan struct{}
}

// openTerminal allocates a terminal in the devpts of the calling thread's root directory and puts cmd on it.
func openTerminal(cmd *exec.Cmd, size TTYSize) (_ *terminal, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open terminal: %w", err)
	}
	near := os.NewFile(uintptr(fd), "/dev/ptmx") // non-blocking, so that reads have deadlines
	defer func() {
		if err != nil {
			_ = near.Close()
		}
	}()
	number, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, fmt.Errorf("name terminal: %w", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, fmt.Errorf("unlock terminal: %w", err)
	}
	far, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("open terminal: %w", err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = far, far, far
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty, cmd.SysProcAttr.Ctty = true, true, 0
	t := &terminal{near: near, far: far, quit: make(chan struct{})}
	if size != (TTYSize{}) {
		t.resize(size)
	}
	return t, nil
}

// resize does nothing if the terminal is gone.
func (t *terminal) resize(size TTYSize) {
	conn, err := t.near.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) {
		_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Cols})
	})
}

// started connects the terminal with the command's streams. The goroutine that reads Stdin ends with Stdin or at its
// first read after close; nothing can interrupt a read from a reader that is not ours.
func (t *terminal) started(command Command) {
	_ = t.far.Close() // the command has it; ours would keep the near end from ever reading its end
	if command.Stdin != nil {
		go func() { _, _ = io.Copy(t.near, command.Stdin) }()
	}
	stdout := command.Stdout
	if stdout == nil {
		stdout = io.Discard
	}
	t.output.Go(func() { _, _ = io.Copy(stdout, t.near) }) // ends with EIO when the last holder of the far end is gone
	t.output.Go(func() {
		for {
			select {
			case <-t.quit:
				return
			case size, ok := <-command.Resize:
				if !ok {
					return
				}
				t.resize(size)
			}
		}
	})
}

// close waits for the last output, at most drainDelay, and gives the terminal back.
func (t *terminal) close() {
	close(t.quit)
	_ = t.near.SetReadDeadline(time.Now().Add(drainDelay))
	t.output.Wait()
	_ = t.near.Close()
}
