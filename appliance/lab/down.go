package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"islet/appliance/lab/hierarchy"
)

// downTimeout bounds the clean-up of a failed Up.
const downTimeout = time.Minute

// Down removes the lab with everything in it, disks included, and returns when all of it is gone.
func (l *Lab) Down(ctx context.Context) error { return l.layout.Down(ctx, l.record.Name) }

// Down removes whatever is left of the lab of that name. It may be repeated, needs no part of the lab to be whole, and
// finds nothing to do for a lab that never was.
func (l Layout) Down(ctx context.Context, name string) error {
	if err := checkLabName(name); err != nil {
		return err
	}
	if err := checkRoot(); err != nil {
		return err
	}
	lock, err := l.acquire(ctx, name)
	if err != nil {
		return err
	}
	err = l.locate(name).tearDown(ctx, name)
	if err == nil {
		err = os.Remove(l.lock(name)) // while it is locked: see tryLock
	}
	_ = lock.Close()
	l.removeEmpty()
	if err != nil {
		return fmt.Errorf("take down lab %s: %w", name, err)
	}
	return nil
}

// DownAll removes whatever is left of any lab.
func (l Layout) DownAll(ctx context.Context) error {
	names, err := l.names()
	if err != nil {
		return err
	}
	locks, err := filepath.Glob(l.lock("*"))
	if err != nil {
		return fmt.Errorf("list locks: %w", err)
	}
	for _, path := range locks {
		names = append(names, strings.TrimSuffix(filepath.Base(path), ".lock"))
	}
	slices.Sort(names)
	var errs []error
	for _, name := range slices.Compact(names) {
		errs = append(errs, l.Down(ctx, name))
	}
	return errors.Join(errs...)
}

// DownAll removes whatever is left of any lab in the default places.
func DownAll(ctx context.Context) error { return DefaultLayout().DownAll(ctx) }

// tearDown does the work of Down; the lock is held. Processes go first, what names the lab last, so that a Down that was
// cut short is found again.
func (l Layout) tearDown(ctx context.Context, name string) error {
	tree, err := hierarchy.Detect()
	if err != nil {
		return err
	}
	if err := l.killAll(ctx, tree, name); err != nil {
		return err
	}
	if err := unmountBelow(l.runDir(name), l.labDir(name)); err != nil {
		return err
	}
	if err := l.labGroup(tree, name).Remove(ctx); err != nil {
		return err
	}
	if err := l.removeDisks(name); err != nil {
		return err
	}
	if err := os.RemoveAll(l.runDir(name)); err != nil {
		return fmt.Errorf("remove run directory: %w", err)
	}
	return nil
}

// killAll ends every process of the lab: by the pid files, as a PID 1 takes its whole host along, then by control group,
// which also holds those that a crashed tool had not written down.
func (l Layout) killAll(ctx context.Context, tree hierarchy.Tree, name string) error {
	files, err := filepath.Glob(l.process(name, "*"))
	if err != nil {
		return fmt.Errorf("list hosts: %w", err)
	}
	for _, file := range files {
		var state hostState
		if err := readJSON(file, &state); err != nil || !state.Init.alive() {
			continue // not the file of a host, or cut short by a crash, or off
		}
		if err := state.Init.kill(ctx); err != nil {
			return err
		}
	}
	return l.labGroup(tree, name).Kill(ctx, reap)
}

// removeDisks deletes the lab's directory, if it is one. Its lab.json goes last.
func (l Layout) removeDisks(name string) error {
	dir := l.labDir(name)
	if _, err := os.Lstat(l.spec(name)); errors.Is(err, fs.ErrNotExist) {
		// Up creates the directory just before the record; an empty one may be left of that
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			if leftover, _ := filepath.Glob(filepath.Join(dir, ".lab.json.tmp-*")); len(leftover) == 0 {
				return fmt.Errorf("%s has no lab.json: it is left alone, as it may not be a lab's: %w", dir, err)
			}
			return os.RemoveAll(dir)
		}
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("remove disks: %w", err)
	}
	for _, entry := range entries {
		if entry.Name() == filepath.Base(l.spec(name)) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return fmt.Errorf("remove disks: %w", err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove disks: %w", err)
	}
	return nil
}

// removeEmpty deletes the directories and groups above all labs when the last one is gone.
func (l Layout) removeEmpty() {
	_ = unix.Rmdir(l.RunDir)
	if l.StateDir == DefaultStateDir {
		_ = unix.Rmdir(l.StateDir)
	}
	if tree, err := hierarchy.Detect(); err == nil {
		tree.Group(l.Cgroup).RemoveEmpty()
	}
}

// unmountBelow unmounts what is mounted on or below the directories: the pin of the switch's network namespace. Hosts'
// mounts are in their own mount namespaces and gone with them.
func unmountBelow(dirs ...string) error {
	points, err := mountPoints()
	if err != nil {
		return err
	}
	for _, point := range slices.Backward(points) {
		below := slices.ContainsFunc(dirs, func(dir string) bool {
			return point == dir || strings.HasPrefix(point, dir+"/")
		})
		if !below {
			continue
		}
		if err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmount %s: %w", point, err)
		}
	}
	return nil
}

// mountPoints lists the machine's mount points in the order of mounting.
func mountPoints() ([]string, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	defer file.Close()
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var points []string
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 {
			points = append(points, unescape.Replace(fields[4]))
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	return points, nil
}
