package preflight

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"islet/appliance/host"
)

// PlatformBytes is what engines, images and their unpacked layers were measured to take, rounded up.
const PlatformBytes = 3 * gibibyte

// diskChecks look at the filesystem that the state directory is or will be on.
func diskChecks(in Input) []Check {
	return diskChecksWith(in, judgeBytes(int64(in.Config.Kubelet.Eviction.Disk), int64(in.Config.Storage.MinFree)))
}

func diskChecksWith(in Input, judgeFree func(space) verdict) []Check {
	dir := host.Existing(in.Layout.StateDir)
	return []Check{
		check[space]{id: "disk-bytes", title: "Free disk space", probe: statSpace(dir), judge: judgeFree},
		check[space]{id: "disk-inodes", title: "Free inodes", probe: statSpace(dir), judge: judgeInodes(in.Config.Kubelet.Eviction.InodesPercent)},
		check[host.Mount]{id: "disk-mount", title: "Mount options of the state directory", probe: mountOf(dir), judge: judgeMount},
		check[time.Duration]{id: "disk-fsync", title: "Time to make a write safe", probe: measureFsync(dir), judge: judgeFsync},
		check[trial]{id: "disk-overlay", title: "Overlay filesystem on the state directory", probe: tryOverlay(dir), judge: judgeOverlay},
		check[trial]{id: "disk-exec", title: "Running a program from the state directory", probe: tryExec(dir), judge: judgeExec},
	}
}

// space is what is free on a filesystem.
type space struct {
	dir        string
	freeBytes  int64
	inodes     uint64 // 0: the filesystem has no fixed number, as btrfs
	freeInodes uint64
}

func statSpace(dir string) func(context.Context) (space, error) {
	return func(context.Context) (space, error) {
		var stat unix.Statfs_t
		if err := unix.Statfs(dir, &stat); err != nil {
			return space{}, fmt.Errorf("look at the filesystem of %s: %w", dir, err)
		}
		return space{dir: dir, freeBytes: int64(stat.Bavail) * stat.Bsize, inodes: stat.Files, freeInodes: stat.Ffree}, nil
	}
}

// judgeBytes adds what the platform takes to what must stay free, so that a fresh node does not
// start by evicting its own pods.
func judgeBytes(eviction, minFree int64) func(space) verdict {
	return judgeFree(PlatformBytes+eviction, PlatformBytes+max(eviction, minFree)+8*gibibyte)
}

func judgeFree(least, good int64) func(space) verdict {
	return func(s space) verdict {
		v := verdict{
			status: limits{fail: float64(least), warn: float64(good)}.judge(float64(s.freeBytes)),
			found:  sizeText(s.freeBytes) + " in " + s.dir, value: float64(s.freeBytes), unit: "bytes",
			threshold: sizeText(good) + " or more, " + sizeText(least) + " at least",
		}
		v.advice = unless(v.status, "free space, mount a larger disk there, or set paths.stateDir to one")
		return v
	}
}

func judgeInodes(evictionPercent int) func(space) verdict {
	return func(s space) verdict {
		if s.inodes == 0 {
			return verdict{status: Passed, found: "no fixed number in " + s.dir}
		}
		v := verdict{
			status: limits{fail: 100_000, warn: 500_000}.judge(float64(s.freeInodes)),
			found:  fmt.Sprintf("%d in %s", s.freeInodes, s.dir), value: float64(s.freeInodes), unit: "count",
			threshold: "500000 or more, 100000 at least",
		}
		if 100*s.freeInodes <= uint64(evictionPercent)*s.inodes {
			v.status = Failed
			v.threshold = fmt.Sprintf("more than %d%% free (kubelet.eviction.inodesPercent)", evictionPercent)
		}
		v.advice = unless(v.status, "delete directories of many small files, or make the filesystem with more inodes (mkfs.ext4 -i 8192)")
		return v
	}
}

func mountOf(dir string) func(context.Context) (host.Mount, error) {
	return func(context.Context) (host.Mount, error) {
		mounts, err := host.Mounts("/")
		if err != nil {
			return host.Mount{}, err
		}
		mount, found := host.MountOf(mounts, dir)
		if !found {
			return host.Mount{}, fmt.Errorf("no mount holds %s", dir)
		}
		return mount, nil
	}
}

func judgeMount(m host.Mount) verdict {
	v := verdict{status: Passed, found: m.Point + " (" + m.Type + ")", threshold: "a local filesystem, writable, without noexec and nosuid"}
	remount := func(option string) string {
		return "mount -o remount," + option + " " + m.Point + ", and correct /etc/fstab"
	}
	switch {
	case m.Has("ro"):
		v.status, v.found, v.advice = Failed, v.found+" is read-only", remount("rw")
	case m.Has("noexec"):
		v.status, v.found, v.advice = Failed, v.found+" is mounted noexec", remount("exec")+"; or set paths.stateDir to another filesystem"
	case m.Type == "tmpfs" || m.Type == "ramfs":
		v.status, v.found, v.advice = Failed, v.found+" is lost at a reboot", "set paths.stateDir to a directory on a disk"
	case m.Type == "nfs" || m.Type == "nfs4" || m.Type == "cifs" || m.Type == "9p":
		v.status, v.found, v.advice = Failed, v.found+" is a network filesystem", "set paths.stateDir to a local disk: the datastore and images need one"
	case m.Has("nosuid"):
		v.status, v.found, v.advice = Warned, v.found+" is mounted nosuid", "programs in containers that change user may fail: "+remount("suid")
	}
	return v
}
