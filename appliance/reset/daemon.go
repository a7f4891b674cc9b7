package reset

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"islet/appliance/layout"
	"islet/systemd"
)

// stopTimeout is what the daemon needs to stop its components in order, and more.
const stopTimeout = 60 * time.Second

// daemonPID finds the process that holds the daemon's lock, 0 if none does. It does not touch the lock.
func daemonPID(l layout.Layout) (int, error) {
	var stat unix.Stat_t
	err := unix.Stat(l.Lock(), &stat)
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	if err != nil {
		return 0, &os.PathError{Op: "stat", Path: l.Lock(), Err: err}
	}
	file, err := os.Open("/proc/locks")
	if err != nil {
		return 0, err
	}
	defer file.Close()
	inode := fmt.Sprintf("%02x:%02x:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev), stat.Ino)
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		// 6: FLOCK  ADVISORY  WRITE 63 00:125:10 0 EOF
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[1] != "FLOCK" || fields[5] != inode {
			continue
		}
		return strconv.Atoi(fields[4])
	}
	return 0, lines.Err()
}

// takeLock takes the daemon's lock, so that none starts while the machine is taken apart.
func takeLock(l layout.Layout) (*os.File, error) {
	if err := os.MkdirAll(l.RunDir, 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(l.Lock(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock %s: %w", l.Lock(), err)
	}
	return file, nil
}

// stopDaemon asks the process to stop, waits until it has, and kills it when that takes too long.
func stopDaemon(ctx context.Context, pid int) error {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := syscall.Kill(pid, signal); errors.Is(err, syscall.ESRCH) {
			return nil
		} else if err != nil {
			return err
		}
		wait, cancel := context.WithTimeout(ctx, stopTimeout)
		err := await(wait, func() (bool, error) {
			_, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid), "exe"))
			return errors.Is(err, fs.ErrNotExist), nil // a zombie has no executable
		})
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	return fmt.Errorf("process %d survives SIGKILL", pid)
}

// planDaemon stops the daemon for good: the fence keeps whoever starts it from succeeding.
func (r *Reset) planDaemon(ctx context.Context, b builder) error {
	l := b.target.Layout
	if b.past.known {
		b.step(phaseStop, KindFence, fencePath(l), "note that the node is being removed: the daemon does not start again", func(context.Context) error {
			return raiseFence(l, b.options)
		})
	}
	r.planUnit(b)
	pid, err := daemonPID(l)
	if err != nil {
		return fmt.Errorf("find the node daemon: %w", err)
	}
	if pid == 0 || pid == os.Getpid() {
		return nil
	}
	if !systemd.Running() || !systemd.Active(ctx) {
		b.plan.Daemon = pid
	}
	b.step(phaseStop, KindDaemon, "process "+strconv.Itoa(pid), "stop the node daemon", func(ctx context.Context) error {
		pid, err := daemonPID(l) // the service may have stopped it, and the number be another's
		if pid == 0 || err != nil {
			return err
		}
		return stopDaemon(ctx, pid)
	})
	return nil
}

// stopConsoles ends the screens of all consoles, and disables the one that install has enabled.
func stopConsoles(ctx context.Context) error {
	return errors.Join(systemd.Control(ctx, "disable", systemd.ConsoleName), systemd.Control(ctx, "stop", systemd.ConsolePattern))
}

// planUnit stops the service and deletes its unit, where install wrote it.
func (r *Reset) planUnit(b builder) {
	if !b.now.Paths[systemd.UnitPath].Exists {
		return
	}
	theirs := b.past.known && b.past.had(systemd.UnitPath)
	if systemd.Running() {
		what, verb := "stop and disable the service", []string{"disable", "--now", systemd.UnitName}
		if theirs {
			what, verb = "stop the service", []string{"stop", systemd.UnitName}
		}
		b.step(phaseStop, KindUnit, systemd.UnitName, what, func(ctx context.Context) error { return systemd.Control(ctx, verb...) })
		had := b.past.known && b.past.had(systemd.ConsoleUnit)
		if b.now.Paths[systemd.ConsoleUnit].Exists && !had {
			b.step(phaseStop, KindUnit, systemd.ConsoleName, "stop the status screens, and give the first console its login back at the next boot", stopConsoles)
		}
	}
	if theirs {
		b.keep(systemd.UnitPath, "it was here before the node")
		return
	}
	b.step(phaseFiles, KindUnit, systemd.UnitPath, "delete", func(ctx context.Context) error {
		if err := removeAll(ctx, systemd.UnitPath); err != nil || !systemd.Running() {
			return err
		}
		return systemd.Control(ctx, "daemon-reload")
	})
}
