package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"islet/appliance/lab/guest"
	"islet/appliance/lab/hierarchy"
)

// bootTimeout bounds the making of a host, without its boot command.
const bootTimeout = 30 * time.Second

// boot starts the host's PID 1 and returns when the boot command has been started. The lab's lock must be held: PID 1
// holds on to it until it is complete, so that nobody tears down what is being built even if this process is killed.
func (h *Host) boot(ctx context.Context, lock *os.File) (err error) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	tree, err := hierarchy.Detect()
	if err != nil {
		return err
	}
	group := tree.Group(h.lab.layout.hostCgroup(h.lab.Name(), h.Name()))
	// what a host had made there is gone after a real boot, too
	if err := errors.Join(group.Kill(ctx, reap), group.Remove(ctx)); err != nil {
		return fmt.Errorf("boot %s: %w", h.label(), err)
	}
	if err := errors.Join(group.Create(), group.Limit(h.record.Limits)); err != nil {
		return fmt.Errorf("boot %s: %w", h.label(), err)
	}
	birth, err := h.spawn(lock)
	if err != nil {
		return fmt.Errorf("boot %s: %w", h.label(), err)
	}
	defer birth.close()
	if err := h.raise(ctx, birth); err != nil {
		cleanup, stop := context.WithTimeout(context.WithoutCancel(ctx), bootTimeout)
		defer stop()
		return fmt.Errorf("boot %s: %w", h.label(), errors.Join(err, birth.init.kill(cleanup)))
	}
	h.lab.log.Info("host is up", "host", h.Name(), "address", h.Addr(), "took", time.Since(begin).Round(time.Millisecond))
	return nil
}

// birth is a PID 1 under construction.
type birth struct {
	init   process
	goOn   *os.File // one byte releases it
	report *os.File // one guest.Report comes back
}

func (b birth) close() { _, _ = b.goOn.Close(), b.report.Close() }

// spawn clones PID 1 into its namespaces. It builds its file systems by itself meanwhile.
func (h *Host) spawn(lock *os.File) (_ birth, err error) {
	var theirs, ours []*os.File
	defer func() {
		for _, file := range theirs {
			_ = file.Close()
		}
		for _, file := range ours {
			if err != nil {
				_ = file.Close()
			}
		}
	}()
	for _, open := range []func() (their, our *os.File, err error){
		func() (*os.File, *os.File, error) { f, err := guest.SpecFile(h.guestSpec()); return f, nil, err },
		func() (*os.File, *os.File, error) { r, w, err := os.Pipe(); return r, w, err },
		func() (*os.File, *os.File, error) { r, w, err := os.Pipe(); return w, r, err },
		func() (*os.File, *os.File, error) { f, err := os.Open(h.logDir()); return f, nil, err },
		func() (*os.File, *os.File, error) { f, err := h.listen(); return f, nil, err },
	} {
		their, our, err := open()
		if err != nil {
			return birth{}, err
		}
		theirs = append(theirs, their)
		if our != nil {
			ours = append(ours, our)
		}
	}
	stderr, err := os.OpenFile(filepath.Join(h.logDir(), "init.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return birth{}, fmt.Errorf("open log: %w", err)
	}
	defer stderr.Close()
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{guest.Argv0, guest.StageEnter, h.label()}, Env: guest.Environ(),
		Stdout: stderr, Stderr: stderr, ExtraFiles: append(theirs, lock),
		SysProcAttr: &syscall.SysProcAttr{
			Setsid: true, // out of reach of the terminal that the lab is started from
			Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS |
				unix.CLONE_NEWIPC | unix.CLONE_NEWNET,
		},
	}
	if err := cmd.Start(); err != nil {
		return birth{}, fmt.Errorf("clone into new namespaces: %w", err)
	}
	init, err := identify(cmd.Process.Pid)
	if err != nil {
		return birth{}, err
	}
	return birth{init: init, goOn: ours[0], report: ours[1]}, cmd.Process.Release()
}

// raise gives PID 1 its network and lets it go.
func (h *Host) raise(ctx context.Context, b birth) error {
	layout, lab := h.lab.layout, h.lab.Name()
	defer context.AfterFunc(ctx, func() { _ = b.report.SetReadDeadline(time.Unix(1, 0)) })()
	old := h.state()
	if err := writeJSON(layout.process(lab, h.Name()), hostState{Init: b.init, NoRoute: old.NoRoute}); err != nil {
		return err
	}
	links, err := h.lab.readLinks()
	if err != nil {
		return err
	}
	if err := plug(layout.switchNetns(lab), h.lab.record, h.record, b.init.PID, links.isDown(h.Name())); err != nil {
		if !b.init.alive() {
			err = errors.Join(b.complaint(), err) // it could not be plugged in because it had failed
		}
		return err
	}
	if _, err := b.goOn.Write([]byte{1}); err != nil && !errors.Is(err, unix.EPIPE) {
		return fmt.Errorf("release PID 1: %w", err)
	}
	if err := b.complaint(); err != nil {
		return errors.Join(err, ctx.Err())
	}
	return nil
}

// complaint reads the report of PID 1. It is only for one that has been released or has failed already.
func (b birth) complaint() error {
	_ = b.goOn.Close() // an unreleased PID 1 gives up
	var report guest.Report
	if err := json.NewDecoder(b.report).Decode(&report); err != nil {
		return fmt.Errorf("PID 1 of the host died without a word; see init.log in the host's log directory: %w", err)
	}
	if report.Error != "" {
		return errors.New(report.Error)
	}
	return nil
}

func (h *Host) guestSpec() guest.Spec {
	lab := h.lab.Name()
	d := h.disk()
	return guest.Spec{
		Label: h.label(), Hostname: h.Name(), Root: d.root(), Upper: d.upper(), Work: d.work(), VarLib: d.varLib(),
		Cgroup: h.lab.layout.hostCgroup(lab, h.Name()), Boot: h.record.Boot,
	}
}

// listen makes the control socket; PID 1 inherits it. It outlives a power cut and is replaced here.
func (h *Host) listen() (*os.File, error) {
	path := h.lab.layout.control(h.lab.Name(), h.Name())
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("replace control socket: %w", err)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("make control socket: %w", err)
	}
	defer listener.Close()
	listener.SetUnlinkOnClose(false)
	file, err := listener.File()
	if err != nil {
		return nil, fmt.Errorf("make control socket: %w", err)
	}
	return file, nil
}
