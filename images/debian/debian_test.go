package debian

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseRecord(t *testing.T) {
	t.Parallel()
	const good = "Package: nft\nArchitecture: amd64\nVersion: 1:1.0-2+b1\nDescription: a\n b: c\nSHA256: abc\n\nPackage: other\n"
	cases := map[string]struct {
		record  string
		want    Package
		wantErr string
	}{
		"good, first record only": {good, Package{Name: "nft", Version: "1:1.0-2+b1", Arch: "amd64", SHA256: "abc"}, ""},
		"no checksum":             {strings.Replace(good, "SHA256", "MD5sum", 1), Package{}, "lacks SHA256"},
		"empty":                   {"", Package{}, "lacks"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseRecord([]byte(test.record))
			if got != test.want || (err == nil) != (test.wantErr == "") || err != nil && !strings.Contains(err.Error(), test.wantErr) {
				t.Errorf("got %v, %v; want %v, %q", got, err, test.want, test.wantErr)
			}
		})
	}
}

func TestFetchRefusesChangedFile(t *testing.T) {
	t.Parallel()
	p := Package{Name: "nft", Version: "1", Arch: "amd64", SHA256: strings.Repeat("0", 64)}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, p.SHA256+".deb"), []byte("not it"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Fetch(t.Context(), dir); !errors.Is(err, ErrChanged) {
		t.Errorf("error %v, want ErrChanged", err)
	}
}

func TestPURL(t *testing.T) {
	t.Parallel()
	got := Package{Name: "conntrack", Version: "1:1.4.7-1+b2", Arch: "amd64"}.PURL("debian-12")
	if want := "pkg:deb/debian/conntrack@1%3A1.4.7-1%2Bb2?arch=amd64&distro=debian-12"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"relative": "file", "absolute": "/file", "twice": "relative", "loop": "loop", "dangling": "none"} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	for name, ok := range map[string]bool{"file": true, "relative": true, "absolute": true, "twice": true, "loop": false, "dangling": false, "none": false, ".": false} {
		got, err := Resolve(root, name)
		if (err == nil) != ok || ok && got != filepath.Join(root, "file") {
			t.Errorf("Resolve(%s) = %s, %v; want success: %t", name, got, err, ok)
		}
	}
}

// copyLibrary puts a file of this machine at the same place under root.
func copyLibrary(t *testing.T, root, name string) {
	t.Helper()
	source, err := Resolve("/", name)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(target, content, 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestClosure(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/lib/x86_64-linux-gnu/libc.so.6"); errors.Is(err, fs.ErrNotExist) {
		t.Skip("needs a Debian amd64 machine")
	}
	root := t.TempDir()
	copyLibrary(t, root, "lib/x86_64-linux-gnu/"+LoaderName)
	if _, err := Closure(root, []string{"/usr/bin/dpkg-deb"}); !errors.Is(err, ErrMissing) {
		t.Errorf("error %v, want ErrMissing: libc is not there", err)
	}
	copyLibrary(t, root, "lib/x86_64-linux-gnu/libc.so.6")
	found, err := Closure(root, []string{filepath.Join(root, "lib/x86_64-linux-gnu/libc.so.6")})
	if err != nil || len(found) != 1 || found[LoaderName] == "" {
		t.Errorf("Closure of libc = %v, %v; want only the loader", found, err)
	}
}

func TestLicenses(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		content string
		want    []string
	}{
		"machine-readable": {"Format: x\n\nFiles: *\nLicense: GPL-2+\n text\n\nLicense: BSD-3-clause\n\nLicense: GPL-2+\n", []string{"BSD-3-clause", "GPL-2+"}},
		"free-form":        {"see `/usr/share/common-licenses/LGPL-2.1'.", []string{"LGPL-2.1"}},
		"unknown":          {"do what you like", nil},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			dir := filepath.Join(root, "usr/share/doc/p")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "copyright"), []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := Licenses(root, "p")
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("got %v, %v; want %v", got, err, test.want)
			}
		})
	}
	if got, err := Licenses(t.TempDir(), "none"); got != nil || err != nil {
		t.Errorf("no copyright file: got %v, %v", got, err)
	}
}
