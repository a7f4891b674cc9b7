package images

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/bundle"
	"islet/images/oci"
	"islet/images/sbom"
)

// zstdLine is this repository's pin, so that the test needs no other download than the build.
func zstdLine(t *testing.T) string {
	t.Helper()
	lock, err := ReadLock("..")
	if err != nil {
		t.Fatal(err)
	}
	p, err := lock.Package("zstd")
	if err != nil {
		t.Fatal(err)
	}
	return lockLine(p)
}

// fixture writes a repository with one engine, two images that share a program, and manifests, and returns its root.
// Its cache gets the .deb files that this repository's build has.
func fixture(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	lock := strings.Replace(minimal, `{name: zstd, version: "1", arch: amd64, sha256: `+strings.Repeat("0", 64)+`}`, zstdLine(t), 1)
	lock = strings.Replace(lock, "manifests: {", `  - name: app-too
    reference: islet.internal/test/app
    version: v2
    title: App
    source: here
    licenses: Apache-2.0
    sharesFiles: app
    entrypoint: [/app]
manifests: {`, 1)
	lock = strings.Replace(lock, "c: {source: app.c}", "go: {dir: ., package: ./cmd/tool}", 1)
	for name, content := range map[string]string{
		LockFile:               lock,
		"go.mod":               "module example\n\ngo 1.26\n",
		"cmd/tool/main.go":     "package main\n\nfunc main() { println(\"tool\") }\n",
		"manifests/app/a.yaml": "image: ${IMAGE_APP_TOO}\nother: islet.internal/test/app:v1\n",
	} {
		put(t, root, name, content)
	}
	debs, err := filepath.Glob("../build/cache/deb/*.deb")
	if err != nil {
		t.Fatal(err)
	}
	for _, deb := range debs {
		content, err := os.ReadFile(deb)
		if err != nil {
			t.Fatal(err)
		}
		put(t, root, filepath.Join("build/cache/deb", filepath.Base(deb)), string(content))
	}
	return root
}

func put(t *testing.T, root, name, content string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// build runs the build program and returns what it printed.
func build(t *testing.T, root string, args ...string) (string, error) {
	t.Helper()
	var stdout strings.Builder
	args = append(args, "--root", root, "--out", filepath.Join(root, "build/layout"))
	err := Run(t.Context(), args, &stdout, io.Discard)
	return stdout.String(), err
}

func indexOf(t *testing.T, root string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "build/layout", v1.ImageIndexFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestBuildTwiceGivesTheSameDigests(t *testing.T) {
	t.Parallel()
	first, second := fixture(t), fixture(t)
	for _, root := range []string{first, second} {
		if _, err := build(t, root, "all"); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := indexOf(t, first), indexOf(t, second); a != b {
		t.Errorf("two builds differ:\n%s\n%s", a, b)
	}
}

func TestBuildIsIncremental(t *testing.T) {
	t.Parallel()
	root := fixture(t)
	steps := []struct {
		name    string
		change  func()
		rebuilt []string
	}{
		{"first", func() {}, []string{"engine tool", "image app", "image app-too", "manifest app"}},
		{"nothing changed", func() {}, nil},
		{"a comment in the lock file", func() {
			content, err := os.ReadFile(filepath.Join(root, LockFile))
			if err != nil {
				t.Fatal(err)
			}
			put(t, root, LockFile, "# changed\n"+string(content))
		}, nil},
		{"a manifest", func() { put(t, root, "manifests/app/a.yaml", "kind: x\n") }, []string{"manifest app"}},
		{"a lost blob", func() { removeLayers(t, root, bundle.KindEngine) }, []string{"engine tool"}},
		{"the source", func() {
			put(t, root, "cmd/tool/main.go", "package main\n\nfunc main() { println(\"changed\") }\n")
		}, []string{"engine tool", "image app", "image app-too", "manifest app"}},
	}
	for _, step := range steps {
		step.change()
		said, err := build(t, root, "all")
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		var rebuilt []string
		for line := range strings.Lines(said) {
			if what, _, ok := strings.Cut(line, " built "); ok {
				rebuilt = append(rebuilt, what[strings.Index(what, "s ")+2:])
			}
		}
		if !slices.Equal(rebuilt, step.rebuilt) {
			t.Errorf("%s: rebuilt %v, want %v\n%s", step.name, rebuilt, step.rebuilt, said)
		}
	}
}

// removeLayers deletes the layers of the first component of that kind.
func removeLayers(t *testing.T, root string, kind bundle.Kind) {
	t.Helper()
	layout, entries := openLayout(t, root)
	for _, entry := range entries {
		if entry.Annotations[bundle.AnnotationComponentKind] == string(kind) {
			blobs, err := layout.Reach(entry)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(layout.Path(blobs[len(blobs)-1].Digest)); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no %s", kind)
}

func openLayout(t *testing.T, root string) (*oci.Layout, []v1.Descriptor) {
	t.Helper()
	layout, err := oci.Create(filepath.Join(root, "build/layout"))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := layout.Index()
	if err != nil {
		t.Fatal(err)
	}
	return layout, entries
}

func TestLoad(t *testing.T) {
	t.Parallel()
	root := fixture(t)
	if _, err := build(t, root, "images"); err != nil {
		t.Fatal(err)
	}
	built, err := Load(filepath.Join(root, "build/layout"))
	if err != nil || len(built) != 2 {
		t.Fatalf("Load() = %v, %v; want two images", built, err)
	}
	if want := "islet.internal/test/app:v1@" + built[0].Digest.String(); built[0].Pinned() != want || built[0].Name != "app" {
		t.Errorf("got %s %s, want app %s", built[0].Name, built[0].Pinned(), want)
	}
	if built[0].Digest == built[1].Digest {
		t.Error("both versions have the same digest")
	}
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("an empty directory was loaded")
	}
}

func TestSBOMOfAnImageListsItsMainModule(t *testing.T) {
	t.Parallel()
	root := fixture(t)
	if _, err := build(t, root, "images", "--only", "app"); err != nil {
		t.Fatal(err)
	}
	layout, entries := openLayout(t, root)
	var image, bom v1.Descriptor
	for _, entry := range entries {
		switch entry.Annotations[bundle.AnnotationComponentKind] {
		case string(bundle.KindImage):
			image = entry
		case string(bundle.KindSBOM):
			bom = entry
		}
	}
	var manifest v1.Manifest
	if err := layout.ReadJSON(bom.Digest, &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.Subject == nil || manifest.Subject.Digest != image.Digest || manifest.ArtifactType != sbom.MediaType {
		t.Errorf("SBOM is a %s about %v, want %s about %s", manifest.ArtifactType, manifest.Subject, sbom.MediaType, image.Digest)
	}
	content, err := os.ReadFile(layout.Path(manifest.Layers[0].Digest))
	if err != nil {
		t.Fatal(err)
	}
	parts, err := sbom.Components(content)
	if err != nil || !slices.ContainsFunc(parts, func(c sbom.Component) bool { return c.Name == "example" }) {
		t.Errorf("components %v, %v; want the main module example", parts, err)
	}
}

func TestManifests(t *testing.T) {
	t.Parallel()
	root := fixture(t)
	if _, err := build(t, root, "all"); err != nil {
		t.Fatal(err)
	}
	layout, entries := openLayout(t, root)
	i := slices.IndexFunc(entries, func(d v1.Descriptor) bool {
		return d.Annotations[bundle.AnnotationComponentKind] == string(bundle.KindManifest)
	})
	if i < 0 {
		t.Fatal("no manifests in the index")
	}
	var manifest v1.Manifest
	if err := layout.ReadJSON(entries[i].Digest, &manifest); err != nil {
		t.Fatal(err)
	}
	titles := map[string]v1.Descriptor{}
	for _, layer := range manifest.Layers {
		titles[layer.Annotations[v1.AnnotationTitle]] = layer
	}
	if len(titles) != 2 || titles["a.yaml"].MediaType != MediaTypeYAML {
		t.Errorf("layers %v", titles)
	}
	var pinned map[string]string
	content, err := os.ReadFile(layout.Path(titles[ImagesFile].Digest))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &pinned); err != nil {
		t.Fatal(err)
	}
	built, err := Load(filepath.Join(root, "build/layout"))
	if err != nil || pinned["app"] != built[0].Pinned() || pinned["app-too"] != built[1].Pinned() {
		t.Errorf("%s lists %v, built are %v, %v", ImagesFile, pinned, built, err)
	}
}

func TestManifestsRefuseUnknownImages(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"variable": "image: ${IMAGE_NONE}", "reference": "image: islet.internal/test/app:v3"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := fixture(t)
			put(t, root, "manifests/app/a.yaml", text)
			if _, err := build(t, root, "all"); !errors.Is(err, ErrUnknownImage) {
				t.Errorf("error %v, want ErrUnknownImage", err)
			}
		})
	}
}

func TestRunRefusesBadArguments(t *testing.T) {
	t.Parallel()
	root := fixture(t)
	for want, args := range map[string][]string{
		`unknown target "sauce"`: {"sauce"}, `unexpected argument "more"`: {"all", "--only", "x", "more"}, `nothing named "none"`: {"all", "--only", "none"},
	} {
		err := Run(t.Context(), slices.Concat(args[:1], []string{"--root", root, "--out", filepath.Join(root, "build/layout")}, args[1:]), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %q", args, err, want)
		}
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	budget := Budget{RawMiB: 2, CompressedMiB: 0.5}
	cases := map[string]struct {
		sizes sizes
		over  bool
	}{
		"at the limit":      {sizes{2 << 20, 1 << 19}, false},
		"raw over":          {sizes{2<<20 + 1, 1}, true},
		"compressed over":   {sizes{1, 1<<19 + 1}, true},
		"nothing in it yet": {sizes{}, false},
	}
	for name, test := range cases {
		if err := budget.check(test.sizes); errors.Is(err, ErrBudget) != test.over {
			t.Errorf("%s: error %v, want over: %t", name, err, test.over)
		}
	}
}

// TestBudgetsTogether keeps 13 MiB of the 75 that engines and the operator's executable may weigh for the latter.
func TestBudgetsTogether(t *testing.T) {
	t.Parallel()
	lock, err := ReadLock("..")
	if err != nil {
		t.Fatal(err)
	}
	var total float64
	for _, engine := range lock.Engines {
		total += engine.Budget.CompressedMiB
	}
	if total > 63.5 {
		t.Errorf("the engines' budgets add up to %.1f MiB, limit 63.5", total)
	}
}
