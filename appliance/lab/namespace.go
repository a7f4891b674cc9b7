package lab

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// onThread runs fn on a thread of its own and ends the thread afterwards, so that fn may change the thread's namespaces,
// working directory and control groups. Goroutines that fn starts run on other threads, in the machine's namespaces;
// what it forks itself is born into the thread's.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			// /proc/self is how the whole program sees the first thread; hold on to it and use another
			done <- onThread(fn)
			runtime.UnlockOSThread()
			return
		}
		done <- fn()
	}()
	return <-done
}

// Namespaces of a host that a thread can enter.
const (
	nsFiles   = unix.CLONE_NEWNS
	nsNetwork = unix.CLONE_NEWNET
	nsAll     = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP
)

// enter moves the calling thread, which must be one of onThread's, into namespaces of the process. With nsFiles its root
// directory is the host's, and its umask that of a fresh system.
func (p process) enter(namespaces int) error {
	fd, err := p.open()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if namespaces&unix.CLONE_NEWNS != 0 {
		// a thread that shares its root directory with others must not change its mount namespace
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("leave the shared root directory: %w", err)
		}
		unix.Umask(0o022) // now the thread's own, too
	}
	if err := unix.Setns(fd, namespaces); err != nil {
		return fmt.Errorf("enter namespaces of process %d: %w", p.PID, err)
	}
	return nil
}

// enterNetns moves the calling thread into the network namespace pinned at path.
func enterNetns(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	defer file.Close()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", path, err)
	}
	return nil
}

// pinNetns makes a network namespace that lives as long as the mount on path, runs setup in it, and leaves it pinned.
func pinNetns(path string, setup func() error) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return fmt.Errorf("pin network namespace: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("pin network namespace: %w", err)
	}
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make network namespace: %w", err)
		}
		if err := setup(); err != nil {
			return err
		}
		if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("pin network namespace at %s: %w", path, err)
		}
		return nil
	})
}
