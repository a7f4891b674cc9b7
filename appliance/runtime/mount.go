package runtime

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"
)

const mountPrefix = "layer-"

// withMount mounts a snapshot for the time of a call.
func (m *importer) withMount(mounts []mount.Mount, use func(root string) error) (err error) {
	root, err := os.MkdirTemp(m.tmp, mountPrefix)
	if err != nil {
		return err
	}
	// Never RemoveAll: it would delete what is mounted there if the unmount failed.
	defer func() { err = errors.Join(err, os.Remove(root)) }()
	defer func() { err = errors.Join(err, mount.UnmountAll(root, 0)) }()
	if err := mount.All(mounts, root); err != nil {
		return err
	}
	return use(root)
}

// clearMounts makes dir and removes from it what killed imports left mounted.
func clearMounts(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	left, err := filepath.Glob(filepath.Join(dir, mountPrefix+"*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, root := range left {
		errs = append(errs, mount.UnmountAll(root, unix.MNT_DETACH), os.Remove(root))
	}
	return errors.Join(errs...)
}
