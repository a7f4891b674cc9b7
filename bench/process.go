package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"islet/appliance/lab"
)

// kind says on whose account a process goes.
type kind int

const (
	kindHost kind = iota // the daemon and its engines
	kindShim
	kindPod
	kindOther // the lab's own
)

// process is one process and what it uses: MiB of memory, seconds of processor time.
type process struct {
	pid               int
	name              string
	kind              kind
	pss, private, cpu float64
}

type processes []process

func (l processes) sum(k kind) process {
	var total process
	for _, p := range l {
		if p.kind == k {
			total.pss, total.private, total.cpu = total.pss+p.pss, total.private+p.private, total.cpu+p.cpu
		}
	}
	return total
}

// each calls do for every process of a kind, in the order of their names.
func (l processes) each(k kind, do func(process)) {
	for _, p := range slices.SortedFunc(slices.Values(l), func(a, b process) int { return strings.Compare(a.name, b.name) }) {
		if p.kind == k {
			do(p)
		}
	}
}

func (l processes) byPID() map[int]process {
	out := map[int]process{}
	for _, p := range l {
		out[p.pid] = p
	}
	return out
}

// processesOf reads /proc of every process of a host.
func processesOf(host *lab.Host) (processes, error) {
	pids, err := host.Processes()
	if err != nil {
		return nil, err
	}
	var out processes
	for _, pid := range pids {
		p, err := readProcess(pid)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func readProcess(pid int) (process, error) {
	dir := fmt.Sprintf("/proc/%d", pid)
	cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return process{}, err
	}
	args := strings.Split(string(bytes.TrimRight(cmdline, "\x00")), "\x00")
	cgroup, err := os.ReadFile(filepath.Join(dir, "cgroup"))
	if err != nil {
		return process{}, err
	}
	p := process{pid: pid, name: filepath.Base(args[0])}
	switch {
	case strings.Contains(string(cgroup), "kubepods"):
		p.kind = kindPod
	case p.name == "containerd-shim-runc-v2":
		p.kind = kindShim
	case strings.Contains(args[0], "/engines/") || len(args) > 1 && p.name == "appliance" && args[1] == "server":
		p.kind = kindHost
	default:
		p.kind = kindOther
	}
	smaps, err := os.ReadFile(filepath.Join(dir, "smaps_rollup"))
	if err != nil {
		return p, err
	}
	for line := range strings.Lines(string(smaps)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, err := strconv.ParseFloat(fields[1], 64)
		switch {
		case err != nil:
		case fields[0] == "Pss:":
			p.pss += kib / 1024
		case strings.HasPrefix(fields[0], "Private_") && fields[0] != "Private_Hugetlb:":
			p.private += kib / 1024
		}
	}
	p.cpu, err = cpuSeconds(dir)
	return p, err
}

// cpuSeconds reads user and system time; the fields are counted from behind the name, which may hold
// anything (proc(5)).
func cpuSeconds(dir string) (float64, error) {
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const ticksPerSecond = 100 // USER_HZ is 100 on every architecture that Go supports
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	return (user + system) / ticksPerSecond, errors.Join(err1, err2)
}
