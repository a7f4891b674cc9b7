package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"islet/appliance/lab/guest"
)

// ReadFile reads a file as programs in the host would. The host must be running.
func (h *Host) ReadFile(path string) (content []byte, err error) {
	err = h.inFiles(func() error {
		content, err = os.ReadFile(path)
		return err
	})
	return content, err
}

// WriteFile writes a file in the host and creates the directories above it. The host must be running.
func (h *Host) WriteFile(path string, content []byte, mode fs.FileMode) error {
	return h.inFiles(func() error {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return os.WriteFile(path, content, mode)
	})
}

// inFiles runs fn on a thread that sees the host's files and none else.
func (h *Host) inFiles(fn func() error) error {
	init, err := h.running()
	if err != nil {
		return err
	}
	err = onThread(func() error {
		if err := init.enter(nsFiles); err != nil {
			return err
		}
		return fn()
	})
	if err != nil {
		return fmt.Errorf("%s: %w", h.label(), err)
	}
	return nil
}

// Path says where the machine sees a file of the host. Of a host that is off only what is on its disk is there, and there
// only what it has written itself. Symbolic links with absolute targets lead astray: they are followed on the machine;
// ReadFile and WriteFile follow them in the host.
func (h *Host) Path(path string) string {
	if init, err := h.running(); err == nil {
		return filepath.Join(fmt.Sprintf("/proc/%d/root", init.PID), path)
	}
	return h.disk().path(path)
}

// LogPath is the file that the boot command's output goes to. Older parts have .1, .2 ... appended.
func (h *Host) LogPath() string { return h.lab.layout.bootLog(h.lab.Name(), h.Name()) }

// logPoll is how often a followed log is looked at.
const logPoll = 100 * time.Millisecond

// CopyLog writes the boot command's output to w, the part before the last rotation included. With follow it goes on
// until ctx ends, which is no error then.
func (h *Host) CopyLog(ctx context.Context, w io.Writer, follow bool) error {
	for _, name := range []string{guest.BootLogName + ".1", guest.BootLogName} {
		file, err := os.Open(filepath.Join(h.logDir(), name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("log of %s: %w", h.label(), err)
		}
		_, err = io.Copy(w, file)
		if err == nil && follow && name == guest.BootLogName {
			return h.followLog(ctx, w, file)
		}
		if err := errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("log of %s: %w", h.label(), err)
		}
	}
	return nil
}

// followLog goes on where file ends, and with the new file after a rotation. It closes file.
func (h *Host) followLog(ctx context.Context, w io.Writer, file *os.File) error {
	defer func() { _ = file.Close() }()
	tick := time.NewTicker(logPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		current, err := os.Open(h.LogPath())
		if err != nil {
			current = nil // in the middle of a rotation, or the lab is gone
		}
		_, copyErr := io.Copy(w, file) // only now: what was written before the rotation is in file
		if copyErr != nil {
			if current != nil {
				_ = current.Close()
			}
			return fmt.Errorf("follow log of %s: %w", h.label(), copyErr)
		}
		if current == nil {
			if _, err := os.Stat(h.logDir()); errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			continue
		}
		if sameFile(file, current) {
			_ = current.Close()
			continue
		}
		_ = file.Close()
		file = current
	}
}

func sameFile(a, b *os.File) bool {
	infoA, errA := a.Stat()
	infoB, errB := b.Stat()
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}
