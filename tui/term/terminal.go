package term

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	xterm "golang.org/x/term"
)

// probeLimit is how long a terminal is given to say how large it is. A line without anybody at its end says nothing.
const probeLimit = 300 * time.Millisecond

// The design size, for a terminal that does not know its own.
const (
	defaultWidth  = 80
	defaultHeight = 24
)

// IsTerminal says whether a person can be at the other end of both.
func IsTerminal(in, out *os.File) bool {
	return in != nil && out != nil && xterm.IsTerminal(int(in.Fd())) && xterm.IsTerminal(int(out.Fd()))
}

// Look gathers the facts of the terminal that is behind out.
func Look(out *os.File, environ []string) Facts {
	f := Facts{Env: map[string]string{}}
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		f.Env[name] = value
	}
	if device, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", out.Fd())); err == nil {
		f.Device = device
	}
	f.Glyphs = hasGlyphs(out)
	return f
}

// EnsureSize asks a terminal that reports no size where its last column is, assumes 80 by 24 if it does not answer, and tells
// the kernel. A serial line reports 0 by 0, and sends no signal when that changes.
func EnsureSize(in, out *os.File) (width, height int, err error) {
	if width, height, err = xterm.GetSize(int(out.Fd())); err == nil && width > 0 && height > 0 {
		return width, height, nil
	}
	width, height = probe(in, out)
	return width, height, SetSize(out, width, height)
}

// SetSize tells the kernel how large the terminal is; programs that are started on it later will know.
func SetSize(out *os.File, width, height int) error {
	return unix.IoctlSetWinsize(int(out.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(height), Col: uint16(width)})
}

// Probe is what asks where the last column is: the answer is a cursor position report.
const Probe = "\x1b7\x1b[999;999H\x1b[6n\x1b8"

func probe(in, out *os.File) (width, height int) {
	fd := int(in.Fd())
	before, err := xterm.MakeRaw(fd)
	if err != nil {
		return defaultWidth, defaultHeight
	}
	defer func() { _ = xterm.Restore(fd, before) }()
	if _, err := out.WriteString(Probe); err != nil {
		return defaultWidth, defaultHeight
	}
	var answer []byte
	for end := time.Now().Add(probeLimit); ; {
		left := time.Until(end)
		if left <= 0 {
			return defaultWidth, defaultHeight
		}
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(poll, int(left.Milliseconds())+1); err != nil && err != unix.EINTR {
			return defaultWidth, defaultHeight
		} else if n <= 0 {
			continue
		}
		buf := make([]byte, 64)
		n, err := unix.Read(fd, buf)
		if err != nil || n <= 0 || len(answer) > 4096 {
			return defaultWidth, defaultHeight
		}
		answer = append(answer, buf[:n]...)
		if w, h, ok := position(answer); ok {
			return w, h
		}
	}
}

// position finds a cursor position report, CSI row ; column R.
func position(answer []byte) (width, height int, ok bool) {
	for {
		_, rest, found := strings.Cut(string(answer), "\x1b[")
		if !found {
			return 0, 0, false
		}
		answer = []byte(rest)
		row, rest := number(rest)
		if row == 0 || !strings.HasPrefix(rest, ";") {
			continue
		}
		column, rest := number(rest[1:])
		if column != 0 && strings.HasPrefix(rest, "R") {
			return min(column, 500), min(row, 200), true
		}
	}
}

func number(s string) (int, string) {
	n, i := 0, 0
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9' && i < 5; i++ {
		n = n*10 + int(s[i]-'0')
	}
	return n, s[i:]
}
