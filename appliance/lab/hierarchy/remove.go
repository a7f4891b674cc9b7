package hierarchy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// pollInterval is how often a group is looked at that is being emptied. The kernel has an event for an empty v2 group,
// but none that covers v1.
const pollInterval = 2 * time.Millisecond

// Processes lists the processes in the group and below, in any hierarchy, without zombies. A process of which only
// another thread than the first is in the group does not count: it is a tool that is just forking into it.
func (g Group) Processes() ([]int, error) {
	var pids []int
	err := g.walk(func(dir string) error {
		found, err := members(dir)
		pids = append(pids, found...)
		return err
	})
	slices.Sort(pids)
	return slices.Compact(pids), err
}

// Below lists the groups below this one in all hierarchies, as "hierarchy:path", sorted.
func (g Group) Below() ([]string, error) {
	var names []string
	for _, mount := range g.tree.Mounts {
		root := filepath.Join(mount.Dir, g.path)
		one := Tree{Mounts: []Mount{mount}}.Group(g.path)
		err := one.walk(func(dir string) error {
			if dir != root {
				names = append(names, filepath.Base(mount.Dir)+":"+strings.TrimPrefix(dir, root))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(names)
	return names, nil
}

// Kill sends SIGKILL to everything in the group until nothing is left in it, or ctx ends. reap, which may be nil, is
// called with each process: the caller collects those that are its children.
func (g Group) Kill(ctx context.Context, reap func(pid int)) error {
	for {
		pids, err := g.Processes()
		if err != nil {
			return fmt.Errorf("list processes of control group %s: %w", g.path, err)
		}
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL)
			if reap != nil {
				reap(pid)
			}
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("processes %v of control group %s survive SIGKILL: %w", pids, g.path, err)
		}
	}
}

// Remove deletes the group and those below it in every hierarchy, deepest first. It waits until ctx ends for exiting
// processes to leave them. A group that is not there is removed already.
func (g Group) Remove(ctx context.Context) error {
	for {
		err := g.tryRemove()
		if err == nil || !errors.Is(err, unix.EBUSY) {
			return err
		}
		if pauseErr := pause(ctx); pauseErr != nil {
			return errors.Join(err, pauseErr)
		}
	}
}

func (g Group) tryRemove() error {
	var dirs []string
	if err := g.walk(func(dir string) error { dirs = append(dirs, dir); return nil }); err != nil {
		return err
	}
	for _, dir := range slices.Backward(dirs) {
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove control group %s: %w", dir, err)
		}
	}
	return nil
}

// RemoveEmpty deletes the group where it has neither processes nor children and leaves it alone elsewhere.
func (g Group) RemoveEmpty() {
	for _, dir := range g.Dirs() {
		_ = unix.Rmdir(dir)
	}
}

// walk calls visit for the group's directories and those below, parents first.
func (g Group) walk(visit func(dir string) error) error {
	for _, root := range g.Dirs() {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
				return nil
			}
			if err != nil || !entry.IsDir() {
				return err
			}
			return visit(path)
		})
		if err != nil {
			return fmt.Errorf("walk control group %s: %w", root, err)
		}
	}
	return nil
}

func members(dir string) ([]int, error) {
	file := filepath.Join(dir, "tasks") // v1: threads
	if _, err := os.Stat(file); err != nil {
		file = filepath.Join(dir, "cgroup.procs") // v2: processes
	}
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil, nil // removed while we looked
	}
	if err != nil {
		return nil, err
	}
	var pids []int
	for line := range strings.FieldsSeq(string(content)) {
		if id, err := strconv.Atoi(line); err == nil {
			if pid, ok := processOf(id); ok {
				pids = append(pids, pid)
			}
		}
	}
	return pids, nil
}

// processOf returns the process that a thread in a group stands for: it must be its first thread, or that must have ended
// before the others. A zombie without other threads is just waiting to be collected.
func processOf(tid int) (pid int, ok bool) {
	thread, err := readStatus(tid)
	if err != nil {
		return 0, false
	}
	if thread.pid == tid {
		return tid, !thread.dead || thread.threads > 1
	}
	first, err := readStatus(thread.pid)
	return thread.pid, err == nil && first.dead
}

type status struct {
	pid     int // of the process that the thread belongs to
	threads int
	dead    bool
}

func readStatus(tid int) (status, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return status{}, err
	}
	defer file.Close()
	var s status
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimSpace(value)
		switch key {
		case "State":
			s.dead = strings.HasPrefix(value, "Z") || strings.HasPrefix(value, "X")
		case "Tgid":
			s.pid, err = strconv.Atoi(value)
		case "Threads":
			s.threads, err = strconv.Atoi(value)
		}
		if err != nil {
			return status{}, err
		}
	}
	return s, lines.Err()
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pollInterval):
		return nil
	}
}
