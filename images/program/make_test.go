package program

import (
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// archive packs a project whose configure script writes its options into the program.
func archive(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	write(t, root, "p-1.0/configure", "#!/bin/sh\necho \"#define OPTIONS \\\"$*\\\"\" >config.h\n")
	write(t, root, "p-1.0/Makefile", "src/p: src/p.c config.h\n\t$(CC) $(CFLAGS) $(LDFLAGS) -I. -o $@ $<\n")
	write(t, root, "p-1.0/src/p.c", "#include <stdio.h>\n#include <config.h>\n\nint main(void) { return puts(OPTIONS \" \" __FILE__) < 0; }\n")
	if err := os.Chmod(filepath.Join(root, "p-1.0/configure"), 0o755); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(root, "p.tar.gz")
	if said, err := exec.CommandContext(t.Context(), "tar", "-C", root, "-czf", out, "p-1.0").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return out
}

func TestMakeIsReproducibleAndStatic(t *testing.T) {
	t.Parallel()
	m := Make{Source: "p", Configure: []string{"--disable-most", "--with-rest"}, Program: "src/p"}
	var results [2][]byte
	for i := range results {
		out := filepath.Join(t.TempDir(), "out")
		if err := m.Build(t.Context(), archive(t), out); err != nil {
			t.Fatal(err)
		}
		said, err := exec.CommandContext(t.Context(), out).Output()
		if want := "--disable-most --with-rest src/p.c\n"; err != nil || string(said) != want {
			t.Errorf("the program says %q (%v), want %q", said, err, want)
		}
		if results[i], err = os.ReadFile(out); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(results[0], results[1]) {
		t.Error("two builds differ")
	}
	program, err := elf.NewFile(bytes.NewReader(results[0]))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("it needs a loader")
		}
	}
}

func TestMakeTellsWhatFailed(t *testing.T) {
	t.Parallel()
	err := Make{Program: "src/q"}.Build(t.Context(), archive(t), filepath.Join(t.TempDir(), "out"))
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "src/q") {
		t.Errorf("error %v", err)
	}
}

func TestMakeKey(t *testing.T) {
	t.Parallel()
	base := Make{Configure: []string{"a"}, Program: "p"}
	key := base.Key("gcc 12", "00")
	for name, other := range map[string]string{
		"compiler": base.Key("gcc 13", "00"), "archive": base.Key("gcc 12", "01"),
		"options": Make{Configure: []string{"b"}, Program: "p"}.Key("gcc 12", "00"), "program": Make{Configure: []string{"a"}, Program: "q"}.Key("gcc 12", "00"),
	} {
		if other == key {
			t.Errorf("another %s has the same key", name)
		}
	}
	if again := base.Key("gcc 12", "00"); again != key {
		t.Error("the key is not the same twice")
	}
}
