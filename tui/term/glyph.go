package term

import (
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Of linux/kd.h.
const (
	ioctlGetKeyboardMode = 0x4b44 // KDGKBMODE
	ioctlGetUnicodeMap   = 0x4b66 // GIO_UNIMAP
	keyboardUnicode      = 3      // K_UNICODE
)

// glyphs are what the UI draws beyond ASCII on a console. A font has all of them, or is treated as having none.
var glyphs = []uint16{'─', '│', '┌', '┐', '└', '┘', '█', '░', '•'}

// hasGlyphs asks a Linux console for its mode and its font. Other terminals do not know the question.
func hasGlyphs(out *os.File) bool {
	var mode int64
	if !ioctl(out, ioctlGetKeyboardMode, unsafe.Pointer(&mode)) || mode != keyboardUnicode {
		return false
	}
	type pair struct{ unicode, _ uint16 } // the other is the position in the font
	pairs := make([]pair, 8192)
	list := struct {
		count   uint16
		entries *pair
	}{uint16(len(pairs)), &pairs[0]}
	if !ioctl(out, ioctlGetUnicodeMap, unsafe.Pointer(&list)) {
		return false
	}
	pairs = pairs[:min(int(list.count), len(pairs))]
	return !slices.ContainsFunc(glyphs, func(g uint16) bool {
		return !slices.ContainsFunc(pairs, func(p pair) bool { return p.unicode == g })
	})
}

func ioctl(f *os.File, request uintptr, arg unsafe.Pointer) bool {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(arg))
	return errno == 0
}
