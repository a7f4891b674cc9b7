package program

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// repository writes a module with a program that imports one of its two packages and embeds a file.
func repository(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":        "module example\n\ngo 1.26\n",
		"cmd/a/main.go": "package main\n\nimport (\n\t_ \"embed\"\n\t\"example/used\"\n)\n\n//go:embed text\nvar text string\n\nvar version = \"unset\"\n\nfunc main() { print(used.Word, text, version) }\n",
		"cmd/a/text":    "text",
		"used/u.go":     "package used\n\nconst Word = \"word\"\n",
		"unused/u.go":   "package unused\n",
		"c/p.c":         "__attribute__((noreturn)) void start(void) { for (;;); }\n__asm__(\".globl _start\\n_start: call start\\n\");\n",
	} {
		write(t, root, name, content)
	}
	return root
}

func write(t *testing.T, root, name, content string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestGoKey(t *testing.T) {
	t.Parallel()
	base := Go{Dir: ".", Package: "./cmd/a"}
	cases := map[string]struct {
		change   func(t *testing.T, root string, g *Go) (compiler string)
		wantSame bool
	}{
		"nothing": {func(*testing.T, string, *Go) string { return "go1" }, true},
		"unrelated source": {func(t *testing.T, root string, _ *Go) string {
			write(t, root, "unused/u.go", "package x\n")
			return "go1"
		}, true},
		"its test": {func(t *testing.T, root string, _ *Go) string {
			write(t, root, "used/u_test.go", "package used\n")
			return "go1"
		}, true},
		"imported source": {func(t *testing.T, root string, _ *Go) string {
			write(t, root, "used/u.go", "package used\n")
			return "go1"
		}, false},
		"new source": {func(t *testing.T, root string, _ *Go) string {
			write(t, root, "used/v.go", "package used\n")
			return "go1"
		}, false},
		"embedded file": {func(t *testing.T, root string, _ *Go) string { write(t, root, "cmd/a/text", "x"); return "go1" }, false},
		"requirements":  {func(t *testing.T, root string, _ *Go) string { write(t, root, "go.sum", "x"); return "go1" }, false},
		"stamp": {func(_ *testing.T, _ string, g *Go) string {
			g.Stamps = map[string]string{"main.version": "2"}
			return "go1"
		}, false},
		"tag":      {func(_ *testing.T, _ string, g *Go) string { g.Tags = []string{"x"}; return "go1" }, false},
		"compiler": {func(*testing.T, string, *Go) string { return "go2" }, false},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, g := repository(t), base
			before, err := g.Key(root, "go1")
			if err != nil {
				t.Fatal(err)
			}
			compiler := test.change(t, root, &g)
			after, err := g.Key(root, compiler)
			if err != nil {
				t.Fatal(err)
			}
			if (before == after) != test.wantSame {
				t.Errorf("same key: %t, want %t", before == after, test.wantSame)
			}
		})
	}
}

func TestBuildIsReproducible(t *testing.T) {
	t.Parallel()
	builders := map[string]func(root, out string) error{
		"go": func(root, out string) error {
			g := Go{Dir: ".", Package: "./cmd/a", Stamps: map[string]string{"main.version": "two words"}}
			return g.Build(t.Context(), root, out)
		},
		"c": func(root, out string) error {
			return C{Source: "c/p.c", Defines: map[string]string{"VERSION": "v1"}}.Build(t.Context(), root, out)
		},
	}
	for name, build := range builders {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var results [2][]byte
			for i := range results { // two places, as on two machines
				out := filepath.Join(t.TempDir(), "out")
				if err := build(repository(t), out); err != nil {
					t.Fatal(err)
				}
				content, err := os.ReadFile(out)
				if err != nil {
					t.Fatal(err)
				}
				results[i] = content
			}
			if !bytes.Equal(results[0], results[1]) {
				t.Error("two builds differ")
			}
		})
	}
}

func TestStampsAreSet(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "out")
	g := Go{Dir: ".", Package: "./cmd/a", Stamps: map[string]string{"main.version": "two words"}}
	if err := g.Build(t.Context(), repository(t), out); err != nil {
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), out).CombinedOutput()
	if err != nil || string(said) != "wordtexttwo words" {
		t.Errorf("program said %q, error %v", said, err)
	}
}

func TestBuildErrorShowsTheCompilersWords(t *testing.T) {
	t.Parallel()
	root := repository(t)
	write(t, root, "used/u.go", "package used\n")
	err := Go{Dir: ".", Package: "./cmd/a"}.Build(t.Context(), root, filepath.Join(t.TempDir(), "out"))
	if err == nil || !strings.Contains(err.Error(), "undefined: used.Word") {
		t.Errorf("error %v", err)
	}
}

func TestMulticall(t *testing.T) {
	t.Parallel()
	root := repository(t)
	write(t, root, "go.sum", "")
	write(t, root, "cmd/b-c/main.go", "package main\n\n// main is not Main.\nfunc main() { print(help()) }\n")
	write(t, root, "cmd/b-c/help.go", "package main\n\ntype main2 struct{}\n\nfunc (main2) main() string { return \"main of b\" }\n\nfunc help() string { return main2{}.main() }\n")
	write(t, root, "cmd/d/main.go", "package main\n\nfunc main() { print(\"d\") }\n")
	g := Go{Dir: ".", Programs: map[string]string{"b-c": "example/cmd/b-c", "d": "example/cmd/d"}}
	out := filepath.Join(t.TempDir(), "out")
	if err := g.Build(t.Context(), root, out); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"b-c": "main of b", "d": "d", "e": "no program named e in this file; it holds b-c d\n"} {
		cmd := exec.CommandContext(t.Context(), out)
		cmd.Args[0] = "/some/where/" + name
		said, err := cmd.CombinedOutput()
		if string(said) != want || (err == nil) != (name != "e") {
			t.Errorf("as %s: said %q, error %v; want %q", name, said, err, want)
		}
	}
	deps, err := g.Deps(t.Context(), root)
	if err != nil || !strings.Contains(strings.Join(deps, " "), "example/cmd/b-c") {
		t.Errorf("dependencies %v, %v", deps, err)
	}
}
