// Package hierarchy gives a lab host its own subtree of the machine's control groups, on cgroup v1 (hybrid included)
// and on v2, and says how that subtree is mounted inside the host so that it looks like the root.
package hierarchy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mountRoot is where every distribution mounts the hierarchies, and where a host expects them.
const mountRoot = "/sys/fs/cgroup"

// ErrNone means that no cgroup file system is mounted on /sys/fs/cgroup.
var ErrNone = errors.New("no cgroup hierarchy is mounted on " + mountRoot)

// Mount is one hierarchy as the machine has it mounted.
type Mount struct {
	Dir         string   // mount point on the machine
	V2          bool     // cgroup2
	Controllers []string // v1 controllers, sorted; empty for a named hierarchy and for v2
	Name        string   // of a v1 hierarchy without controllers, such as systemd
}

// Tree is all hierarchies of the machine, in the order they were mounted.
type Tree struct {
	Mounts []Mount
}

// Detect reads the hierarchies of the running machine.
func Detect() (Tree, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return Tree{}, fmt.Errorf("detect control groups: %w", err)
	}
	defer file.Close()
	return Parse(file)
}

// Parse reads the hierarchies from a mountinfo file (proc(5)). A hierarchy that is mounted twice counts once.
func Parse(mountinfo io.Reader) (Tree, error) {
	var tree Tree
	lines := bufio.NewScanner(mountinfo)
	for lines.Scan() {
		mount, ok := parseLine(lines.Text())
		if ok && !slices.ContainsFunc(tree.Mounts, mount.sameHierarchy) {
			tree.Mounts = append(tree.Mounts, mount)
		}
	}
	if err := lines.Err(); err != nil {
		return Tree{}, fmt.Errorf("read mountinfo: %w", err)
	}
	if len(tree.Mounts) == 0 {
		return Tree{}, ErrNone
	}
	return tree, nil
}

func parseLine(line string) (Mount, bool) {
	before, after, ok := strings.Cut(line, " - ")
	fields, options := strings.Fields(before), strings.Fields(after)
	if !ok || len(fields) < 6 || len(options) < 3 {
		return Mount{}, false
	}
	mount := Mount{Dir: fields[4]}
	if mount.Dir != mountRoot && filepath.Dir(mount.Dir) != mountRoot {
		return Mount{}, false
	}
	switch options[0] {
	case "cgroup2":
		mount.V2 = true
		return mount, true
	case "cgroup":
		mount.Controllers, mount.Name = v1Options(options[2])
		return mount, len(mount.Controllers) > 0 || mount.Name != ""
	}
	return Mount{}, false
}

// v1Options splits the super block options of a v1 hierarchy into its controllers and its name.
func v1Options(options string) (controllers []string, name string) {
	for option := range strings.SplitSeq(options, ",") {
		key, value, hasValue := strings.Cut(option, "=")
		switch {
		case key == "name":
			name = value
		case hasValue, slices.Contains([]string{"rw", "ro", "xattr", "clone_children", "noprefix", "cpuset_v2_mode", "none"}, key):
		default:
			controllers = append(controllers, key)
		}
	}
	slices.Sort(controllers)
	return controllers, name
}

func (m Mount) sameHierarchy(other Mount) bool {
	return m.V2 == other.V2 && m.Name == other.Name && slices.Equal(m.Controllers, other.Controllers)
}

func (m Mount) has(controller string) bool { return slices.Contains(m.Controllers, controller) }

// Unified says whether the machine has cgroup v2 and nothing else.
func (t Tree) Unified() bool { return len(t.Mounts) == 1 && t.Mounts[0].V2 }

// InsideMount is one mount that a host needs to see its own subtree.
type InsideMount struct {
	Target  string   // path inside the host
	FSType  string   // tmpfs, cgroup or cgroup2
	Data    string   // mount(2) data
	Aliases []string // names beside Target that link to it, as cpu does to cpu,cpuacct
}

// InsideMounts plans the mounts of a host, parents first. They must be made in a cgroup namespace whose root is the
// host's group.
func (t Tree) InsideMounts() []InsideMount {
	if t.Unified() {
		return []InsideMount{{Target: mountRoot, FSType: "cgroup2"}}
	}
	plan := []InsideMount{{Target: mountRoot, FSType: "tmpfs", Data: "mode=755"}}
	for _, mount := range t.Mounts {
		inside := InsideMount{Target: mount.Dir, FSType: "cgroup2"}
		if !mount.V2 {
			inside.FSType, inside.Data = "cgroup", strings.Join(mount.Controllers, ",")
		}
		if mount.Name != "" {
			// systemd mounts its own hierarchy with xattr; a second mount must ask for the same
			inside.Data = "none,name=" + mount.Name
		}
		if len(mount.Controllers) > 1 {
			for _, controller := range mount.Controllers {
				if controller != filepath.Base(mount.Dir) {
					inside.Aliases = append(inside.Aliases, controller)
				}
			}
		}
		plan = append(plan, inside)
	}
	return plan
}
