package hierarchy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// initScope is where PID 1 and commands live in a v2 host: a v2 group with processes cannot hand controllers down.
const initScope = "init.scope"

// Limits bounds a group. Zero means no limit.
type Limits struct {
	CPUs      float64 `json:"cpus,omitempty"` // cores
	MemoryMiB int64   `json:"memoryMiB,omitempty"`
}

// Group is one control group, with the same path in every hierarchy of its tree.
type Group struct {
	tree Tree
	path string // relative to the hierarchies' roots
}

// Group names a group; it creates nothing.
func (t Tree) Group(path string) Group { return Group{tree: t, path: path} }

// Dirs returns the group's directory in each hierarchy, as the machine sees them.
func (g Group) Dirs() []string {
	dirs := make([]string, 0, len(g.tree.Mounts))
	for _, mount := range g.tree.Mounts {
		dirs = append(dirs, filepath.Join(mount.Dir, g.path))
	}
	return dirs
}

// Create makes the group and its parents in every hierarchy. It is no error if they exist.
func (g Group) Create() error {
	for _, mount := range g.tree.Mounts {
		if err := mount.create(g.path, g.tree.Unified()); err != nil {
			return fmt.Errorf("create control group %s: %w", g.path, err)
		}
	}
	return nil
}

func (m Mount) create(path string, unified bool) error {
	dir := m.Dir
	for name := range strings.SplitSeq(path, "/") {
		if unified {
			if err := delegate(dir); err != nil {
				return err
			}
		}
		parent := dir
		dir = filepath.Join(dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if !m.has("cpuset") {
			continue
		}
		// a v1 cpuset group takes no process before it has both
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if err := copyValue(filepath.Join(parent, file), filepath.Join(dir, file)); err != nil {
				return err
			}
		}
	}
	return nil
}

// delegate hands every controller of a v2 group down to its children. One that the kernel cannot hand down (real-time
// tasks in cpu, a threaded group) is left out: hosts work without it.
func delegate(dir string) error {
	available, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for controller := range strings.FieldsSeq(string(available)) {
		_ = write(filepath.Join(dir, "cgroup.subtree_control"), "+"+controller)
	}
	return nil
}

func copyValue(from, to string) error {
	value, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return write(to, strings.TrimSpace(string(value)))
}

// Limit applies limits to the group.
func (g Group) Limit(limits Limits) error {
	for _, mount := range g.tree.Mounts {
		for file, value := range mount.limitFiles(limits, g.tree.Unified()) {
			if err := write(filepath.Join(mount.Dir, g.path, file), value); err != nil {
				return fmt.Errorf("limit control group %s: %w", g.path, err)
			}
		}
	}
	return nil
}

func (m Mount) limitFiles(limits Limits, unified bool) map[string]string {
	const periodMicros = 100_000
	files := map[string]string{}
	quota := strconv.FormatInt(int64(limits.CPUs*periodMicros), 10)
	bytes := strconv.FormatInt(limits.MemoryMiB<<20, 10)
	if limits.CPUs > 0 && m.has("cpu") {
		files["cpu.cfs_quota_us"] = quota
	}
	if limits.CPUs > 0 && unified {
		files["cpu.max"] = quota + " " + strconv.Itoa(periodMicros)
	}
	if limits.MemoryMiB > 0 && m.has("memory") {
		files["memory.limit_in_bytes"] = bytes
	}
	if limits.MemoryMiB > 0 && unified {
		files["memory.max"] = bytes
	}
	return files
}

// JoinSelf moves the calling process, all threads of it, into the group.
func (g Group) JoinSelf() error {
	for _, dir := range g.Dirs() {
		if err := write(filepath.Join(dir, "cgroup.procs"), "0"); err != nil {
			return fmt.Errorf("join control group %s: %w", g.path, err)
		}
	}
	return nil
}

// JoinThread moves the calling thread into the group's v1 hierarchies, so that what it forks is born there. v2 knows no
// such thing: for v2 fork with OpenV2.
func (g Group) JoinThread() error {
	for _, mount := range g.tree.Mounts {
		if mount.V2 {
			continue
		}
		if err := write(filepath.Join(mount.Dir, g.path, "tasks"), strconv.Itoa(unix.Gettid())); err != nil {
			return fmt.Errorf("join control group %s: %w", g.path, err)
		}
	}
	return nil
}

// OpenV2 opens the v2 directory that a command of this host is to be forked into (SysProcAttr.CgroupFD). It returns nil
// if the machine has no v2 hierarchy. The caller closes it.
func (g Group) OpenV2() (*os.File, error) {
	for _, mount := range g.tree.Mounts {
		if !mount.V2 {
			continue
		}
		dir := filepath.Join(mount.Dir, g.path)
		if g.tree.Unified() {
			dir = filepath.Join(dir, initScope)
		}
		file, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return nil, fmt.Errorf("open control group %s: %w", g.path, err)
		}
		return file, nil
	}
	return nil, nil
}

// SettleInside is called by PID 1 of a host once InsideMounts are made: on v2 it moves itself out of the root group, so
// that the root can hand controllers down to what the node creates. On v1 there is nothing to do.
func (t Tree) SettleInside() error {
	if !t.Unified() {
		return nil
	}
	scope := Tree{Mounts: []Mount{{Dir: mountRoot, V2: true}}}.Group(initScope)
	if err := os.Mkdir(filepath.Join(mountRoot, initScope), 0o755); err != nil {
		return fmt.Errorf("create %s: %w", initScope, err)
	}
	if err := scope.JoinSelf(); err != nil {
		return err
	}
	return delegate(mountRoot)
}

func write(file, value string) error {
	return os.WriteFile(file, []byte(value), 0o644)
}
