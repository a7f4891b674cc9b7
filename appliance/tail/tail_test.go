package tail

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, p Part, err error, want ...string) {
	t.Helper()
	if err != nil || !slices.Equal(p.Lines, want) {
		t.Errorf("%q, %v; want %q", p.Lines, err, want)
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kubelet.log")
	if _, err := Last(path, 10); !os.IsNotExist(err) {
		t.Errorf("no file: %v", err)
	}
	appendTo(t, path, "one\ntwo\nthree\nhal")
	p, err := Last(path, 2)
	expect(t, p, err, "two", "three")
	next, err := After(path, p.Mark)
	expect(t, next, err)
	appendTo(t, path, "f\n\x1b[31;1mred\x1b[0m\tend\x07\n")
	next, err = After(path, next.Mark)
	expect(t, next, err, "half", "red end")

	// Rotation: what is in the new file comes from its beginning.
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	appendTo(t, path, "new\n")
	next, err = After(path, next.Mark)
	expect(t, next, err, "new")
	next, err = After(path, "what")
	expect(t, next, err, "new")
}

func TestBounded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "big.log")
	appendTo(t, path, "begin\n"+strings.Repeat(strings.Repeat("x", 99)+"\n", 30_000)+"end\n")
	for _, read := range []func() (Part, error){
		func() (Part, error) { return Last(path, 1_000_000) },
		func() (Part, error) { return After(path, "") },
	} {
		p, err := read()
		if err != nil || len(p.Lines) != Limit || p.Lines[Limit-1] != "end" || len(p.Lines[0]) != 99 {
			t.Errorf("%d lines from %q to %q, %v", len(p.Lines), p.Lines[0], p.Lines[len(p.Lines)-1], err)
		}
	}
	appendTo(t, path, strings.Repeat("y", lineMost+10)+"\n")
	if p, err := Last(path, 1); err != nil || len(p.Lines[0]) != lineMost {
		t.Errorf("%v, a line of %d", err, len(p.Lines[0]))
	}
}
