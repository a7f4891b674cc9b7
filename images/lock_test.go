package images

import (
	"os"
	"strings"
	"testing"
)

// minimal is a lock file that is right; cases break it.
const minimal = `
format: 1
sourceDateEpoch: 1700000000
debian:
  suite: debian-12
  packages:
    - {name: zstd, version: "1", arch: amd64, sha256: 0000000000000000000000000000000000000000000000000000000000000000}
engines:
  - name: tool
    version: v1.2.3
    budget: {rawMiB: 2, compressedMiB: 1}
    files:
      - path: bin/tool
        go: {dir: ., package: ./cmd/tool}
images:
  - name: app
    reference: islet.internal/test/app
    version: v1
    title: App
    source: here
    licenses: Apache-2.0
    files:
      - path: app
        c: {source: app.c}
    entrypoint: [/app]
manifests: {dir: manifests, version: v1}
`

func TestDecodeLock(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ old, new, want string }{
		"right":                  {"", "", ""},
		"newer format":           {"format: 1", "format: 2", "format: 2"},
		"unknown field":          {"suite:", "sweet:", "sweet"},
		"no time":                {"1700000000", "0", "sourceDateEpoch"},
		"short checksum":         {"sha256: 00", "sha256: ", "debian.packages[0] (zstd)"},
		"engine without budget":  {"budget: {rawMiB: 2, compressedMiB: 1}", "", "needs a budget"},
		"engine without version": {"version: v1.2.3", "", "engines[0]"},
		"source with a path":     {"engines:", "  sources:\n    - {name: a, version: \"1\", file: ../a.tar, license: MIT, sha256: " + strings.Repeat("0", 64) + "}\nengines:", "debian.sources[0] (a)"},
		"source without license": {"engines:", "  sources:\n    - {name: a, version: \"1\", file: a.tar, sha256: " + strings.Repeat("0", 64) + "}\nengines:", "debian.sources[0] (a)"},
		"two ways to build":      {"c: {source: app.c}", "{c: {source: a.c}, go: {dir: ., package: .}}", "images/lock.yaml"},
		"no way to build":        {"c: {source: app.c}", "links: [x]", "exactly one of go, c and make"},
		"path leaves the root":   {"path: bin/tool", "path: ../tool", "clean relative path"},
		"absolute path":          {"path: bin/tool", "path: /bin/tool", "clean relative path"},
		"user by name":           {"licenses:", "user: nobody\n    licenses:", "not numeric"},
		"root without a reason":  {"licenses:", "user: \"0:0\"\n    licenses:", "why it runs as root"},
		"shares with nobody":     {"    files:\n      - path: app\n        c: {source: app.c}\n", "    sharesFiles: x\n", `"x" is no image`},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(minimal, test.old, test.new, 1)
			if text == minimal && test.old != "" {
				t.Fatal("the case changes nothing")
			}
			_, err := DecodeLock([]byte(text))
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func FuzzDecodeLock(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte("images: [{sharesFiles: a}, {name: a}]"))
	f.Fuzz(func(t *testing.T, content []byte) {
		lock, err := DecodeLock(content)
		if (lock == nil) == (err == nil) {
			t.Errorf("lock %v with error %v", lock, err)
		}
	})
}

func TestLockOfThisRepository(t *testing.T) {
	t.Parallel()
	lock, err := ReadLock("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, engine := range lock.Engines {
		if strings.Contains(engine.Version, "$") {
			t.Errorf("%s: version %q is not filled in", engine.Name, engine.Version)
		}
		if engine.Name == "kube" {
			stamps := engine.Files[0].Go.Stamps
			if stamps["k8s.io/component-base/version.gitVersion"] != engine.Version || stamps["k8s.io/component-base/version.gitMajor"] != "1" ||
				stamps["k8s.io/client-go/pkg/version.gitMinor"] != "36" {
				t.Errorf("kube %s is stamped %v", engine.Version, stamps)
			}
		}
		if folder := engine.Folder; folder != nil {
			if _, err := lock.folderKey(*folder); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestExpand(t *testing.T) {
	t.Parallel()
	lock, err := DecodeLock([]byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	gomod := "module m\n\nrequire (\n\ta.example/x v1.2.3\n\ta.example/y v0.0.0\n)\n\nreplace a.example/y => a.example/z v2.0.0\n"
	if err := os.WriteFile(root+"/go.mod", []byte(gomod), 0o600); err != nil {
		t.Fatal(err)
	}
	x := expansion{lock: lock, modules: moduleVersions{root: root, byDir: map[string]map[string]string{}}, version: "v1.36.3"}
	cases := map[string]struct {
		want string
		ok   bool
	}{
		"plain":                         {"plain", true},
		"${version}+x":                  {"v1.36.3+x", true},
		"${major}.${minor}":             {"1.36", true},
		"${module:a.example/x}":         {"v1.2.3", true},
		"${module:a.example/y}":         {"v2.0.0", true},
		"${debian:zstd}":                {"1", true},
		"${date}":                       {"2023-11-14T22:13:20Z", true},
		"${module:a.example/not-there}": {"", false},
		"${debian:not-there}":           {"", false},
		"${nonsense}":                   {"", false},
	}
	for text, want := range cases {
		if got, err := x.expand(text); got != want.want || (err == nil) != want.ok {
			t.Errorf("expand(%s) = %q, %v; want %q", text, got, err, want.want)
		}
	}
}
