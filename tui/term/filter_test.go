package term

import (
	"bytes"
	"strings"
	"testing"
)

func filtered(parts ...string) string {
	var out bytes.Buffer
	f := &Filter{out: &out}
	for _, p := range parts {
		if n, err := f.Write([]byte(p)); err != nil || n != len(p) {
			return "failed"
		}
	}
	return out.String()
}

func TestFilter(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"text":              {"plain\r\n", "plain\r\n"},
		"colour, position":  {"\x1b[1;31mred\x1b[m\x1b[5;3H\x1b[2J", "\x1b[1;31mred\x1b[m\x1b[5;3H\x1b[2J"},
		"cursor":            {"\x1b[?25l\x1b[?25h", "\x1b[?25l\x1b[?25h"},
		"modify other keys": {"a\x1b[>4;2mb", "ab"},
		"private modes":     {"\x1b[?1049h\x1b[?2004hx\x1b[?2026$p", "x"},
		"kitty keyboard":    {"\x1b[=1;1u\x1b[?u\x1b[>1ux", "x"},
		"title":             {"\x1b]2;title\x07x\x1b]2;other\x1b\\y", "xy"},
		"device control":    {"\x1bP+q544e\x1b\\x\x1b[c\x1b[>0q\x1b[6n", "x"},
		"cursor style":      {"\x1b[1 qx", "x"},
		"character set":     {"\x1b(B\x1b7x\x1b8", "\x1b(B\x1b7x\x1b8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := filtered(c.in); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			if got := filtered(strings.Split(c.in, "")...); got != c.want {
				t.Errorf("byte by byte: %q, want %q", got, c.want)
			}
		})
	}
}

// FuzzFilter looks for what gets through, and for a filter that never comes back to text.
func FuzzFilter(f *testing.F) {
	f.Add("\x1b[?1049h")
	f.Add("\x1b]0;x")
	f.Fuzz(func(t *testing.T, in string) {
		out := filtered(in)
		for _, bad := range []string{"\x1b[>", "\x1b[=", "\x1b[<", "\x1b]", "\x1bP", "\x1b_", "\x1b^", "\x1bX"} {
			if strings.Contains(out, bad) {
				t.Errorf("%q let %q through", in, bad)
			}
		}
		if got := filtered(in, "\x1b\\end"); !strings.HasSuffix(got, "end") {
			t.Errorf("%q: what follows is lost: %q", in, got)
		}
	})
}
