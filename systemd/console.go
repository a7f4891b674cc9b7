package systemd

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernelConsole is the virtual terminal that gets the kernel's messages once the consoles are quiet. Alt-F12 shows them.
const kernelConsole = 12

// Of linux/tiocl.h: TIOCL_SETKMSGREDIRECT.
const redirectMessages = 11

// QuietConsoles sends what the kernel prints on virtual terminals to one that nobody works on. Serial consoles and the log
// get it as before. It needs CAP_SYS_ADMIN, and lasts until the machine boots.
func QuietConsoles() error {
	console, err := os.OpenFile("/dev/tty0", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer console.Close()
	order := [2]byte{redirectMessages, kernelConsole}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, console.Fd(), unix.TIOCLINUX, uintptr(unsafe.Pointer(&order))); errno != 0 {
		return fmt.Errorf("move the kernel's messages to console %d: %w", kernelConsole, errno)
	}
	return nil
}
