package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// reservePercent of the disk is never promised to volumes: the node needs room for itself, and a full disk stops it.
const reservePercent = 10

// sizeAttribute keeps the promised size with the volume's directory, for the sum here and for quotas.
const sizeAttribute = "user.islet.size"

var (
	errPath = errors.New("is no path of a volume")
	errMode = errors.New("only volumes of mode Filesystem can be made of directories")
	errFull = errors.New("not enough room on this node")
)

// volume is the request. The provisioner names the directory pvc-UID_NAMESPACE_CLAIM.
type volume struct {
	path string
	size int64 // bytes
	mode string
}

// space of a file system, in bytes.
type space struct{ total, free int64 }

// measurer tells how much room there is where a directory is.
type measurer interface {
	space(dir string) (space, error)
}

// disk measures; tests measure otherwise.
type disk struct{}

func (disk) space(dir string) (space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return space{}, err
	}
	return space{total: int64(s.Blocks) * s.Bsize, free: int64(s.Bavail) * s.Bsize}, nil
}

// check keeps a wrong path from doing harm: this runs as root on the host's directory.
func (v volume) check() error {
	if filepath.Clean(v.path) != v.path || !filepath.IsAbs(v.path) ||
		filepath.Dir(v.path) == "/" || !strings.HasPrefix(filepath.Base(v.path), "pvc-") {
		return fmt.Errorf("%q: %w", v.path, errPath)
	}
	return nil
}

// create makes the directory if there is room for what all volumes were promised. It may be repeated.
func (v volume) create(measure measurer) error {
	if err := v.check(); err != nil {
		return err
	}
	if v.mode != "Filesystem" {
		return fmt.Errorf("%s: %w", v.mode, errMode)
	}
	parent := filepath.Dir(v.path)
	has, err := measure.space(parent)
	if err != nil {
		return fmt.Errorf("measure %s: %w", parent, err)
	}
	promised, err := v.promisedToOthers()
	if err != nil {
		return err
	}
	reserve := has.total / 100 * reservePercent
	room := min(has.free-reserve, has.total-reserve-promised)
	if v.size > room {
		return fmt.Errorf("%w: the claim asks for %d MiB; %s has %d MiB free and %d MiB promised to other volumes of %d MiB, of which %d %% stay free; ask for less, remove volumes, or add a disk",
			errFull, v.size>>20, parent, has.free>>20, promised>>20, has.total>>20, reservePercent)
	}
	// Any user of the pod may write, as with the provisioner's own scripts: the pod's user is not known here.
	if err := os.Mkdir(v.path, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Chmod(v.path, 0o777); err != nil { // Mkdir obeys the umask
		return err
	}
	return v.note()
}

// note records the promised size. A file system without attributes has none; the free space still counts.
func (v volume) note() error {
	err := unix.Setxattr(v.path, sizeAttribute, []byte(strconv.FormatInt(v.size, 10)), 0)
	if err != nil && !errors.Is(err, unix.ENOTSUP) {
		return fmt.Errorf("note the size of %s: %w", v.path, err)
	}
	return nil
}

// promisedToOthers adds up the sizes of the volumes beside this one.
func (v volume) promisedToOthers() (int64, error) {
	parent := filepath.Dir(v.path)
	entries, err := os.ReadDir(parent)
	if err != nil {
		return 0, err
	}
	var total int64
	for _, entry := range entries {
		if entry.Name() == filepath.Base(v.path) {
			continue
		}
		value := make([]byte, 32)
		n, err := unix.Lgetxattr(filepath.Join(parent, entry.Name()), sizeAttribute, value)
		if err != nil {
			continue // not a volume of ours, or gone since
		}
		if size, err := strconv.ParseInt(string(value[:n]), 10, 64); err == nil && size > 0 {
			total += size
		}
	}
	return total, nil
}

// remove deletes the directory and all in it, and never follows a link out of it. It may be repeated.
func (v volume) remove() error {
	if err := v.check(); err != nil {
		return err
	}
	root, err := os.OpenRoot(filepath.Dir(v.path))
	if err != nil {
		return err
	}
	defer root.Close()
	return root.RemoveAll(filepath.Base(v.path))
}
