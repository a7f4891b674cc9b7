package reset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"islet/appliance/cgroup"
)

// The control groups of the node: its own programs, and its pods (the kubelet's cgroupRoot).
const (
	ownGroup  = "appliance"
	podsGroup = "kubepods"
	shims     = "shims" // below ownGroup
)

const (
	groupRoot    = "/sys/fs/cgroup"
	killTimeout  = 20 * time.Second
	podGrace     = 10 * time.Second
	pollInterval = 20 * time.Millisecond
)

// hierarchies are the roots that control groups hang from: one on cgroup v2, one per controller on v1,
// and those beside them that have no controller.
func hierarchies() ([]string, error) {
	if _, err := os.Stat(filepath.Join(groupRoot, "cgroup.controllers")); err == nil {
		return []string{groupRoot}, nil
	}
	entries, err := os.ReadDir(groupRoot)
	var roots []string
	for _, e := range entries {
		dir := filepath.Join(groupRoot, e.Name())
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil && e.IsDir() { // links are other names
			roots = append(roots, dir)
		}
	}
	return roots, err
}

func observeGroups() ([]string, error) {
	roots, err := hierarchies()
	if err != nil {
		return nil, err
	}
	groups := []string{}
	for _, name := range []string{ownGroup, podsGroup} {
		if slices.ContainsFunc(roots, func(root string) bool {
			_, err := os.Stat(filepath.Join(root, name))
			return err == nil
		}) {
			groups = append(groups, name)
		}
	}
	return groups, nil
}

// planProcesses ends what runs: the programs that would start something anew come first.
func (b builder) planProcesses() {
	for _, name := range b.now.Groups {
		if slices.Contains(b.past.Groups, name) && name == podsGroup {
			b.keep("control group /"+name, "it was here before the node: another kubelet's pods")
			continue
		}
		switch name {
		case ownGroup:
			b.step(phaseStop, KindProcess, "/"+ownGroup, "end the node's own programs, but not yet the shims", endPrograms)
		case podsGroup:
			b.step(phaseStop, KindProcess, "/"+podsGroup, fmt.Sprintf("end all pods: ask them, and kill what is left after %s", podGrace), endPods)
		}
	}
	if slices.Contains(b.now.Groups, ownGroup) {
		b.step(phaseStop, KindProcess, "/"+ownGroup+"/"+shims, "end the containers' shims", endShims)
	}
}

func (b builder) planGroups() {
	for _, name := range b.now.Groups {
		if !slices.Contains(b.past.Groups, name) {
			b.step(phaseUndo, KindGroup, "/"+name, "remove control groups", func(ctx context.Context) error { return removeGroup(ctx, name) })
		}
	}
}

// endPrograms kills: nothing that they could still write will be read again.
func endPrograms(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	tree, err := cgroup.Detect(ownGroup)
	if err != nil {
		return err
	}
	names, err := subgroups(ownGroup)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if name != shims {
			errs = append(errs, tree.Group(name).Kill(ctx, nil))
		}
	}
	return errors.Join(errs...)
}

func endShims(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	tree, err := cgroup.Detect(ownGroup)
	if err != nil {
		return err
	}
	return tree.Group(shims).Kill(ctx, nil)
}

// endPods gives pods the time to write down what they have to: their volumes may be kept.
func endPods(ctx context.Context) error {
	tree, err := cgroup.Detect(podsGroup)
	if err != nil {
		return err
	}
	group := tree.Group("")
	pids, err := group.Processes()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGTERM) // it may have ended by itself
	}
	grace, cancel := context.WithTimeout(ctx, podGrace)
	defer cancel()
	err = await(grace, func() (bool, error) {
		left, err := group.Processes()
		return len(left) == 0, err
	})
	if err == nil || ctx.Err() != nil {
		return err
	}
	ctx, cancelKill := context.WithTimeout(ctx, killTimeout)
	defer cancelKill()
	return group.Kill(ctx, nil)
}

// await asks until done says yes or fails, or ctx ends.
func await(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func subgroups(name string) ([]string, error) {
	roots, err := hierarchies()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, root := range roots {
		entries, err := os.ReadDir(filepath.Join(root, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if e.IsDir() && !slices.Contains(names, e.Name()) {
				names = append(names, e.Name())
			}
		}
	}
	return names, nil
}

// removeGroup removes the directories. A group stays busy for a moment after its last process ended.
func removeGroup(ctx context.Context, name string) error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	var last error
	if err := await(ctx, func() (bool, error) {
		last = cgroup.RemoveDirs(roots, name)
		return last == nil || !errors.Is(last, syscall.EBUSY), nil
	}); err != nil {
		return errors.Join(last, err)
	}
	return last
}
