// Package lab makes isolated hosts on one machine and runs the real appliance in each: the try-out, the end-to-end test
// bed and the operator's rehearsal room. A host has namespaces, control groups, a disk and an address of its own, and no
// way out of its lab. Nothing but root is needed, and the machine's own network namespace is never touched.
//
// Programs that use the package call MaybeInit first thing in main, tests in TestMain.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"islet/appliance/lab/guest"
	"islet/appliance/lab/hierarchy"
)

// Errors to decide by.
var (
	ErrExists     = errors.New("this lab exists already")
	ErrNotFound   = errors.New("there is no such lab or host")
	ErrNotRunning = errors.New("the host is not running")
	ErrRunning    = errors.New("the host is running")
	ErrBroken     = errors.New("the lab is not whole") // a crash or a boot of the machine; Down clears it away
)

// MaybeInit takes over and does not return if this process was started to be PID 1 of a host. It must be called before
// anything else looks at the arguments.
func MaybeInit() {
	if len(os.Args) > 0 && os.Args[0] == guest.Argv0 {
		os.Exit(guest.Main(os.Args))
	}
}

// Lab is an existing lab. It holds nothing open; what it says comes from disk and kernel at each call, so that several
// processes may work with one lab.
type Lab struct {
	layout Layout
	record record
	log    *slog.Logger
}

// Up makes a lab in the default places and boots its hosts. It returns when all of them run, which says nothing about
// their boot commands. If anything fails, or ctx ends, everything is removed again.
func Up(ctx context.Context, spec Spec, log *slog.Logger) (*Lab, error) {
	return DefaultLayout().Up(ctx, spec, log)
}

// Up is like the function Up, in the places of the layout.
func (l Layout) Up(ctx context.Context, spec Spec, log *slog.Logger) (*Lab, error) {
	rec, err := spec.complete()
	if err != nil {
		return nil, fmt.Errorf("invalid lab: %w", err)
	}
	if err := checkRoot(); err != nil {
		return nil, err
	}
	lock, err := l.acquire(ctx, rec.Name)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := l.checkFree(rec.Name); err != nil {
		return nil, err
	}
	lab := &Lab{layout: l, record: rec, log: log.With("lab", rec.Name)}
	if err := lab.create(ctx, spec, lock); err != nil {
		if !spec.Keep {
			cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), downTimeout)
			defer cancel()
			err = errors.Join(err, l.tearDown(cleanup, rec.Name))
		}
		return nil, fmt.Errorf("bring up lab %s: %w", rec.Name, err)
	}
	return lab, nil
}

// checkFree refuses a name of which anything is there.
func (l Layout) checkFree(name string) error {
	names, err := l.names()
	if err != nil {
		return err
	}
	if slices.Contains(names, name) {
		return fmt.Errorf("%w: %s", ErrExists, name)
	}
	if _, err := os.Lstat(l.labDir(name)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is in the way: it belongs to no lab", l.labDir(name))
	}
	return nil
}

// create builds everything. What names the lab comes first: whatever happens next, Down finds it by that.
func (l *Lab) create(ctx context.Context, spec Spec, lock *os.File) error {
	begin := time.Now()
	name := l.record.Name
	if err := os.MkdirAll(l.layout.netnsDir(name), 0o700); err != nil {
		return fmt.Errorf("create run directory: %w", err)
	}
	if err := writeJSON(l.layout.whereabouts(name), whereabouts{StateDir: l.layout.StateDir}); err != nil {
		return err
	}
	if err := os.MkdirAll(l.layout.labDir(name), 0o700); err != nil {
		return fmt.Errorf("create lab directory: %w", err)
	}
	if err := writeJSON(l.layout.spec(name), l.record); err != nil {
		return err
	}
	if err := l.makeSwitchAndGroup(); err != nil {
		return err
	}
	for path, source := range spec.Shared {
		if err := copyShared(source, l.layout.shared(name, path)); err != nil {
			return err
		}
	}
	for i, host := range l.record.Hosts {
		if err := l.createDisk(host, spec, spec.Hosts[i].Files); err != nil {
			return fmt.Errorf("host %s: %w", host.Name, err)
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, host := range l.Hosts() {
		group.Go(func() error { return host.boot(groupCtx, lock) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	l.log.Info("lab is up", "hosts", len(l.record.Hosts), "took", time.Since(begin).Round(time.Millisecond))
	return nil
}

// makeSwitchAndGroup makes what a boot of the machine takes away.
func (l *Lab) makeSwitchAndGroup() error {
	name := l.record.Name
	if err := makeSwitch(l.layout.switchNetns(name), l.record); err != nil {
		return err
	}
	filter, err := openFilter(l.layout.switchNetns(name))
	if err != nil {
		return err
	}
	inside := slices.Concat([]netip.Prefix{l.record.Subnet}, l.record.Inside, linkScope())
	if err := errors.Join(filter.install(inside), filter.close()); err != nil {
		return err
	}
	tree, err := hierarchy.Detect()
	if err != nil {
		return err
	}
	return l.layout.labGroup(tree, name).Create()
}

func (l *Lab) createDisk(host hostRecord, spec Spec, files map[string]File) error {
	d := disk{l.layout.hostDir(l.record.Name, host.Name)}
	hide := slices.Concat(spec.Hide, []string{l.layout.StateDir, l.layout.RunDir})
	if err := d.create(hide); err != nil {
		return err
	}
	if err := d.identity(host, l.record.Hosts); err != nil {
		return err
	}
	for path, file := range files {
		if err := d.put(path, file); err != nil {
			return err
		}
	}
	for path := range spec.Shared {
		if err := d.link(l.layout.shared(l.record.Name, path), path); err != nil {
			return err
		}
	}
	return nil
}
