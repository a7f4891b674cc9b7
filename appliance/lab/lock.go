package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// acquire takes the lab's lock, waiting for whoever holds it until ctx ends. The kernel releases it when the last process
// holding the file is gone, so a crashed tool leaves no lock behind. The caller closes the file.
func (l Layout) acquire(ctx context.Context, lab string) (*os.File, error) {
	path := l.lock(lab)
	for {
		file, err := tryLock(path)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("lock lab %s: %w", lab, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("lock lab %s: another command is working on it: %w", lab, ctx.Err())
		case <-time.After(10 * time.Millisecond): // flock(2) cannot be waited for with a context
		}
	}
}

// tryLock returns EWOULDBLOCK if another holds the lock and ErrNotExist if the file was removed under our hands.
func tryLock(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, err
	}
	ours, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	// down removes the file while it holds the lock: what we locked may be nobody's lock any more
	current, err := os.Stat(path)
	if err != nil || !os.SameFile(ours, current) {
		_ = file.Close()
		return nil, fs.ErrNotExist
	}
	return file, nil
}
