package message

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// template is the text that an expression makes, with a verb for each value in it: a literal, the format of a Sprintf, and both
// put together with what is known only when it runs. It is empty for what has no words.
func template(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, _ := literal(e)
		return strings.ReplaceAll(text, "%", "%%")
	case *ast.BinaryExpr:
		if e.Op == token.ADD {
			return template(e.X) + template(e.Y)
		}
	case *ast.CallExpr:
		if f, ok := e.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Sprintf" && len(e.Args) > 0 {
			text, _ := literal(e.Args[0])
			return text
		}
		if f, ok := e.Fun.(*ast.Ident); ok && f.Name == "unless" { // preflight's advice for what is not well
			return template(e.Args[1])
		}
	case *ast.ParenExpr:
		return template(e.X)
	}
	return "%s"
}

// worded says whether a template has a word of its own.
func worded(text string) bool {
	return strings.ContainsFunc(verb.ReplaceAllString(text, ""), func(r rune) bool { return r >= 'a' && r <= 'z' })
}

// said are the templates of what packages say with values in it: the fields of that name in composite literals and assignments,
// and the arguments of the calls.
func said(t *testing.T, pkg string, fields []string, calls map[string][]int) []string {
	t.Helper()
	var all []string
	add := func(e ast.Expr) {
		if text := template(e); worded(text) && !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	named := func(e ast.Expr) bool {
		switch e := e.(type) {
		case *ast.Ident:
			return slices.Contains(fields, e.Name)
		case *ast.SelectorExpr:
			return slices.Contains(fields, e.Sel.Name)
		}
		return false
	}
	names, err := filepath.Glob("../../appliance/" + pkg + "/*.go")
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %v", pkg, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if named(n.Key) {
					add(n.Value)
				}
			case *ast.AssignStmt:
				for i, left := range n.Lhs {
					if named(left) && len(n.Rhs) == len(n.Lhs) {
						add(n.Rhs[i])
					}
				}
			case *ast.CallExpr:
				name := ""
				switch f := n.Fun.(type) {
				case *ast.SelectorExpr:
					name = f.Sel.Name
				case *ast.Ident:
					name = f.Name
				}
				for _, i := range calls[name] {
					if i >= len(n.Args) {
						continue
					}
					if text, ok := literal(n.Args[i]); ok && i == formatAt { // it is a template already
						if worded(text) && !slices.Contains(all, text) {
							all = append(all, text)
						}
						continue
					}
					add(n.Args[i])
				}
			}
			return true
		})
	}
	return all
}

// formatAt is the place of the format among the arguments of refuse and warn.
const formatAt = 2

// spoken are all of them, by their package.
func spoken(t *testing.T) map[string][]string {
	t.Helper()
	return map[string][]string{
		"preflight": said(t, "preflight", []string{"found", "advice", "title"}, nil),
		"config":    said(t, "config", []string{"Message", "Advice"}, map[string][]int{"refuse": {1, 2}, "warn": {1, 2}}),
		"component": said(t, "component", nil, map[string][]int{"setState": {2}}),
	}
}

// What is said with values in it is in the catalogue by its template.
func TestEveryTemplateIsTranslated(t *testing.T) {
	t.Parallel()
	for pkg, all := range spoken(t) {
		for _, text := range all {
			if _, ok := zhValue[text]; !ok && (!slices.Contains(shared, text) && verb.MatchString(text) || !Known(text)) {
				t.Errorf("%s: %q has no Chinese", pkg, text)
			}
		}
		if len(all) < map[string]int{"preflight": 70, "config": 80, "component": 2}[pkg] {
			t.Errorf("%s: only %d were found: the search is broken", pkg, len(all))
		}
	}
}

// Each template is found again in what it makes, with its values.
func TestSayFindsTheTemplate(t *testing.T) {
	t.Parallel()
	for english, zh := range zhValue {
		verbs := placeholder.FindAllString(english, -1)
		if len(verbs) == 0 {
			if got := Chinese.Say(english); got != zh {
				t.Errorf("%q is %q", english, got)
			}
			continue
		}
		args := make([]any, len(verbs))
		for i, v := range verbs {
			switch v[len(v)-1] {
			case 'd':
				args[i] = 4711 + i
			case 'f':
				args[i] = 2.5 + float64(i)
			default:
				args[i] = "/x" + strings.Repeat("y", i)
			}
		}
		if got, want := Chinese.Say(fmt.Sprintf(english, args...)), fmt.Sprintf(zh, args...); got != want {
			t.Errorf("%q is %q, want %q", fmt.Sprintf(english, args...), got, want)
		}
	}
}

func TestSay(t *testing.T) {
	t.Parallel()
	for english, want := range map[string]string{
		"":                              "",
		"waiting for containerd":        "等待 containerd",
		"exit status 1; next try in 4s": "exit status 1；4s后重试",
		"10.42.0.0/16 overlaps with 10.42.1.0/24 of interface eth1": "10.42.0.0/16 与接口的 10.42.1.0/24（eth1）重叠",
		"bind: address already in use":                              "bind: address already in use",
		"12.5 GiB in /var/lib/appliance":                            "12.5 GiB，位于 /var/lib/appliance",
		"100% of it cannot be known":                                "100% of it cannot be known",
		"two\nlines":                                                "two\nlines",
	} {
		if got := Chinese.Say(english); got != want {
			t.Errorf("%q is %q, want %q", english, got, want)
		}
		if got := English.Say(english); got != english {
			t.Errorf("%q became %q", english, got)
		}
	}
	for i := range 3 * maxSayings {
		Chinese.Say(fmt.Sprintf("what a program prints %d", i))
	}
	if len(sayings.said) > maxSayings {
		t.Errorf("%d are remembered", len(sayings.said))
	}
}
