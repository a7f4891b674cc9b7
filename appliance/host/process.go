package host

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Process is a program running on the machine.
type Process struct {
	PID    int
	Parent int    // 0 when unknown
	Name   string // comm: at most 15 bytes
	Exe    string // path of its executable, empty for kernel threads and without the right to ask
}

// Processes lists the programs that share this process's network namespace. Programs in other namespaces (containers, lab hosts) hold none of our ports and
// interfaces, so they are nobody's conflict.
func Processes(root string) ([]Process, error) {
	entries, err := os.ReadDir(filepath.Join(root, "proc"))
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	ours, err := os.Readlink(filepath.Join(root, "proc/self/ns/net"))
	if err != nil {
		return nil, fmt.Errorf("find the network namespace of this process: %w", err)
	}
	var list []Process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		dir := filepath.Join(root, "proc", entry.Name())
		if theirs, err := os.Readlink(filepath.Join(dir, "ns/net")); err != nil || theirs != ours {
			continue
		}
		list = append(list, readProcess(pid, dir))
	}
	return list, nil
}

// readProcess reads what it may; a process can end at any point of it.
func readProcess(pid int, dir string) Process {
	p := Process{PID: pid}
	if comm, err := os.ReadFile(filepath.Join(dir, "comm")); err == nil {
		p.Name = strings.TrimSpace(string(comm))
	}
	if exe, err := os.Readlink(filepath.Join(dir, "exe")); err == nil {
		p.Exe = strings.TrimSuffix(exe, " (deleted)")
	}
	if stat, err := os.ReadFile(filepath.Join(dir, "stat")); err == nil {
		p.Parent = parentIn(string(stat))
	}
	return p
}

// parentIn finds the parent in "42 (name) S 1 ...", whose name may hold blanks and parentheses.
func parentIn(stat string) int {
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	if len(fields) < 2 {
		return 0
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return parent
}

// Ancestry is the process and its parents, as far as they are in the list, itself first.
func (p Process) Ancestry(list []Process) []Process {
	line := []Process{p}
	for len(line) <= len(list) {
		parent := slices.IndexFunc(list, func(q Process) bool { return q.PID == line[len(line)-1].Parent })
		if parent < 0 {
			break
		}
		line = append(line, list[parent])
	}
	return line
}
