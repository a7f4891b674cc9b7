package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// process names one process for good: a pid alone may be given to another once it is gone.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks after the machine's boot, field 22 of /proc/PID/stat
}

// identify returns the process that has the pid now.
func identify(pid int) (process, error) {
	stat, err := readStat(pid)
	return process{PID: pid, Start: stat.start}, err
}

// alive says whether the process still runs. A zombie does not, unless other threads of it than the first still do.
func (p process) alive() bool {
	if p.PID <= 0 {
		return false
	}
	stat, err := readStat(p.PID)
	return err == nil && stat.start == p.Start && (stat.threads > 1 || stat.state != 'Z' && stat.state != 'X')
}

// open returns a pidfd of the process, so that nothing done with it can hit another. The caller closes it.
func (p process) open() (int, error) {
	if !p.alive() {
		return -1, fmt.Errorf("open process %d: %w", p.PID, unix.ESRCH)
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return -1, fmt.Errorf("open process %d: %w", p.PID, err)
	}
	if !p.alive() { // the pid may have been given to another in between
		_ = unix.Close(fd)
		return -1, fmt.Errorf("open process %d: %w", p.PID, unix.ESRCH)
	}
	return fd, nil
}

// kill sends SIGKILL and waits until the process is gone. For a PID 1 that means its whole pid namespace is.
func (p process) kill(ctx context.Context) error {
	if err := p.sendKill(); err != nil {
		return err
	}
	return p.awaitEnd(ctx)
}

// sendKill sends SIGKILL to the process, if there still is one.
func (p process) sendKill() error {
	fd, err := p.open()
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", p.PID, err)
	}
	return nil
}

// awaitEnd returns when the process is gone with all its threads, or with ctx.
func (p process) awaitEnd(ctx context.Context) error {
	fd, err := p.open()
	if errors.Is(err, unix.ESRCH) {
		reap(p.PID)
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for {
		const millis = 20 // between looks at ctx
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, millis)
		switch {
		case err != nil && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("wait for the end of process %d: %w", p.PID, err)
		case n > 0:
			reap(p.PID)
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("wait for the end of process %d: %w", p.PID, ctx.Err())
		}
	}
}

// reap collects a zombie if it is a child of ours: hosts are when they were started by this very process. Otherwise init
// does.
func reap(pid int) {
	_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
}

type processStat struct {
	state   byte
	threads int
	start   uint64
}

func readStat(pid int) (processStat, error) {
	content, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return processStat{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	stat, err := parseStat(string(content))
	if err != nil {
		return processStat{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	return stat, nil
}

// parseStat reads /proc/PID/stat, see proc(5).
func parseStat(content string) (processStat, error) {
	// the second field is the program's name in parentheses and may contain anything
	fields := strings.Fields(content[strings.LastIndexByte(content, ')')+1:])
	if len(fields) < 20 {
		return processStat{}, errors.New("unexpected /proc/PID/stat")
	}
	threads, errThreads := strconv.Atoi(fields[17])
	start, errStart := strconv.ParseUint(fields[19], 10, 64)
	return processStat{state: fields[0][0], threads: threads, start: start}, errors.Join(errThreads, errStart)
}

// pidInside translates a pid of the machine into that of the innermost pid namespace the process is in.
func pidInside(pid int) (int, error) {
	content, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, fmt.Errorf("look at process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(content)) {
		if ids, ok := strings.CutPrefix(line, "NSpid:"); ok {
			fields := strings.Fields(ids)
			return strconv.Atoi(fields[len(fields)-1])
		}
	}
	return 0, fmt.Errorf("look at process %d: no NSpid in /proc/PID/status", pid)
}
