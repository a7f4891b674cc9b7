// Package tail reads the end of a log that grows and is rotated by renaming it, in bounded memory.
package tail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"syscall"
)

// The most that one call reads and returns.
const (
	Limit     = 2000    // lines
	bytesMost = 1 << 20 // of the file
	lineMost  = 4 << 10
)

// Part is some lines of a log, oldest first.
type Part struct {
	Lines []string `json:"lines"`
	// Mark is where the next part begins, for After.
	Mark string `json:"mark"`
}

// Last reads the last lines of a log, at most Limit.
func Last(path string, lines int) (Part, error) {
	f, inode, size, err := open(path)
	if err != nil {
		return Part{}, err
	}
	defer f.Close()
	from := max(0, size-bytesMost)
	p, err := read(f, inode, from, size)
	if from > 0 && len(p.Lines) > 0 {
		p.Lines = p.Lines[1:] // begins in the middle
	}
	lines = min(max(lines, 0), Limit)
	if len(p.Lines) > lines {
		p.Lines = p.Lines[len(p.Lines)-lines:]
	}
	return p, err
}

// After reads what came after a mark, whole lines only. A mark of a log that was rotated since, or that is none, means the
// beginning of the file that is there now; what does not fit is read from its newest end.
func After(path, mark string) (Part, error) {
	f, inode, size, err := open(path)
	if err != nil {
		return Part{}, err
	}
	defer f.Close()
	var at int64
	var of uint64
	if _, err := fmt.Sscanf(mark, "%d:%d", &of, &at); err != nil || of != inode || at > size || at < 0 {
		at = 0
	}
	from := max(at, size-bytesMost)
	p, err := read(f, inode, from, size)
	if from > at && len(p.Lines) > 0 {
		p.Lines = p.Lines[1:]
	}
	if len(p.Lines) > Limit {
		p.Lines = p.Lines[len(p.Lines)-Limit:]
	}
	return p, err
}

func open(path string) (*os.File, uint64, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, 0, errors.Join(err, f.Close())
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return nil, 0, 0, errors.Join(fmt.Errorf("%s is no file", path), f.Close())
	}
	return f, stat.Ino, info.Size(), nil
}

// read returns the whole lines between two places; what comes after the last line break is left for the next part.
func read(f *os.File, inode uint64, from, to int64) (Part, error) {
	content, err := io.ReadAll(io.NewSectionReader(f, from, to-from))
	if err != nil {
		return Part{}, err
	}
	end := bytes.LastIndexByte(content, '\n') + 1
	p := Part{Lines: []string{}, Mark: fmt.Sprintf("%d:%d", inode, from+int64(end))}
	for line := range bytes.Lines(content[:end]) {
		p.Lines = append(p.Lines, Printable(string(line)))
	}
	return p, nil
}

// controls are the sequences of ECMA-48 by which programs colour what they print.
var controls = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]`)

// Printable is a line of at most 4 KiB without what would change a terminal.
func Printable(line string) string {
	if len(line) > lineMost {
		line = line[:lineMost]
	}
	line = controls.ReplaceAllString(line, "")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < 0x20 || r >= 0x7f && r < 0xa0:
			return -1
		}
		return r
	}, strings.ToValidUTF8(line, "?"))
}
