package message

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Every text that the UI's source asks for is in the catalogue, and the catalogue has none that nobody asks for.
func TestEveryTextIsTranslated(t *testing.T) {
	t.Parallel()
	used := textsOf(t, "..")
	if len(used) < 20 {
		t.Fatalf("found only %d texts: the search is broken", len(used))
	}
	for text, where := range used {
		if !Known(text) {
			t.Errorf("%s: %q has no Chinese", where, text)
		}
	}
}

// textsOf finds the literals that are given to T, and those of the help of keys.
func textsOf(t *testing.T, dir string) map[string]token.Position {
	t.Helper()
	texts, files := map[string]token.Position{}, token.NewFileSet()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if f, ok := call.Fun.(*ast.SelectorExpr); ok {
				at := map[string]int{"T": 0, "WithHelp": 1}
				if i, is := at[f.Sel.Name]; is && i < len(call.Args) {
					if text, ok := literal(call.Args[i]); ok {
						texts[text] = files.Position(call.Pos())
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// literal is the value of a string that may be written in several parts.
func literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			s, err := strconv.Unquote(e.Value)
			return s, err == nil
		}
	case *ast.BinaryExpr:
		left, ok := literal(e.X)
		right, also := literal(e.Y)
		return left + right, ok && also
	}
	return "", false
}

var verb = regexp.MustCompile(`%(\[\d+\])?[-+# 0]*[\d.]*[a-zA-Z]`)

// A translation has the verbs of its original, in the same order or numbered.
func TestTranslationsTakeTheSameArguments(t *testing.T) {
	t.Parallel()
	for english, zh := range chinese {
		want, got := verb.FindAllString(english, -1), verb.FindAllString(zh, -1)
		if strings.Contains(zh, "%[") {
			slices.Sort(want)
			for i, v := range got {
				got[i] = regexp.MustCompile(`\[\d+\]`).ReplaceAllString(v, "")
			}
			slices.Sort(got)
		}
		if !slices.Equal(want, got) {
			t.Errorf("%q takes %q, %q takes %q", english, want, zh, got)
		}
		if strings.TrimSpace(zh) == "" {
			t.Errorf("%q has an empty translation", english)
		}
	}
}

// A text that two parts translate has one translation that is never seen.
func TestNoTextIsTranslatedTwice(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, part := range parts() {
		for english := range part {
			if seen[english] {
				t.Errorf("%q is translated twice", english)
			}
			seen[english] = true
		}
	}
}

func TestT(t *testing.T) {
	t.Parallel()
	if got := Chinese.T("Exit code: %d", 3); got != "退出码：3" {
		t.Error(got)
	}
	if got := English.T("Exit code: %d", 6443); got != "Exit code: 6443" {
		t.Error(got)
	}
	if got := Chinese.T("100% unknown"); got != "100% unknown" {
		t.Error(got)
	}
}
