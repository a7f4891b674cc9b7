package install

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"islet/appliance/wizard"
	"islet/tui/message"
)

// TestTheWizardIsTranslated reads what the wizard and the checks declare, and what the answer file documents of what is asked.
func TestTheWizardIsTranslated(t *testing.T) {
	t.Parallel()
	texts := declared(t, "../../appliance/wizard", map[string]int{"textf": 0, "option": 1})
	texts = append(texts, declared(t, "../../appliance/preflight", map[string]int{"fits": 2, "conflict": 2})...)
	w := press1()
	for _, answer := range []string{wizard.ActionNew, wizard.ActionJoin} {
		if err := w.Answer("datastore.store", "etcd"); answer == wizard.ActionNew && err != nil {
			t.Fatal(err)
		}
		if err := w.Answer(wizard.Action, answer); err != nil {
			t.Fatal(err)
		}
		for _, s := range w.Steps() {
			for _, q := range s.Questions {
				for _, h := range q.Help {
					texts = append(texts, formats(h)...)
				}
			}
		}
	}
	if len(texts) < 80 {
		t.Fatalf("found only %d texts: the search is broken", len(texts))
	}
	for _, text := range texts {
		if !message.Known(text) {
			t.Errorf("%q has no Chinese", text)
		}
	}
}

func formats(t wizard.Text) []string {
	all := []string{t.Format}
	for _, a := range t.Args {
		if inner, ok := a.(wizard.Text); ok {
			all = append(all, formats(inner)...)
		}
	}
	return all
}

// declared are the literals that are given to these functions, at that place, and to the fields of declarations.
func declared(t *testing.T, dir string, at map[string]int) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	add := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, text)
		}
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, source, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				name, ok := n.Fun.(*ast.Ident)
				if !ok {
					break
				}
				if i, is := at[name.Name]; is && i < len(n.Args) {
					add(n.Args[i])
				}
			case *ast.KeyValueExpr:
				if name, ok := n.Key.(*ast.Ident); ok && (name.Name == "title" || name.Name == "label" || name.Name == "help") {
					add(n.Value)
				}
			}
			return true
		})
	}
	return texts
}
