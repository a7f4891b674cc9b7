package reset

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Mount is a mounted file system.
type Mount struct {
	Point  string `json:"point"`
	Type   string `json:"type"`
	Source string `json:"source"`
}

// mountEscapes are the octal escapes that the kernel writes in paths (mangle in fs/proc_namespace.c).
var mountEscapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// observeMounts lists mounts in the order in which they were made.
func observeMounts() ([]Mount, error) {
	file, err := os.Open("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var mounts []Mount
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20) // an overlay of many layers makes a long line
	for lines.Scan() {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if len(left) < 5 || len(right) < 2 {
			return nil, fmt.Errorf("mountinfo: %q", lines.Text())
		}
		mounts = append(mounts, Mount{Point: mountEscapes.Replace(left[4]), Type: right[0], Source: mountEscapes.Replace(right[1])})
	}
	return mounts, lines.Err()
}

// ours says whether the platform mounted m: in places where nobody else has a reason to. A disk that
// an administrator gave a part of the state directory, or a volume, is not ours.
func (t Target) ours(m Mount) bool {
	l := t.Layout
	for _, dir := range []string{l.RunDir, l.Kubelet(), l.Containerd(), l.Tmp()} {
		if under(m.Point, dir) {
			return true
		}
	}
	return m.Type == "nsfs" && isPodNamespace(m.Point)
}

// isPodNamespace tells the name that containerd gives to the network namespace of a pod.
func isPodNamespace(path string) bool {
	return filepath.Dir(path) == netnsDir && strings.HasPrefix(filepath.Base(path), "cni-")
}

func (p past) hadMount(m Mount) bool {
	return slices.ContainsFunc(p.Mounts, func(b Mount) bool { return b.Point == m.Point })
}

// planMounts unmounts the newest first: what is mounted over or in something goes before it.
func (b builder) planMounts() {
	for _, m := range slices.Backward(b.now.Mounts) {
		switch {
		case b.past.hadMount(m):
		case b.target.ours(m) && m.Type == "nsfs" && isPodNamespace(m.Point):
			b.step(phaseUndo, KindNamespace, m.Point, "network namespace of a pod", func(context.Context) error { return removeNamespace(m.Point) })
		case b.target.ours(m):
			b.step(phaseUndo, KindMount, m.Point, "unmount "+m.Type, func(context.Context) error { return unmount(m.Point) })
		case b.foreign(m):
			b.keep(m.Point, fmt.Sprintf("a file system (%s of %s) that the appliance did not mount", m.Type, m.Source))
		}
	}
}

// foreign says whether m is somebody else's in a place of ours.
func (b builder) foreign(m Mount) bool {
	return slices.ContainsFunc(b.target.roots(), func(root string) bool { return under(m.Point, root) })
}

// unmount lets go of a busy mount lazily: nothing can be reached through its path any more, and it
// ends with its last user.
func unmount(point string) error {
	err := unix.Unmount(point, unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EBUSY) {
		err = unix.Unmount(point, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil // it is not mounted any more
	}
	return err
}

// removeNamespace removes a named network namespace, with the devices in it, if nothing runs there.
func removeNamespace(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	used, err := usersOf(info)
	if err != nil {
		return err
	}
	if len(used) > 0 {
		return fmt.Errorf("processes %v still run in it", used)
	}
	if err := unmount(path); err != nil {
		return err
	}
	return os.Remove(path)
}

// usersOf lists the processes in a network namespace.
func usersOf(namespace os.FileInfo) ([]string, error) {
	links, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return nil, err
	}
	var pids []string
	for _, link := range links {
		if info, err := os.Stat(link); err == nil && os.SameFile(info, namespace) {
			pids = append(pids, strings.Split(link, "/")[2])
		}
	}
	return pids, nil
}
