package host

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// InNewNamespaces runs f on a thread of its own that has left the given namespaces (CLONE_NEWNET,
// CLONE_NEWNS). The thread ends with f, and with it everything f made in those namespaces, even
// when f panics or forgets to clean up. f must not start goroutines that count on the namespaces.
// With CLONE_NEWNS every mount is made private first, so f's mounts are seen by nobody else.
func InNewNamespaces(flags int, f func() error) error {
	result := make(chan error, 1)
	go func() { result <- onOwnThread(flags, f) }()
	return <-result
}

// onOwnThread never uses the process's first thread: the runtime cannot end that one, and
// /proc/self shows its namespaces.
func onOwnThread(flags int, f func() error) error {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		defer runtime.UnlockOSThread()
		return InNewNamespaces(flags, f)
	}
	// Not unlocked on purpose: a goroutine that ends while locked takes its thread along.
	if flags&unix.CLONE_NEWNS != 0 {
		flags |= unix.CLONE_FS
	}
	if err := unix.Unshare(flags); err != nil {
		return fmt.Errorf("leave namespaces: %w", err)
	}
	if flags&unix.CLONE_NEWNS != 0 {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("make mounts private: %w", err)
		}
	}
	return f()
}
