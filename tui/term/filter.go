package term

import (
	"io"
	"os"
	"sync"
)

// Filter keeps from a terminal what it does not understand: CSI sequences with a private prefix (a terminal that ignores the
// ">" of "CSI > 4;2m" underlines everything), queries of modes, OSC, DCS, APC, PM and SOS strings. Of the private modes only
// the cursor's (25) goes through. It is a terminal's file to who asks for its descriptor, so that sizes and raw mode work.
type Filter struct {
	*os.File
	out io.Writer

	mu    sync.Mutex
	state state
	seq   []byte // of a sequence that is not complete
}

// NewFilter returns a filter in front of a terminal.
func NewFilter(terminal *os.File) *Filter { return &Filter{File: terminal, out: terminal} }

type state int

const (
	text    state = iota
	escape        // after ESC
	control       // in CSI
	str           // in a string, up to ST or BEL
	strEsc        // in a string, after ESC
	charset       // after ESC and an intermediate byte, such as ESC ( B
)

// longestSequence bounds what an unfinished sequence may take.
const longestSequence = 256

// Write passes on what is left. It reports all of p as written unless the terminal fails.
func (f *Filter) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]byte, 0, len(p))
	for _, b := range p {
		out = f.step(out, b)
	}
	if len(out) > 0 {
		if _, err := f.out.Write(out); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// WriteString is used by writers of strings; it must not go round the filter.
func (f *Filter) WriteString(s string) (int, error) { return f.Write([]byte(s)) }

// ReadFrom keeps io.Copy from going round the filter.
func (f *Filter) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{f}, r)
}

func (f *Filter) step(out []byte, b byte) []byte {
	if b == 0x1b && f.state != str && f.state != strEsc { // also in the middle of a sequence, which it ends
		f.state, f.seq = escape, append(f.seq[:0], b)
		return out
	}
	switch f.state {
	case text:
		return append(out, b)
	case escape:
		f.seq = append(f.seq, b)
		switch {
		case b == '[':
			f.state = control
		case b == ']' || b == 'P' || b == '_' || b == '^' || b == 'X':
			f.state = str
		case b >= 0x20 && b <= 0x2f:
			f.state = charset
		default:
			f.state = text
			return append(out, f.seq...)
		}
	case charset:
		f.state = text
		return append(append(out, f.seq...), b)
	case control:
		f.seq = append(f.seq, b)
		if b >= 0x40 && b <= 0x7e || len(f.seq) > longestSequence {
			f.state = text
			if passes(f.seq) {
				return append(out, f.seq...)
			}
		}
	case str:
		switch b {
		case 0x07:
			f.state = text
		case 0x1b:
			f.state = strEsc
		}
	case strEsc:
		switch b {
		case '\\':
			f.state = text
		case 0x1b:
		default:
			f.state = str
		}
	}
	return out
}

// passes judges a whole CSI sequence.
func passes(seq []byte) bool {
	s := string(seq)
	if s == "\x1b[?25h" || s == "\x1b[?25l" {
		return true
	}
	body := seq[2 : len(seq)-1]
	for i, b := range body {
		if i == 0 && b >= '<' && b <= '?' || b >= 0x20 && b <= 0x2f { // a private prefix, an intermediate byte
			return false
		}
	}
	switch seq[len(seq)-1] {
	case 't', 'n', 'c', 'q', 'u': // windows, queries, cursor styles, keyboards
		return false
	}
	return true
}
