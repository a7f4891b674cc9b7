package lab

import (
	"context"
	"fmt"
	"syscall"

	"islet/appliance/lab/guest"
	"islet/appliance/lab/hierarchy"
)

// StopBoot is systemctl stop for the boot command. It returns when the command has ended; the processes it started live on.
func (h *Host) StopBoot(ctx context.Context) error {
	_, err := h.call(ctx, guest.Request{Op: guest.OpStop})
	return err
}

// StartBoot starts the boot command if it does not run.
func (h *Host) StartBoot(ctx context.Context) error {
	_, err := h.call(ctx, guest.Request{Op: guest.OpStart})
	return err
}

// RestartBoot is StopBoot and StartBoot at once.
func (h *Host) RestartBoot(ctx context.Context) error {
	_, err := h.call(ctx, guest.Request{Op: guest.OpRestart})
	return err
}

// SignalBoot sends a signal to the boot command, and to nothing it started. Ended by it, the command is started again
// after guest.RestartDelay.
func (h *Host) SignalBoot(ctx context.Context, sig syscall.Signal) error {
	_, err := h.call(ctx, guest.Request{Op: guest.OpSignal, Signal: int(sig)})
	return err
}

// BootPID is the boot command's process as the machine sees it.
func (h *Host) BootPID(ctx context.Context) (int, error) {
	status, err := h.call(ctx, guest.Request{Op: guest.OpStatus})
	if err != nil {
		return 0, err
	}
	if status.PID == 0 {
		return 0, fmt.Errorf("%s: the boot command is %s: %w", h.label(), status.State, ErrNotRunning)
	}
	pids, err := h.Processes()
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		if inside, err := pidInside(pid); err == nil && inside == status.PID {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("%s: the boot command ended while we looked for it: %w", h.label(), ErrNotRunning)
}

// Processes lists the host's processes as the machine sees them, those in its containers included.
func (h *Host) Processes() ([]int, error) {
	tree, err := hierarchy.Detect()
	if err != nil {
		return nil, err
	}
	return tree.Group(h.lab.layout.hostCgroup(h.lab.Name(), h.Name())).Processes()
}
