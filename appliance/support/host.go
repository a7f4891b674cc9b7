package support

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"islet/appliance/host"
	"islet/appliance/layout"
)

// JSON is a source that tells a value.
func JSON(name string, value func(ctx context.Context) (any, error)) Source {
	return Source{name, func(ctx context.Context, w io.Writer) error {
		v, err := value(ctx)
		if err != nil {
			return err
		}
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(v)
	}}
}

// File is a source that tells a file.
func file(name, path string) Source {
	return Source{name, func(_ context.Context, w io.Writer) error {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", path, ErrNotHere)
		}
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, io.LimitReader(f, maxSource))
		return err
	}}
}

// command is a source that tells what a program says: one of the node's own engines, else one of the machine.
func command(l layout.Layout, name string, argv ...string) Source {
	return Source{name, func(ctx context.Context, w io.Writer) error {
		program := filepath.Join(l.Bin(), argv[0])
		if _, err := os.Stat(program); err != nil {
			if program, err = exec.LookPath(argv[0]); err != nil {
				return fmt.Errorf("%s: %w", argv[0], ErrNotHere)
			}
		}
		return run(ctx, w, program, argv[1:], nil)
	}}
}

// run gives a program's output to w, and its complaints with the error.
func run(ctx context.Context, w io.Writer, program string, args, environ []string) error {
	var complaints strings.Builder
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "LC_") || strings.HasPrefix(s, "LANG") }), append(environ, "LC_ALL=C")...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = w, &complaints, time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %.400s", strings.Join(append([]string{filepath.Base(program)}, args...), " "), err, strings.TrimSpace(complaints.String()))
	}
	return nil
}

// Host are the sources that need nothing of the platform. root is the root of the machine's files, "/" but in tests.
func Host(l layout.Layout, root string, since time.Time) []Source {
	at := func(path string) string { return filepath.Join(root, path) }
	hours := fmt.Sprintf("--since=@%d", since.Unix())
	return slices.Concat([]Source{
		JSON("host/facts.json", func(ctx context.Context) (any, error) {
			facts, err := host.Gather(ctx)
			if facts.Hostname != "" {
				err = nil // what could not be read is zero
			}
			return facts, err
		}),
		file("host/os-release", at("etc/os-release")),
		{"host/kernel", kernel},
		{"host/time", clock},
		file("host/cmdline", at("proc/cmdline")),
		file("host/uptime", at("proc/uptime")),
		file("host/loadavg", at("proc/loadavg")),
		file("host/meminfo", at("proc/meminfo")),
		file("host/pressure-cpu", at("proc/pressure/cpu")),
		file("host/pressure-io", at("proc/pressure/io")),
		file("host/pressure-memory", at("proc/pressure/memory")),
		file("host/modules", at("proc/modules")),
		file("host/mounts", at("proc/self/mountinfo")),
		file("host/diskstats", at("proc/diskstats")),
		{"host/disk", diskUse(l)},
		{"host/processes", processes(root)},
		file("network/devices", at("proc/net/dev")),
		file("network/snmp", at("proc/net/snmp")),
		file("network/netstat", at("proc/net/netstat")),
		file("network/resolv.conf", at("etc/resolv.conf")),
		file("network/hosts", at("etc/hosts")),
		command(l, "network/links", "ip", "-details", "-statistics", "link"),
		command(l, "network/addresses", "ip", "address"),
		command(l, "network/routes", "ip", "route", "show", "table", "all"),
		command(l, "network/rules", "ip", "rule"),
		command(l, "network/neighbours", "ip", "neighbour"),
		command(l, "network/nftables", "nft", "list", "ruleset"),
		command(l, "network/sockets", "ss", "-tuanpH"),
		{"host/dmesg", dmesg},
		command(l, "host/journal", "journalctl", "--unit=appliance", "--no-pager", "--output=short-iso-precise", hours, "--lines=50000"),
		command(l, "host/journal-kernel", "journalctl", "--dmesg", "--no-pager", "--output=short-iso-precise", hours, "--lines=20000"),
		command(l, "host/unit", "systemctl", "status", "--no-pager", "--lines=0", "appliance"),
	}, installed(l))
}

// installed is what the node has written about itself. Keys, kubeconfigs and passwords are not among it.
func installed(l layout.Layout) []Source {
	sources := []Source{
		file("node/config.yaml", l.Config()),
		file("node/servers.json", l.Servers()),
		file("node/network.json", l.NetworkEnv()),
		{"node/files", listing(l.StateDir, l.RunDir, l.EtcDir, l.CNIDir)},
	}
	for _, dir := range []string{l.Journal(), l.CNIDir} {
		sources = append(sources, folder("node/"+filepath.Base(dir), dir, nil)...)
	}
	return append(sources, folder("node/generated", l.Generated(), func(path string) bool {
		return !strings.HasPrefix(path, "kubeconfig") && !strings.HasSuffix(path, "users.json") && !strings.HasSuffix(path, "encryption.yaml")
	})...)
}

// folder is a source for each file below dir that keep wants.
func folder(name, dir string, keep func(path string) bool) []Source {
	var sources []Source
	for _, l := range FindLogs(dir, name, time.Time{}, keep) {
		sources = append(sources, file(l.Name, l.Path))
	}
	return sources
}

func kernel(_ context.Context, w io.Writer) error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s %s %s\n", unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Version[:]), unix.ByteSliceToString(u.Machine[:]))
	return err
}

// clock tells the time and what the kernel thinks of it, by adjtimex(2).
func clock(_ context.Context, w io.Writer) error {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return err
	}
	now := time.Now()
	_, err = fmt.Fprintf(w, "%s\nUTC %s\nstate %d, status %#x, offset %d, frequency %d, largest error %d us\n", now.Format(time.RFC3339Nano), now.UTC().Format(time.RFC3339Nano), state, t.Status, t.Offset, t.Freq, t.Maxerror)
	return err
}

// dmesg reads the kernel's ring by syslog(2).
func dmesg(_ context.Context, w io.Writer) error {
	const sizeBuffer, readAll = 10, 3
	size, err := unix.Klogctl(sizeBuffer, nil)
	if err != nil {
		return fmt.Errorf("read the kernel's messages: %w", err)
	}
	b := make([]byte, size)
	n, err := unix.Klogctl(readAll, b)
	if err != nil {
		return fmt.Errorf("read the kernel's messages: %w", err)
	}
	_, err = w.Write(b[:n])
	return err
}

// diskUse tells what is free where the node keeps its files, and what takes the room.
func diskUse(l layout.Layout) func(context.Context, io.Writer) error {
	return func(ctx context.Context, w io.Writer) error {
		for _, dir := range []string{"/", l.StateDir, l.RunDir, l.EtcDir} {
			var s unix.Statfs_t
			if err := unix.Statfs(dir, &s); err != nil {
				fmt.Fprintf(w, "%s: %v\n", dir, err)
				continue
			}
			fmt.Fprintf(w, "%s: %d of %d MiB free, %d of %d inodes free\n", dir, int64(s.Bavail)*s.Bsize>>20, int64(s.Blocks)*s.Bsize>>20, s.Ffree, s.Files)
		}
		entries, err := os.ReadDir(l.StateDir)
		if err != nil {
			return err
		}
		fmt.Fprintln(w)
		for _, e := range entries {
			bytes, files, err := use(ctx, filepath.Join(l.StateDir, e.Name()))
			fmt.Fprintf(w, "%10d MiB %8d files  %s\n", bytes>>20, files, e.Name())
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// use adds up the blocks of all files below path, without other filesystems.
func use(ctx context.Context, path string) (bytes, files int64, err error) {
	var top unix.Stat_t
	if err := unix.Lstat(path, &top); err != nil {
		return 0, 0, nil //nolint:nilerr // it is gone
	}
	err = filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var s unix.Stat_t
		switch {
		case err != nil || unix.Lstat(path, &s) != nil: // it is gone
		case s.Dev != top.Dev && entry.IsDir():
			return filepath.SkipDir
		default:
			bytes, files = bytes+s.Blocks*512, files+1
		}
		return nil //nolint:nilerr // what is gone takes no room
	})
	return bytes, files, err
}

const mostListed = 20000

// listing tells the names, sizes and times of files, not their content.
func listing(dirs ...string) func(context.Context, io.Writer) error {
	return func(ctx context.Context, w io.Writer) error {
		for _, dir := range dirs {
			left := mostListed
			err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if left--; left < 0 {
					return filepath.SkipAll
				}
				if err != nil {
					fmt.Fprintf(w, "%s: %v\n", path, err)
					return nil
				}
				if info, err := entry.Info(); err == nil {
					fmt.Fprintf(w, "%s %12d %s %s\n", info.Mode(), info.Size(), info.ModTime().UTC().Format(time.RFC3339), path)
				}
				if entry.IsDir() && deep(path) {
					return filepath.SkipDir
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// deep says whether a folder holds thousands of files that say nothing about the node.
func deep(path string) bool {
	return slices.Contains([]string{"blobs", "snapshots", "pods", "cache", "sha256", "sets"}, filepath.Base(path)) || strings.HasPrefix(filepath.Base(path), "io.containerd.")
}

// processes tells of every process what ps(1) would: a machine without it has them, too.
func processes(root string) func(context.Context, io.Writer) error {
	return func(ctx context.Context, w io.Writer) error {
		entries, err := os.ReadDir(filepath.Join(root, "proc"))
		if err != nil {
			return err
		}
		fmt.Fprintln(w, "PID STATUS COMMAND")
		for _, e := range entries {
			if _, err := strconv.Atoi(e.Name()); err != nil || ctx.Err() != nil {
				continue
			}
			dir := filepath.Join(root, "proc", e.Name())
			status, err := os.ReadFile(filepath.Join(dir, "status"))
			if err != nil {
				continue // it has ended
			}
			line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
			var parts []string
			for field := range strings.Lines(string(status)) {
				if name, value, _ := strings.Cut(field, ":"); slices.Contains([]string{"Name", "State", "PPid", "VmRSS", "Threads"}, name) {
					parts = append(parts, name+"="+strings.Join(strings.Fields(value), " "))
				}
			}
			fmt.Fprintf(w, "%s %s %s\n", e.Name(), strings.Join(parts, " "), strings.ReplaceAll(strings.TrimRight(string(line), "\x00"), "\x00", " "))
		}
		return ctx.Err()
	}
}
