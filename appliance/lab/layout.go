package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"islet/appliance/lab/guest"
	"islet/appliance/lab/hierarchy"
)

// The places of labs unless a caller says otherwise.
const (
	DefaultStateDir = "/var/lib/islet-lab"
	defaultRunDir   = "/run/islet-lab"
	defaultCgroup   = "islet-lab"
)

// Layout says where labs keep what. Every path of this package derives from one, so tests have a world of their own.
type Layout struct {
	// StateDir holds the disks of the hosts; a real file system (no overlay, no tmpfs), no ',' or ':' in its name.
	StateDir string
	// RunDir holds what is gone after the machine boots: namespaces, sockets, pid files, locks. Keep it short, a unix
	// socket's path has at most 107 bytes.
	RunDir string
	// Cgroup is the name of the control group above all labs, in every hierarchy.
	Cgroup string
}

// DefaultLayout is the layout of the package's functions.
func DefaultLayout() Layout {
	return Layout{StateDir: DefaultStateDir, RunDir: defaultRunDir, Cgroup: defaultCgroup}
}

func (l Layout) labDir(lab string) string { return filepath.Join(l.StateDir, lab) }
func (l Layout) spec(lab string) string   { return filepath.Join(l.StateDir, lab, "lab.json") }

// shared is the lab's copy of a file that every host has at the path.
func (l Layout) shared(lab, path string) string {
	return filepath.Join(l.StateDir, lab, "shared", path)
}

func (l Layout) hostDir(lab, host string, elem ...string) string {
	return filepath.Join(append([]string{l.StateDir, lab, "hosts", host}, elem...)...)
}

func (l Layout) logDir(lab, host string) string { return l.hostDir(lab, host, "log") }
func (l Layout) bootLog(lab, host string) string {
	return l.hostDir(lab, host, "log", guest.BootLogName)
}

func (l Layout) runDir(lab string) string      { return filepath.Join(l.RunDir, lab) }
func (l Layout) whereabouts(lab string) string { return filepath.Join(l.RunDir, lab, "where.json") }
func (l Layout) links(lab string) string       { return filepath.Join(l.RunDir, lab, "links.json") }
func (l Layout) netnsDir(lab string) string    { return filepath.Join(l.RunDir, lab, "netns") }
func (l Layout) switchNetns(lab string) string {
	return filepath.Join(l.RunDir, lab, "netns", "switch")
}
func (l Layout) lock(lab string) string { return filepath.Join(l.RunDir, lab+".lock") }
func (l Layout) process(lab, host string) string {
	return filepath.Join(l.RunDir, lab, host+".json")
}
func (l Layout) control(lab, host string) string {
	return filepath.Join(l.RunDir, lab, host+".sock")
}

func (l Layout) labGroup(tree hierarchy.Tree, lab string) hierarchy.Group {
	return tree.Group(l.Cgroup + "/" + lab)
}

func (l Layout) hostCgroup(lab, host string) string { return l.Cgroup + "/" + lab + "/" + host }

var (
	labNamePattern  = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$`)
	hostNamePattern = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,13}[a-z0-9])?$`) // it is the name of its switch port, too
)

func checkLabName(name string) error {
	if !labNamePattern.MatchString(name) {
		return fmt.Errorf("lab name %q: want at most 20 of a-z, 0-9 and -, starting with a letter", name)
	}
	return nil
}

func checkHostName(name string) error {
	if !hostNamePattern.MatchString(name) || slices.Contains([]string{bridgeName, "lo", "switch"}, name) {
		return fmt.Errorf("host name %q: want at most 15 of a-z, 0-9 and -, starting with a letter, and not %s, lo or switch", name, bridgeName)
	}
	return nil
}

// names lists every lab of which anything is left: its disks, its run directory or its control groups.
func (l Layout) names() ([]string, error) {
	found := map[string]bool{}
	dirs, err := filepath.Glob(filepath.Join(l.StateDir, "*", "lab.json"))
	if err != nil {
		return nil, fmt.Errorf("list labs: %w", err)
	}
	for _, path := range dirs {
		found[filepath.Base(filepath.Dir(path))] = true
	}
	roots := []string{l.RunDir}
	if tree, err := hierarchy.Detect(); err == nil {
		roots = append(roots, tree.Group(l.Cgroup).Dirs()...)
	}
	for _, root := range roots {
		entries, err := os.ReadDir(root)
		if err != nil {
			continue // nothing was ever there
		}
		for _, entry := range entries {
			if entry.IsDir() && labNamePattern.MatchString(entry.Name()) {
				found[entry.Name()] = true
			}
		}
	}
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}
