// Package metric measures a machine as a whole, and keeps a bounded history of it in memory.
package metric

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Sample is what a machine used at one time.
type Sample struct {
	At          time.Time `json:"at"`
	CPU         float64   `json:"cpu"`  // share of all processors that was busy since the sample before, 0 to 1
	Load        float64   `json:"load"` // processes that ran or waited to, over the last minute
	Processors  int       `json:"processors"`
	MemoryUsed  int64     `json:"memoryUsed"` // bytes that cannot be had by others
	MemoryTotal int64     `json:"memoryTotal"`
	DiskUsed    int64     `json:"diskUsed"` // of the filesystem of the state directory
	DiskTotal   int64     `json:"diskTotal"`
}

// Memory is the share of the memory that is used, 0 to 1.
func (s Sample) Memory() float64 { return share(s.MemoryUsed, s.MemoryTotal) }

// Disk is the share of the disk that is used, 0 to 1.
func (s Sample) Disk() float64 { return share(s.DiskUsed, s.DiskTotal) }

func share(part, of int64) float64 {
	if of <= 0 {
		return 0
	}
	return float64(part) / float64(of)
}

// Meter reads samples. It belongs to one goroutine.
type Meter struct {
	proc, disk  string
	busy, total uint64 // processor time at the last sample
}

// NewMeter returns a meter of this machine and of the filesystem that dir is on.
func NewMeter(dir string) *Meter { return &Meter{proc: "/proc", disk: dir} }

// Read takes a sample. The share of the processors in the first one is that since the machine started.
func (m *Meter) Read(now time.Time) (Sample, error) {
	s := Sample{At: now.UTC(), Processors: runtime.NumCPU()}
	for _, read := range []func(*Sample) error{m.readProcessor, m.readLoad, m.readMemory, m.readDisk} {
		if err := read(&s); err != nil {
			return s, fmt.Errorf("measure the machine: %w", err)
		}
	}
	return s, nil
}

// readProcessor adds up the first line of /proc/stat, which proc(5) explains: what is idle or waits for a disk is not busy.
func (m *Meter) readProcessor(s *Sample) error {
	content, err := os.ReadFile(filepath.Join(m.proc, "stat"))
	if err != nil {
		return err
	}
	line, _, _ := strings.Cut(string(content), "\n")
	fields := strings.Fields(line)
	if len(fields) < 5 || fields[0] != "cpu" {
		return fmt.Errorf("stat begins with %q", line)
	}
	var idle, total uint64
	for i, f := range fields[1:min(len(fields), 9)] { // time of guests is in that of users already
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return err
		}
		total += n
		if i == 3 || i == 4 {
			idle += n
		}
	}
	busy := total - idle
	if total > m.total && busy >= m.busy {
		s.CPU = float64(busy-m.busy) / float64(total-m.total)
	}
	m.busy, m.total = busy, total
	return nil
}

func (m *Meter) readLoad(s *Sample) error {
	content, err := os.ReadFile(filepath.Join(m.proc, "loadavg"))
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(content), " ")
	s.Load, err = strconv.ParseFloat(first, 64)
	return err
}

func (m *Meter) readMemory(s *Sample) error {
	content, err := os.ReadFile(filepath.Join(m.proc, "meminfo"))
	if err != nil {
		return err
	}
	var available int64
	for line := range bytes.Lines(content) {
		name, rest, _ := strings.Cut(string(line), ":")
		fields := strings.Fields(rest)
		if len(fields) == 0 || name != "MemTotal" && name != "MemAvailable" {
			continue
		}
		kib, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			return err
		}
		if name == "MemTotal" {
			s.MemoryTotal = kib << 10
		} else {
			available = kib << 10
		}
	}
	s.MemoryUsed = s.MemoryTotal - available
	return nil
}

// readDisk counts what root may not write as used, as df(1) does for the share.
func (m *Meter) readDisk(s *Sample) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(m.disk, &fs); err != nil {
		return &os.PathError{Op: "statfs", Path: m.disk, Err: err}
	}
	used := int64(fs.Blocks-fs.Bfree) * fs.Bsize
	s.DiskUsed, s.DiskTotal = used, used+int64(fs.Bavail)*fs.Bsize
	return nil
}
