package host

import (
	"context"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Volume is a filesystem of this machine that could hold what a node keeps.
type Volume struct {
	Mount
	FreeBytes, TotalBytes int64
	// Sync is what making a write of 8 KiB safe takes, the longest of a few; 0 where it could not be measured.
	Sync time.Duration
}

// localTypes are the filesystems on disks of the machine itself that overlays and a datastore work on. The root of a lab host
// is an overlay.
var localTypes = []string{"ext4", "xfs", "btrfs", "ext3", "ext2", "f2fs", "overlay"}

// maxVolumes bounds what is measured, and maxSync the time that takes for each.
const (
	maxVolumes = 6
	maxSync    = 150 * time.Millisecond
	syncWrites = 8
)

// Volumes lists them, the one that holds dir first and then the one with the most room. Each is written to, in a file that has
// no name and is gone at once.
func Volumes(ctx context.Context, dir string) ([]Volume, error) {
	mounts, err := Mounts("/")
	if err != nil {
		return nil, err
	}
	home, _ := MountOf(mounts, dir)
	seen := map[uint64]bool{}
	var all []Volume
	for _, m := range slices.Backward(mounts) { // of several at one point the last is the one to be seen
		v, device, ok := look(m)
		if ok && !seen[device] {
			seen[device] = true
			all = append(all, v)
		}
	}
	slices.SortStableFunc(all, func(a, b Volume) int {
		switch {
		case a.Point == home.Point:
			return -1
		case b.Point == home.Point:
			return 1
		}
		return int((b.FreeBytes - a.FreeBytes) >> 20)
	})
	all = all[:min(len(all), maxVolumes)]
	for i := range all {
		all[i].Sync = measure(ctx, all[i].Point)
	}
	return all, ctx.Err()
}

// look says whether a mount is a candidate, and which device it is of: one that is mounted twice is one.
func look(m Mount) (Volume, uint64, bool) {
	if !slices.Contains(localTypes, m.Type) || m.Has("ro") || m.Has("noexec") || under(m.Point, "/boot") {
		return Volume{}, 0, false
	}
	var space unix.Statfs_t
	var stat unix.Stat_t
	if unix.Statfs(m.Point, &space) != nil || unix.Stat(m.Point, &stat) != nil || stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		return Volume{}, 0, false
	}
	return Volume{Mount: m, FreeBytes: int64(space.Bavail) * space.Bsize, TotalBytes: int64(space.Blocks) * space.Bsize}, stat.Dev, true
}

// measure returns 0 where the filesystem takes no file without a name.
func measure(ctx context.Context, dir string) time.Duration {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return 0
	}
	file := os.NewFile(uintptr(fd), dir)
	defer file.Close()
	page, longest := make([]byte, 8<<10), time.Duration(0)
	begun := time.Now()
	for range syncWrites {
		started := time.Now()
		if _, err := file.Write(page); err != nil || unix.Fdatasync(fd) != nil {
			return 0
		}
		longest = max(longest, time.Since(started))
		if ctx.Err() != nil || time.Since(begun) > maxSync {
			break
		}
	}
	return longest
}
