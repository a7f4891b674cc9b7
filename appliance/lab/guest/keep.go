package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// endTimeout is how long processes that are left at power-off have between SIGTERM and SIGKILL.
const endTimeout = 5 * time.Second

// keeper is PID 1 of a host. Its loop is one goroutine: only that forks and only that waits for children, so that it
// can never collect a child before it knows of it.
type keeper struct {
	log      *slog.Logger
	service  *service
	children chan os.Signal
}

// keep runs PID 1 until the host is asked to power off.
func keep(spec Spec, stderr *slog.Logger) error {
	closeOnExec()
	bootLog, err := openBootLog("/proc/self/fd/" + fmt.Sprint(logFD))
	if err != nil {
		return err
	}
	defer bootLog.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make log pipe: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	orders := make(chan order)
	var running sync.WaitGroup
	running.Go(func() { _, _ = io.Copy(bootLog, read) }) // the boot log never fails a write
	running.Go(func() {
		if err := serveControl(ctx, orders); err != nil {
			stderr.Error("control socket ends; the host cannot be asked any more", "error", err)
		}
	})
	defer running.Wait()
	defer write.Close()
	defer cancel()

	k := &keeper{
		log:      slog.New(slog.NewTextHandler(write, nil)).With("component", Argv0),
		children: make(chan os.Signal, 1),
	}
	k.service = newService(spec.Boot, write, k.log)
	signal.Notify(k.children, unix.SIGCHLD)
	defer signal.Stop(k.children)
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, unix.SIGTERM)
	defer signal.Stop(terminate)
	// these would end a Go program, and the host with it; caught rather than ignored, as children inherit what is ignored
	unheard := make(chan os.Signal, 1)
	signal.Notify(unheard, unix.SIGPIPE, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT)
	defer signal.Stop(unheard)

	k.service.start()
	report(nil)
	k.loop(orders, terminate)
	k.endAll()
	return nil
}

// loop runs until the boot command has ended after a power-off request.
func (k *keeper) loop(orders <-chan order, terminate <-chan os.Signal) {
	for !k.service.over() {
		select {
		case <-k.children:
			k.reap()
		case o := <-orders:
			k.service.handle(o)
		case <-k.service.timer.C:
			k.service.timeUp()
		case <-terminate:
			k.service.powerOff()
		}
	}
}

// reap collects every child that has ended: the boot command and the orphans of everything else. It returns false when
// none is left.
func (k *keeper) reap() (left bool) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil: // ECHILD
			return false
		case pid == 0:
			return true
		default:
			k.service.ended(pid, status)
		}
	}
}

// endAll ends every process of the host but PID 1, politely first.
func (k *keeper) endAll() {
	k.log.Info("powering off")
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		_ = unix.Kill(-1, sig) // ESRCH: nobody is left
		deadline := time.NewTimer(endTimeout)
		for waiting := k.reap(); waiting; {
			select {
			case <-k.children:
				waiting = k.reap()
			case <-deadline.C:
				waiting = false
			}
		}
		deadline.Stop()
	}
}
