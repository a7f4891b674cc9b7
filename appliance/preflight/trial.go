package preflight

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"islet/appliance/host"
)

// trial is something that was tried for real.
type trial struct {
	dir string
	err error // why it did not work
}

func fdatasync(file *os.File) error { return unix.Fdatasync(int(file.Fd())) }

// tryOverlay mounts an overlay in dir, in a mount namespace of its own, and writes through it.
func tryOverlay(dir string) func(context.Context) (trial, error) {
	return func(context.Context) (trial, error) {
		base, err := os.MkdirTemp(dir, ".preflight-overlay-*")
		if err != nil {
			return trial{}, err
		}
		defer os.RemoveAll(base)
		for _, name := range []string{"lower", "upper", "work", "merged"} {
			if err := os.Mkdir(filepath.Join(base, name), 0o755); err != nil {
				return trial{}, err
			}
		}
		err = host.InNewNamespaces(unix.CLONE_NEWNS, func() error {
			options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", base)
			if err := unix.Mount("overlay", base+"/merged", "overlay", 0, options); err != nil {
				return err
			}
			defer func() { _ = unix.Unmount(base+"/merged", unix.MNT_DETACH) }()
			return os.WriteFile(base+"/merged/file", []byte("x"), 0o600)
		})
		return trial{dir, err}, nil
	}
}

func judgeOverlay(t trial) verdict {
	v := verdict{status: Passed, found: "works in " + t.dir, threshold: "an overlay can be mounted and written"}
	switch {
	case errors.Is(t.err, unix.EPERM):
		v.status, v.found, v.advice = Failed, "not permitted in "+t.dir, "run as root with CAP_SYS_ADMIN; in a container it has to be a privileged one"
	case errors.Is(t.err, unix.ENODEV):
		v.status, v.found, v.advice = Failed, "this kernel has no overlay filesystem", "modprobe overlay, or boot a kernel with CONFIG_OVERLAY_FS"
	case t.err != nil:
		v.status, v.found = Failed, fmt.Sprintf("does not work in %s: %v", t.dir, t.err)
		v.advice = "the state directory may itself be on an overlay or a filesystem without extended attributes: mount an ext4 or xfs filesystem there, or set paths.stateDir to one"
	}
	return v
}

// tryExec stages the smallest program there is in dir, as engines will be, and runs it.
func tryExec(dir string) func(context.Context) (trial, error) {
	return func(ctx context.Context) (trial, error) {
		program := tinyProgram()
		if program == nil {
			return trial{}, errors.New("no test program for this processor")
		}
		base, err := os.MkdirTemp(dir, ".preflight-exec-*")
		if err != nil {
			return trial{}, err
		}
		defer os.RemoveAll(base)
		path := filepath.Join(base, "program")
		if err := os.WriteFile(path, program, 0o755); err != nil {
			return trial{}, err
		}
		return trial{dir, runStaged(ctx, path)}, nil
	}
}

// runStaged tries again while the file is busy: a process forked by another goroutine may still
// hold the descriptor that the file was written through (golang/go#22315).
func runStaged(ctx context.Context, path string) error {
	for {
		err := exec.CommandContext(ctx, path).Run()
		if !errors.Is(err, unix.ETXTBSY) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func judgeExec(t trial) verdict {
	v := verdict{status: Passed, found: "works in " + t.dir, threshold: "a staged program runs"}
	if t.err != nil {
		v.status, v.found = Failed, fmt.Sprintf("refused in %s: %v", t.dir, t.err)
		v.advice = "look for noexec (findmnt -T " + t.dir + ") and for software that allows known programs only (fapolicyd, antivirus), and allow this directory"
	}
	return v
}
