package component

import (
	"io"
	"strings"
)

// lossy drops what its writer does not take. A full disk must cost log lines, not processes: an error
// here would close the pipe, and a program that writes to a closed pipe is ended by the kernel.
type lossy struct{ to io.Writer }

func (l lossy) Write(b []byte) (int, error) {
	_, _ = l.to.Write(b)
	return len(b), nil
}

// lastLine keeps the last line written that has something in it, cut to a readable length. It is
// written by one goroutine and read after the process has ended.
type lastLine struct{ line, rest string }

const lastLineLimit = 400

func (l *lastLine) Write(b []byte) (int, error) {
	text := l.rest + string(b)
	for {
		line, after, found := strings.Cut(text, "\n")
		if !found {
			break
		}
		if line = strings.TrimSpace(line); line != "" {
			l.line = line[:min(len(line), lastLineLimit)]
		}
		text = after
	}
	l.rest = text[:min(len(text), lastLineLimit)]
	return len(b), nil
}

func (l *lastLine) String() string {
	if rest := strings.TrimSpace(l.rest); rest != "" {
		return rest
	}
	return l.line
}
