package health

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const docs = "../../docs"

func TestCatalogueIsSound(t *testing.T) {
	t.Parallel()
	codes := map[Code]Problem{}
	for _, p := range Catalogue() {
		if _, twice := codes[p.Code]; twice {
			t.Errorf("%s is declared twice", p.Code)
		}
		codes[p.Code] = p
		if !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(string(p.Code)) {
			t.Errorf("%q is not a code", p.Code)
		}
		if p.Title == "" || p.Advice == "" || strings.HasSuffix(p.Title, ".") || (p.Severity != Critical && p.Severity != Warning) {
			t.Errorf("%s is not declared in full: %+v", p.Code, p)
		}
	}
	for code, p := range codes {
		for _, cause := range p.CausedBy {
			if _, found := codes[cause]; !found {
				t.Errorf("%s is caused by %s, which does not exist", code, cause)
			}
		}
		if hidesItself(codes, code, nil) {
			t.Errorf("%s is its own cause: all of the loop would be hidden", code)
		}
	}
}

// hidesItself looks for a loop of causes through code.
func hidesItself(codes map[Code]Problem, code Code, path []Code) bool {
	for _, cause := range codes[code].CausedBy {
		if len(path) > 0 && cause == path[0] || cause == code {
			return true
		}
		if !slices.Contains(path, cause) && hidesItself(codes, cause, append(slices.Clone(path), code)) {
			return true
		}
	}
	return false
}

// Each problem has its page, each page its problem, and they agree on the title and the severity.
func TestEveryProblemHasItsPage(t *testing.T) {
	t.Parallel()
	pages := map[string]bool{"README.md": true}
	index, err := os.ReadFile(filepath.Join(docs, "operator/problems/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range Catalogue() {
		pages[string(p.Code)+".md"] = true
		text, err := os.ReadFile(filepath.Join(docs, p.Page()))
		if err != nil {
			t.Errorf("%s has no page: %v", p.Code, err)
			continue
		}
		for _, want := range []string{"# " + string(p.Code) + "\n", p.Title, "Severity: " + string(p.Severity), "## Cause\n", "## What to do\n", "```sh\n", "\nappliance "} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %q", p.Page(), want)
			}
		}
		if !strings.Contains(string(index), "]("+string(p.Code)+".md)") {
			t.Errorf("%s is not in the list of problems, README.md", p.Code)
		}
	}
	entries, err := os.ReadDir(filepath.Join(docs, "operator/problems"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !pages[entry.Name()] {
			t.Errorf("%s explains no problem of the catalogue", entry.Name())
		}
	}
}
