package guest

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	lastSignal  = 64 // Linux, signal(7)
	dispDefault = 0  // SIG_DFL
	dispIgnore  = 1  // SIG_IGN
)

// sigaction is what rt_sigaction(2) reads and writes on amd64 and arm64.
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

// unignoreSignals makes every signal that whoever started the lab ignores do what it does on a booted machine: an
// ignored signal stays ignored across exec, in every process of the host. The Go runtime resets those it knows when they
// are asked for, but not the two that C libraries keep to themselves.
func unignoreSignals() {
	for number := uintptr(1); number <= lastSignal; number++ {
		var action sigaction
		size := unsafe.Sizeof(action.mask)
		_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, number, 0, uintptr(unsafe.Pointer(&action)), size, 0, 0)
		if errno != 0 || action.handler != dispIgnore {
			continue
		}
		action = sigaction{handler: dispDefault}
		_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, number, uintptr(unsafe.Pointer(&action)), 0, size, 0, 0)
	}
}
