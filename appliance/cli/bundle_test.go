package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"islet/bundle"
	"islet/bundle/bundletest"
	"islet/bundle/trust"
)

// site is a directory with a key, a layout and a bundle made of them by the command line.
type site struct{ keys, layout, file string }

func newSite(t *testing.T, class string) site {
	t.Helper()
	s := site{keys: t.TempDir(), layout: bundletest.Sample(t).Dir, file: filepath.Join(t.TempDir(), "a.bundle")}
	keygen := []string{"bundle", "keygen", "--out", s.keys, "--name", "k"}
	if class != "" {
		keygen = append(keygen, "--"+class)
	}
	mustCall(t, keygen...)
	mustCall(t, s.create(s.file)...)
	return s
}

func (s site) create(out string, more ...string) []string {
	return append([]string{"bundle", "create", "--layout", s.layout, "--name", "islet", "--version", "0.1.0",
		"--key", filepath.Join(s.keys, "k.key"), "--out", out}, more...)
}

func mustCall(t *testing.T, args ...string) result {
	t.Helper()
	got := call(t, "/proc/self/exe", args...)
	if got.code != CodeOK {
		t.Fatalf("%q: %+v", args, got)
	}
	return got
}

func TestBundleRoundTrip(t *testing.T) {
	t.Parallel()
	s := newSite(t, "release")
	verified := mustCall(t, "bundle", "verify", s.file, "--trust-dir", s.keys)
	if !strings.Contains(verified.out, "signed by release key k") {
		t.Errorf("%+v", verified)
	}
	inspected := decode[bundleSummary](t, mustCall(t, "bundle", "inspect", s.file, "-o", "json", "--trust-dir", s.keys).out)
	if inspected.Signature.State != bundle.Trusted || inspected.Kind != "platform" || len(inspected.Components) != 4 {
		t.Errorf("%+v", inspected)
	}
	again := filepath.Join(t.TempDir(), "b.bundle")
	mustCall(t, s.create(again)...)
	if a, b := readFile(t, s.file), readFile(t, again); !bytes.Equal(a, b) {
		t.Error("two runs of create differ")
	}
	difference := decode[bundle.Difference](t, mustCall(t, "bundle", "diff", s.file, again, "-o", "json").out)
	if len(difference.Changes) != 0 || difference.Unchanged != 3 || difference.Added.Bytes != 0 {
		t.Errorf("%+v", difference)
	}
}

func TestBundleDiffText(t *testing.T) {
	t.Parallel()
	s := newSite(t, "dev")
	other := bundletest.NewLayout(t)
	other.Manifests("coredns", "1.16.0", []byte("kind: Namespace\n"))
	file := filepath.Join(t.TempDir(), "b.bundle")
	mustCall(t, "bundle", "create", "--layout", other.Dir, "--name", "x", "--version", "2", "--unsigned", "--out", file)
	out := mustCall(t, "bundle", "diff", s.file, file).out
	for _, want := range []string{"- engine    kube  v1.36.3", "~ manifest  coredns  1.15.0 to 1.16.0", "0 components unchanged, 3 changed"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestBundleExtract(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	layout, files := filepath.Join(t.TempDir(), "l"), t.TempDir()
	mustCall(t, "bundle", "extract", s.file, "--trust-dir", s.keys, "--out", layout)
	again := filepath.Join(t.TempDir(), "b.bundle")
	s.layout = layout
	mustCall(t, s.create(again)...)
	if !bytes.Equal(readFile(t, s.file), readFile(t, again)) {
		t.Error("extract and create give another bundle")
	}
	mustCall(t, "bundle", "extract", s.file, "--trust-dir", s.keys, "--files", "--only", "engine/kube", "--out", files)
	if got := readFile(t, filepath.Join(files, "bin", "kube-proxy")); len(got) != 24000 {
		t.Errorf("engine file of %d bytes", len(got))
	}
	image := filepath.Join(t.TempDir(), "image")
	name := "registry.islet.internal/coredns/coredns:1.15.0"
	report := decode[extractReport](t, mustCall(t, "bundle", "extract", s.file, "--trust-dir", s.keys, "--only", "image/"+name, "--out", image, "-o", "json").out)
	kinds := []bundle.Kind{}
	for _, c := range report.Components {
		kinds = append(kinds, c.Kind)
	}
	if !slices.Equal(kinds, []bundle.Kind{bundle.KindImage, bundle.KindSBOM}) {
		t.Errorf("an image comes with %v", kinds)
	}
	for name, c := range map[string]struct {
		args []string
		want Code
	}{
		"into a layout":          {[]string{"--out", layout}, CodeExists},
		"no such component":      {[]string{"--out", t.TempDir(), "--only", "engine/none"}, CodeNotInBundle},
		"no kind":                {[]string{"--out", t.TempDir(), "--only", "kube"}, CodeUsage},
		"files of what has none": {[]string{"--out", t.TempDir(), "--files", "--only", "image/" + name}, CodeUsage},
	} {
		got := call(t, "/proc/self/exe", append([]string{"bundle", "extract", s.file, "--trust-dir", s.keys}, c.args...)...)
		if got.code != c.want {
			t.Errorf("%s: %+v, want code %d", name, got, c.want)
		}
	}
}

func TestBundleRefusals(t *testing.T) {
	t.Parallel()
	s := newSite(t, "release")
	good := readFile(t, s.file)
	unsigned := filepath.Join(t.TempDir(), "u.bundle")
	mustCall(t, "bundle", "create", "--layout", s.layout, "--name", "x", "--version", "1", "--unsigned", "--out", unsigned)
	altered := bytes.Clone(good)
	altered[len(altered)/2] ^= 1
	cases := []struct {
		name    string
		content []byte
		trust   string
		want    Code
	}{
		{"truncated", good[:len(good)-7], s.keys, CodeTruncated},
		{"altered", altered, s.keys, CodeAltered},
		{"foreign", []byte("hello"), s.keys, CodeForeign},
		{"unsigned", readFile(t, unsigned), s.keys, CodeUnsigned},
		{"untrusted", good, t.TempDir(), CodeUntrusted},
	}
	for _, c := range cases {
		path := filepath.Join(t.TempDir(), "x.bundle")
		if err := os.WriteFile(path, c.content, 0o644); err != nil {
			t.Fatal(err)
		}
		got := call(t, "/proc/self/exe", "bundle", "verify", path, "--trust-dir", c.trust)
		if got.code != c.want || !strings.Contains(got.err, "error: bundle "+path) || !strings.Contains(got.err, "\nnext: ") || got.out != "" {
			t.Errorf("%s: %+v, want code %d", c.name, got, c.want)
		}
	}
	if got := call(t, "/proc/self/exe", "bundle", "verify", "/does/not/exist"); got.code != CodeNoFile {
		t.Errorf("missing file: %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := callContext(ctx, "/proc/self/exe", "bundle", "verify", s.file, "--trust-dir", s.keys); got.code != CodeInterrupted {
		t.Errorf("cancelled: %+v", got)
	}
	if inspected := mustCall(t, "bundle", "inspect", unsigned); !strings.Contains(inspected.out, "NOT SIGNED") {
		t.Errorf("%+v", inspected)
	}
}

func TestKeygen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	report := decode[keyReport](t, mustCall(t, "bundle", "keygen", "--dev", "--out", dir, "-o", "json").out)
	key, err := trust.ParseKey(report.RootKey)
	if err != nil || key.Class != trust.Dev || key.ID() != report.ID || report.Private != filepath.Join(dir, "development.key") {
		t.Errorf("%+v, %v", report, err)
	}
	shown := mustCall(t, "bundle", "keygen", "--out", dir)
	block, _ := pem.Decode(readFile(t, filepath.Join(dir, "site.key")))
	if block == nil || strings.Contains(shown.out+shown.err, base64.StdEncoding.EncodeToString(block.Bytes)) {
		t.Errorf("no private key, or it is shown: %+v", shown)
	}
	if again := call(t, "/proc/self/exe", "bundle", "keygen", "--dev", "--out", dir); again.code != CodeExists {
		t.Errorf("second key of one name: %+v", again)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	s := newSite(t, "dev")
	executable := filepath.Join(t.TempDir(), "appliance")
	mustCall(t, s.create(executable, "--executable", "/proc/self/exe")...)

	bare := call(t, "/proc/self/exe", "version")
	if bare.code != CodeOK || !strings.Contains(bare.out, "appliance v0.1.0-test") || !strings.Contains(bare.out, "no bundle inside") {
		t.Errorf("without a bundle: %+v", bare)
	}
	carried := call(t, executable, "version", "--trust-dir", s.keys)
	for _, want := range []string{"DEVELOPMENT key k", "engine    kube", "v1.36.3"} {
		if !strings.Contains(carried.out, want) {
			t.Errorf("no %q in\n%s", want, carried.out)
		}
	}
	report := decode[versionReport](t, call(t, executable, "version", "-o", "json").out)
	if report.Version != "v0.1.0-test" || report.Bundle == nil || len(report.Bundle.Components) != 4 || report.Bundle.Offset == 0 {
		t.Errorf("%+v", report)
	}
	if named := call(t, "/proc/self/exe", "version", "--bundle", s.file); !strings.Contains(named.out, "kube") {
		t.Errorf("--bundle: %+v", named)
	}
	if short := call(t, "/does/not/exist", "version", "--short"); short.out != "v0.1.0-test\n" {
		t.Errorf("--short: %+v", short)
	}
	if wrong := call(t, "/proc/self/exe", "version", "--bundle", "/etc/hostname"); wrong.code != CodeForeign {
		t.Errorf("--bundle with another file: %+v", wrong)
	}
}

func TestBundleVariable(t *testing.T) {
	t.Parallel()
	e := NewEnv(Stdio{})
	e.Getenv = func(name string) string { return map[string]string{BundleVariable: "from-env"}[name] }
	if got := e.BundlePath(); got != "from-env" {
		t.Errorf("with %s: %s", BundleVariable, got)
	}
	if e.bundlePath = "from-flag"; e.BundlePath() != "from-flag" {
		t.Errorf("with --bundle as well: %s", e.BundlePath())
	}
	e.bundlePath, e.Getenv = "", func(string) string { return "" }
	if got := e.BundlePath(); got != "/proc/self/exe" {
		t.Errorf("with neither: %s", got)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
