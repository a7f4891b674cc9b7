package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"islet/appliance/lab/hierarchy"
)

// Snapshot is everything of a host that a platform may leave behind, as sorted lines of text: two are compared by Diff.
// Nothing in it changes by itself on an idle host; pids, counters and handles are left out.
type Snapshot struct {
	Mounts    []string `json:"mounts"`
	Links     []string `json:"links"`
	Addresses []string `json:"addresses"` // without IPv6 link-local ones, which come and go with the carrier
	Routes    []string `json:"routes"`
	Rules     []string `json:"rules"`
	Nftables  []string `json:"nftables"`
	Xtables   []string `json:"xtables"`  // names of iptables tables in use, and ipsets
	Settings  []string `json:"settings"` // /proc/sys/net
	Cgroups   []string `json:"cgroups"`
	Processes []string `json:"processes"` // command lines, without commands that are being executed by Exec
	Files     []string `json:"files"`     // path, mode, size, target of links
}

// SnapshotScope says which files belong to a snapshot.
type SnapshotScope struct {
	Dirs []string // default: all that a platform has a reason to write to
	Skip []string // files and directories that are not looked at
}

func (s SnapshotScope) dirs() []string {
	if s.Dirs != nil {
		return s.Dirs
	}
	return []string{"/etc", "/home", "/opt", "/root", "/run", "/srv", "/tmp", "/usr/local", "/usr/lib/systemd", "/var"}
}

// Snapshot looks at the running host from outside: it changes nothing in it and starts nothing.
func (h *Host) Snapshot(scope SnapshotScope) (Snapshot, error) {
	var s Snapshot
	init, err := h.running()
	if err != nil {
		return s, err
	}
	tree, err := hierarchy.Detect()
	if err != nil {
		return s, err
	}
	steps := []func() error{
		func() (err error) { s.Mounts, err = snapshotMounts(init.PID); return err },
		func() error { return s.snapshotNetwork(init) },
		func() (err error) {
			s.Cgroups, err = tree.Group(h.lab.layout.hostCgroup(h.lab.Name(), h.Name())).Below()
			return err
		},
		func() (err error) { s.Processes, err = h.snapshotProcesses(); return err },
		func() error { return h.inFiles(func() (err error) { s.Files, err = scope.files(); return err }) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return s, fmt.Errorf("snapshot of %s: %w", h.label(), err)
		}
	}
	for _, section := range s.sections() {
		slices.Sort(section.lines)
	}
	return s, nil
}

type section struct {
	name  string
	lines []string
}

func (s Snapshot) sections() []section {
	return []section{
		{"mounts", s.Mounts}, {"links", s.Links}, {"addresses", s.Addresses}, {"routes", s.Routes}, {"rules", s.Rules},
		{"nftables", s.Nftables}, {"xtables", s.Xtables}, {"settings", s.Settings}, {"cgroups", s.Cgroups},
		{"processes", s.Processes}, {"files", s.Files},
	}
}

// Diff tells what is in after and was not in s ("+"), and what was and no longer is ("-"), by section. It is empty if the
// two are equal.
func (s Snapshot) Diff(after Snapshot) string {
	var text strings.Builder
	now := after.sections()
	for i, before := range s.sections() {
		lost, gained := without(before.lines, now[i].lines), without(now[i].lines, before.lines)
		if len(lost)+len(gained) == 0 {
			continue
		}
		fmt.Fprintf(&text, "%s:\n", before.name)
		for _, line := range lost {
			fmt.Fprintf(&text, "  - %s\n", line)
		}
		for _, line := range gained {
			fmt.Fprintf(&text, "  + %s\n", line)
		}
	}
	return text.String()
}

// without returns the lines that others lacks; a line that is there twice must be there twice.
func without(lines, others []string) []string {
	count := map[string]int{}
	for _, line := range others {
		count[line]++
	}
	var missing []string
	for _, line := range lines {
		if count[line]--; count[line] < 0 {
			missing = append(missing, line)
		}
	}
	return missing
}

// snapshotMounts lists the mounts of a process without their ids and peer groups.
func snapshotMounts(pid int) ([]string, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	defer file.Close()
	var mounts []string
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20) // an overlay of many layers makes a long line
	for lines.Scan() {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		if fields := strings.Fields(before); len(fields) >= 6 {
			mounts = append(mounts, fmt.Sprintf("%s root=%s %s %s", fields[4], fields[3], fields[5], after))
		}
	}
	return mounts, lines.Err()
}

func (h *Host) snapshotProcesses() ([]string, error) {
	pids, err := h.Processes()
	if err != nil {
		return nil, err
	}
	var processes []string
	for _, pid := range pids {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			continue // ended meanwhile
		}
		processes = append(processes, strings.TrimSpace(strings.ReplaceAll(string(content), "\x00", " ")))
	}
	return processes, nil
}

// files lists the files of the scope as the calling thread sees them.
func (s SnapshotScope) files() ([]string, error) {
	var files []string
	for _, dir := range s.dirs() {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if slices.Contains(s.Skip, path) {
				if entry != nil && entry.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			line, err := describeFile(path, entry)
			if line != "" {
				files = append(files, line)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list files: %w", err)
		}
	}
	return files, nil
}

func describeFile(path string, entry fs.DirEntry) (string, error) {
	info, err := entry.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	switch {
	case info.Mode().IsRegular():
		return fmt.Sprintf("%s %v %d", path, info.Mode(), info.Size()), nil
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return fmt.Sprintf("%s -> %s", path, target), err
	default:
		return fmt.Sprintf("%s %v", path, info.Mode()), nil
	}
}
