package images

import (
	"strings"
	"testing"
)

// TestEnginesDoNotLink holds the engines to the packages that the lock file forbids them.
func TestEnginesDoNotLink(t *testing.T) {
	t.Parallel()
	lock, err := ReadLock("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, engine := range lock.Engines {
		for _, file := range engine.Files {
			if file.Go == nil || len(engine.Forbid) == 0 {
				continue
			}
			t.Run(engine.Name, func(t *testing.T) {
				t.Parallel()
				deps, err := file.Go.Deps(t.Context(), "..")
				if err != nil {
					t.Fatal(err)
				}
				for _, dep := range deps {
					for _, rule := range engine.Forbid {
						if rule.matches(dep) {
							t.Errorf("links %s: %s", dep, rule.Reason)
						}
					}
				}
			})
		}
	}
}

func TestRuleMatches(t *testing.T) {
	t.Parallel()
	cases := []struct {
		rule, dep string
		want      bool
	}{
		{"a/b", "a/b", true},
		{"a/b", "a/b/c", false},
		{"a/b/...", "a/b", true},
		{"a/b/...", "a/b/c", true},
		{"a/b/...", "a/bc", false},
	}
	for _, test := range cases {
		if got := (Rule{Package: test.rule}).matches(test.dep); got != test.want {
			t.Errorf("%s matches %s: %t, want %t", test.rule, test.dep, got, test.want)
		}
	}
}

func (r Rule) matches(dep string) bool {
	if below, ok := strings.CutSuffix(r.Package, "/..."); ok {
		return dep == below || strings.HasPrefix(dep, below+"/")
	}
	return dep == r.Package
}
