// Package cgroup makes, fills and empties the control groups of the node's own programs, on cgroup
// v2 and on the v1 hierarchies (hybrid machines count as v1: their controllers are there).
package cgroup

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
	"syscall"
	"time"
)

// root is where every distribution mounts the hierarchies.
const root = "/sys/fs/cgroup"

// v1Controllers are those that the node's own programs are accounted in.
var v1Controllers = []string{"cpu", "cpuacct", "memory", "pids"}

// Tree is the part of the machine's control groups that belongs to the appliance.
type Tree struct {
	unified bool
	roots   []string // one directory per hierarchy; a process is in the same group of each
	name    string
}

// Detect returns the appliance's tree, named name, directly under the root of each hierarchy.
// It creates nothing.
func Detect(name string) (*Tree, error) { return detect(root, name) }

func detect(root, name string) (*Tree, error) {
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		return &Tree{unified: true, roots: []string{root}, name: name}, nil
	}
	t := &Tree{name: name}
	for _, c := range v1Controllers {
		dir, err := filepath.EvalSymlinks(filepath.Join(root, c)) // cpu is often a link to cpu,cpuacct
		if err != nil || slices.Contains(t.roots, dir) {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
			t.roots = append(t.roots, dir)
		}
	}
	if len(t.roots) == 0 {
		return nil, fmt.Errorf("no cgroup hierarchy is mounted on %s: mount cgroup2 there", root)
	}
	return t, nil
}

// Group is one control group, in every hierarchy of the tree.
type Group struct {
	tree *Tree
	path string
}

// Group returns the group of that name below the tree; it creates nothing.
func (t *Tree) Group(name string) *Group { return &Group{tree: t, path: filepath.Join(t.name, name)} }

// Path is the group's path below the hierarchy's root, with a leading slash, as containerd and the
// kubelet take it.
func (g *Group) Path() string { return "/" + g.path }

// UnifiedDir is the group's directory on cgroup v2, empty on v1.
func (g *Group) UnifiedDir() string {
	if !g.tree.unified {
		return ""
	}
	return filepath.Join(g.tree.roots[0], g.path)
}

// Create makes the group; it is no error if it exists.
func (g *Group) Create() error {
	if g.tree.unified {
		// A child can only use a controller that its parent hands down. What the kernel refuses is
		// accounted one level up; the node works without.
		for _, dir := range []string{g.tree.roots[0], filepath.Join(g.tree.roots[0], g.tree.name)} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return fmt.Errorf("create control group: %w", err)
			}
			for _, c := range []string{"+cpu", "+memory", "+pids"} {
				_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(c), 0o644)
			}
		}
	}
	for _, r := range g.tree.roots {
		if err := os.MkdirAll(filepath.Join(r, g.path), 0o755); err != nil {
			return fmt.Errorf("create control group: %w", err)
		}
	}
	return nil
}

// Add moves a process into the group.
func (g *Group) Add(pid int) error {
	for _, r := range g.tree.roots {
		file := filepath.Join(r, g.path, "cgroup.procs")
		if err := os.WriteFile(file, []byte(strconv.Itoa(pid)), 0o644); err != nil {
			return fmt.Errorf("move process %d into control group: %w", pid, err)
		}
	}
	return nil
}

// Processes lists the processes of the group and of those below it.
func (g *Group) Processes() ([]int, error) {
	var pids []int
	err := filepath.WalkDir(filepath.Join(g.tree.roots[0], g.path), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.Name() != "cgroup.procs" {
			return err
		}
		found, err := readPIDs(path)
		pids = append(pids, found...)
		return err
	})
	return pids, err
}

// Kill sends SIGKILL to every process of the group and below it that match accepts, and waits until
// they are gone or ctx ends. match may be nil for all.
func (g *Group) Kill(ctx context.Context, match func(pid int) bool) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		pids, err := g.Processes()
		if err != nil {
			return err
		}
		if match != nil {
			pids = slices.DeleteFunc(pids, func(pid int) bool { return !match(pid) })
		}
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d processes in control group %s survive SIGKILL: %w", len(pids), g.Path(), ctx.Err())
		case <-tick.C:
		}
	}
}

// Remove deletes the tree's directories, deepest first. It fails while processes are left.
func (t *Tree) Remove() error { return RemoveDirs(t.roots, t.name) }

// RemoveDirs deletes the groups below name in each hierarchy root.
func RemoveDirs(roots []string, name string) error {
	var errs []error
	for _, r := range roots {
		var dirs []string
		err := filepath.WalkDir(filepath.Join(r, name), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		})
		errs = append(errs, err)
		for _, dir := range slices.Backward(dirs) {
			if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func readPIDs(path string) ([]int, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var pids []int
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if pid, err := strconv.Atoi(strings.TrimSpace(lines.Text())); err == nil {
			pids = append(pids, pid)
		}
	}
	err = lines.Err()
	if errors.Is(err, syscall.ENODEV) { // the group went away while it was read
		err = nil
	}
	return pids, err
}
