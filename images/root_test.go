package images

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"islet/images/sbom"
)

func TestTagOf(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{"5:7.0.15-1~deb12u10": "7.0.15-1-deb12u10", "15.20-0+deb12u1": "15.20-0-deb12u1", "1.2": "1.2"} {
		if got := tagOf(version); got != want {
			t.Errorf("%s: %s, want %s", version, got, want)
		}
	}
}

// What an image takes besides programs: files by pattern, whole directories, links by what they lead to, and texts of its own.
func TestRootIncludes(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"lib/a.so", "share/one.sql", "share/two.txt", "share/zones/UTC"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("UTC", filepath.Join(root, "share/zones/Zulu")); err != nil {
		t.Fatal(err)
	}
	p := picker{root: root, owner: map[string]sbom.Component{}}
	libraries, err := p.include(Root{Include: []string{"lib/*.so", "share/*.sql", "share/zones"}, Texts: map[string]string{"etc/passwd": "x"}})
	if err != nil || !slices.Equal(libraries, []string{filepath.Join(root, "lib/a.so")}) {
		t.Fatalf("libraries %v (%v)", libraries, err)
	}
	var got []string
	for _, f := range p.files {
		got = append(got, f.path+"="+strings.TrimPrefix(f.source, root))
	}
	want := []string{"etc/passwd=/.texts/etc/passwd", "lib/a.so=/lib/a.so", "share/one.sql=/share/one.sql", "share/zones/UTC=/share/zones/UTC", "share/zones/Zulu=/share/zones/UTC"}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if _, err := p.include(Root{Include: []string{"nothing/*"}}); err == nil {
		t.Error("a pattern that fits nothing passes")
	}
}
