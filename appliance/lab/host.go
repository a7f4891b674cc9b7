package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"islet/appliance/lab/guest"
)

// Host is one host of a lab. Like Lab it holds nothing open.
type Host struct {
	lab    *Lab
	record hostRecord
}

// hostState is kept in the run directory while the machine is up.
type hostState struct {
	Init    process `json:"init"`
	NoRoute uint64  `json:"noRoute"` // of boots before this one
}

// Status tells how a host is.
type Status struct {
	Name    string              `json:"name"`
	Addr    netip.Addr          `json:"address"`
	Running bool                `json:"running"`
	PID     int                 `json:"pid,omitempty"` // PID 1 of the host, as the machine sees it
	Cut     bool                `json:"cut"`           // its cable is pulled
	Boot    guest.ServiceStatus `json:"boot"`
}

// Name is the host's name, unique in its lab.
func (h *Host) Name() string { return h.record.Name }

// Addr is the host's address, the same at every boot.
func (h *Host) Addr() netip.Addr { return h.record.Addr }

// Lab is the lab the host belongs to.
func (h *Host) Lab() *Lab { return h.lab }

func (h *Host) label() string  { return h.lab.Name() + "/" + h.Name() }
func (h *Host) logDir() string { return h.lab.layout.logDir(h.lab.Name(), h.Name()) }
func (h *Host) disk() disk     { return disk{h.lab.layout.hostDir(h.lab.Name(), h.Name())} }

// state reads the host's state; one that never ran has the zero state.
func (h *Host) state() hostState {
	var state hostState
	_ = readJSON(h.lab.layout.process(h.lab.Name(), h.Name()), &state) // absent, or cut short: no process is of that state
	return state
}

// running returns PID 1 of the host, or ErrNotRunning.
func (h *Host) running() (process, error) {
	init := h.state().Init
	if !init.alive() {
		return process{}, fmt.Errorf("%s: %w", h.label(), ErrNotRunning)
	}
	return init, nil
}

// Running says whether the host is on.
func (h *Host) Running() bool { _, err := h.running(); return err == nil }

// PID is that of the host's PID 1 as the machine sees it, or ErrNotRunning.
func (h *Host) PID() (int, error) {
	init, err := h.running()
	return init.PID, err
}

// Status asks the host how it is. A host that is off has a status, too.
func (h *Host) Status(ctx context.Context) (Status, error) {
	status := Status{Name: h.Name(), Addr: h.Addr(), Boot: guest.ServiceStatus{State: guest.StateNone}}
	links, err := h.lab.readLinks()
	if err != nil {
		return status, err
	}
	status.Cut = links.isDown(h.Name())
	init, err := h.running()
	if errors.Is(err, ErrNotRunning) {
		return status, nil
	}
	status.Running, status.PID = true, init.PID
	boot, err := h.call(ctx, guest.Request{Op: guest.OpStatus})
	switch {
	case errors.Is(err, ErrNotRunning):
		status.Running, status.PID = false, 0
	case err != nil:
		return status, err
	default:
		status.Boot = boot
	}
	return status, nil
}

// call asks PID 1. A host that goes off meanwhile gives ErrNotRunning.
func (h *Host) call(ctx context.Context, request guest.Request) (guest.ServiceStatus, error) {
	init, err := h.running()
	if err != nil {
		return guest.ServiceStatus{}, err
	}
	status, err := guest.Call(ctx, h.lab.layout.control(h.lab.Name(), h.Name()), request)
	if isHangUp(err) && init.awaitEnd(ctx) == nil {
		return status, fmt.Errorf("%s: %w", h.label(), ErrNotRunning)
	}
	if err != nil {
		return status, fmt.Errorf("%s: %w", h.label(), err)
	}
	return status, nil
}

// isHangUp says whether the far end of a control socket was or went away, which a PID 1 never does but at its end.
func isHangUp(err error) bool {
	for _, reason := range []error{io.EOF, fs.ErrNotExist, unix.ECONNREFUSED, unix.ECONNRESET, unix.EPIPE} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

// locked runs fn while nobody else changes the lab.
func (h *Host) locked(ctx context.Context, fn func(lock *os.File) error) error {
	return h.lab.locked(ctx, fn)
}

// Start boots a host that is off: with the disk it had, and a new /run, network namespace and process tree. It returns
// when the boot command has been started.
func (h *Host) Start(ctx context.Context) error {
	return h.locked(ctx, func(lock *os.File) error {
		if h.Running() {
			return fmt.Errorf("start %s: %w", h.label(), ErrRunning)
		}
		return h.boot(ctx, lock)
	})
}

// Kill cuts the host's power: every process is gone at once, with all mounts, devices and connections, and the disk is as
// it was at that moment. (What programs had written without fsync is there as well: the machine's page cache has not lost
// power.) A host that is off stays off.
func (h *Host) Kill(ctx context.Context) error {
	return h.locked(ctx, func(*os.File) error { return killHosts(ctx, h) })
}

// Stop shuts the host down: the boot command gets SIGTERM and its Service.StopTimeout, then everything else SIGTERM, then
// SIGKILL. When ctx ends first, the host is still shutting down; Kill it then. A host that is off stays off.
func (h *Host) Stop(ctx context.Context) error {
	return h.locked(ctx, func(*os.File) error {
		init, err := h.running()
		if errors.Is(err, ErrNotRunning) {
			return nil
		}
		count, err := h.NoRouteCount()
		if err != nil {
			return err
		}
		if _, err := h.call(ctx, guest.Request{Op: guest.OpPowerOff}); err != nil && !errors.Is(err, ErrNotRunning) {
			return err
		}
		if err := init.awaitEnd(ctx); err != nil {
			return fmt.Errorf("stop %s: %w", h.label(), err)
		}
		if err := writeJSON(h.lab.layout.process(h.lab.Name(), h.Name()), hostState{NoRoute: count}); err != nil {
			return err
		}
		return killHosts(ctx, h)
	})
}

// NoRouteCount is the host's part of Escapes, over all its boots. (Those that ended otherwise than by Kill or Stop took
// their counts along.)
func (h *Host) NoRouteCount() (uint64, error) {
	state := h.state()
	if !state.Init.alive() {
		return state.NoRoute, nil
	}
	n, err := noRoutes(state.Init.PID)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", h.label(), err)
	}
	return state.NoRoute + n, nil
}
