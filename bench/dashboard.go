package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/creack/pty"
)

const (
	// dashboardIdle is the time over which the dashboard's processor time is averaged.
	dashboardIdle = 30 * time.Second
	// frameBytes is more than a terminal is asked before the first frame, and less than a frame.
	frameBytes = 500
)

// dashboard measures the dashboard on a terminal: from its start to its first frame, and what it takes while nothing happens.
func (b *bench) dashboard(ctx context.Context) error {
	if err := poll(ctx, 2*time.Minute, "readiness", b.allReady); err != nil {
		return err
	}
	way, err := b.wayIn(ctx)
	if err != nil {
		return err
	}
	var frames []float64
	for i := range b.runs {
		b.say("dashboard, start %d of %d", i+1, b.runs)
		d, err := b.openDashboard(ctx)
		if err != nil {
			return err
		}
		frames = append(frames, 1000*d.frame.Sub(d.begun).Seconds()-way)
		if i == b.runs-1 {
			err = b.dashboardUse(ctx)
		}
		if err := errors.Join(err, d.close()); err != nil {
			return err
		}
	}
	b.table.add(row{what: "dashboard, first frame, median", unit: "ms", value: median(frames), target: 300})
	return nil
}

// wayIn is how many milliseconds the way into the host takes, which is no part of the dashboard's start.
func (b *bench) wayIn(ctx context.Context) (float64, error) {
	var times []float64
	for range b.runs {
		begun := time.Now()
		if err := exec.CommandContext(ctx, b.appliance, "lab", "exec", b.lab+"/"+b.host.Name(), "--", "true").Run(); err != nil {
			return 0, fmt.Errorf("run a program in the host: %w", err)
		}
		times = append(times, 1000*time.Since(begun).Seconds())
	}
	return median(times), nil
}

// shown is a dashboard on a terminal.
type shown struct {
	cmd          *exec.Cmd
	terminal     *os.File
	begun, frame time.Time
}

// openDashboard returns when the first frame was drawn.
func (b *bench) openDashboard(ctx context.Context) (*shown, error) {
	executable, err := filepath.Abs(b.appliance)
	if err != nil {
		return nil, err
	}
	d := &shown{begun: time.Now()}
	d.cmd = exec.CommandContext(ctx, executable, "lab", "exec", "--env", "LANG=C.UTF-8", b.lab+"/"+b.host.Name(), "--", "appliance", "dashboard")
	d.cmd.Env = append(os.Environ(), "TERM=xterm-256color")
	if d.terminal, err = pty.StartWithSize(d.cmd, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		return nil, err
	}
	var drawn atomic.Int64
	go func() { _, _ = io.Copy(counting{&drawn}, d.terminal) }()
	err = poll(ctx, 10*time.Second, "the first frame", func(context.Context) error {
		if n := drawn.Load(); n < frameBytes {
			return fmt.Errorf("%d bytes were drawn", n)
		}
		return nil
	})
	d.frame = time.Now()
	return d, err
}

// counting counts what is written.
type counting struct{ n *atomic.Int64 }

func (c counting) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// close hangs up, which ends the dashboard.
func (d *shown) close() error {
	err := d.terminal.Close()
	_ = d.cmd.Wait() // its exit code is that of a hangup
	return err
}

// dashboardUse reads what the dashboard takes while it shows a site in which nothing happens.
func (b *bench) dashboardUse(ctx context.Context) error {
	b.say("dashboard, %s of quiet", dashboardIdle)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(5 * time.Second): // its start is over
	}
	before, err := b.dashboardProcess()
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(dashboardIdle):
	}
	after, err := b.dashboardProcess()
	if err != nil {
		return err
	}
	b.table.add(row{what: "dashboard, processor use while it idles", unit: "% of a core", value: 100 * (after.cpu - before.cpu) / dashboardIdle.Seconds(), target: 2})
	b.table.add(row{what: "dashboard, memory (PSS)", unit: "MiB", value: after.pss, target: 60})
	return nil
}

func (b *bench) dashboardProcess() (process, error) {
	all, err := processesOf(b.host)
	if err != nil {
		return process{}, err
	}
	for _, p := range all {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.pid))
		if err == nil && strings.HasPrefix(string(line), "appliance\x00dashboard") {
			return p, nil
		}
	}
	return process{}, errors.New("the dashboard does not run")
}
