package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// BootLogName is the boot log's file in a host's log directory; older parts have .1, .2 ... appended.
const BootLogName = "boot.log"

// The boot log is rotated when it would grow beyond maxLogBytes, and keepLogs old parts are kept.
const (
	maxLogBytes = 16 << 20
	keepLogs    = 3
)

// bootLog appends to a log file and rotates it by size. Its directory is held open because it lies outside the host. A
// full disk loses log lines, it never blocks or fails the writer.
type bootLog struct {
	dir  *os.Root
	file *os.File
	size int64
	max  int64
}

func openBootLog(dir string) (*bootLog, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open log directory: %w", err)
	}
	l := &bootLog{dir: root, max: maxLogBytes}
	if err := l.open(); err != nil {
		_ = root.Close()
		return nil, err
	}
	return l, nil
}

func (l *bootLog) open() error {
	file, err := l.dir.OpenFile(BootLogName, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open boot log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return fmt.Errorf("open boot log: %w", err)
	}
	l.file, l.size = file, info.Size()
	return nil
}

// Write implements io.Writer; it always accepts everything.
func (l *bootLog) Write(p []byte) (int, error) {
	if l.size > 0 && l.size+int64(len(p)) > l.max {
		l.rotate()
	}
	n, _ := l.file.Write(p)
	l.size += int64(n)
	return len(p), nil
}

// rotate starts a new file. If that fails the old one is written on.
func (l *bootLog) rotate() {
	for i := keepLogs; i > 0; i-- {
		from := BootLogName
		if i > 1 {
			from = fmt.Sprintf("%s.%d", BootLogName, i-1)
		}
		err := l.dir.Rename(from, fmt.Sprintf("%s.%d", BootLogName, i))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
	old := l.file
	if err := l.open(); err == nil {
		_ = old.Close()
	}
}

// Close closes the log.
func (l *bootLog) Close() error {
	return errors.Join(l.file.Close(), l.dir.Close())
}
