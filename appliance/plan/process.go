package plan

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// Process is a process of this machine that cannot be mistaken for a later one with the same number.
type Process struct {
	PID   int    `json:"pid"`
	Start string `json:"start"` // in clock ticks since the boot, as the kernel says it
	Boot  string `json:"boot"`
}

// thisProcess is the one that runs this. What is not readable stays empty, and is compared with the same emptiness.
func thisProcess() Process {
	pid := os.Getpid()
	return Process{PID: pid, Start: startOf(pid), Boot: boot()}
}

// Alive says whether the process still runs.
func (p Process) Alive() bool {
	return p.PID > 0 && p.Boot == boot() && p.Start != "" && p.Start == startOf(p.PID)
}

// startOf is field 22 of proc_pid_stat(5). The second field is a name in parentheses that may have spaces in it.
func startOf(pid int) string {
	const start = 22 - 3 // the first field behind the name is the third
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) <= start || fields[0] == "Z" {
		return ""
	}
	return fields[start]
}

func boot() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
