package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Gather looks at the machine once; it takes some tens of milliseconds, most of them for the trial
// of kernel features. What could not be read is left zero (or Unknown) and named in the error, so
// the facts are usable even with an error.
func Gather(ctx context.Context) (Facts, error) {
	f, errs := gatherFiles("/")
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	var err error
	f.UID = os.Geteuid()
	f.Hostname, err = os.Hostname()
	add(err)
	f.CPUs, err = schedulableCPUs()
	add(err)
	f.OpenFiles, err = openFileLimit()
	add(err)
	f.Interfaces, err = readInterfaces("/")
	add(err)
	f.DefaultRoute, err = readDefaultRoute()
	add(err)
	config, err := readKernelConfig("/", f.Kernel.Release)
	add(err)
	f.Features, err = probeFeatures(ctx, "/", config)
	add(err)
	return f, errors.Join(errs...)
}

// gatherFiles reads the facts that are plain files below root.
func gatherFiles(root string) (Facts, []error) {
	var f Facts
	var errs []error
	add := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("look at %s: %w", what, err))
		}
	}
	var err error
	f.Kernel, err = readKernel(root)
	add("the kernel", err)
	memory, err := readTable(filepath.Join(root, "proc/meminfo"), ":")
	add("memory", err)
	f.MemoryBytes = kibibytes(memory["MemTotal"])
	f.AvailableBytes = kibibytes(memory["MemAvailable"])
	f.SwapBytes = kibibytes(memory["SwapTotal"])
	mounts, err := Mounts(root)
	add("mounts", err)
	f.Cgroup, err = readCgroup(root, mounts)
	add("control groups", err)
	status, err := readTable(filepath.Join(root, "proc/self/status"), ":")
	add("capabilities", err)
	f.Capabilities, err = parseCapabilities(status)
	add("capabilities", err)
	release, err := readTable(filepath.Join(root, "etc/os-release"), "=")
	if err == nil {
		f.OS = strings.Trim(release["PRETTY_NAME"], `"'`)
	}
	f.Virtualization = readVirtualization(root)
	if lsm, err := os.ReadFile(filepath.Join(root, "sys/kernel/security/lsm")); err == nil {
		f.LSM = strings.Split(strings.TrimSpace(string(lsm)), ",")
	}
	return f, errs
}

// readTable reads lines of key, separator, value.
func readTable(path, separator string) (map[string]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	table := map[string]string{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if key, value, found := strings.Cut(lines.Text(), separator); found {
			table[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return table, lines.Err()
}

// kibibytes reads a value of /proc/meminfo, "25165824 kB", whose kB are 1024 bytes.
func kibibytes(value string) int64 {
	n, err := strconv.ParseInt(strings.TrimSuffix(value, " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return n * 1024
}

func schedulableCPUs() (int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return 0, fmt.Errorf("count CPUs: %w", err)
	}
	return set.Count(), nil
}

// openFileLimit is the hard limit: the daemon raises its soft limit to it.
func openFileLimit() (uint64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("read the open file limit: %w", err)
	}
	return limit.Max, nil
}
