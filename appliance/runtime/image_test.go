package runtime

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/appliance/component"
	"islet/bundle"
	"islet/bundle/bundletest"
)

func TestNames(t *testing.T) {
	t.Parallel()
	sum := digest.FromString("x")
	for reference, repository := range map[string]string{
		"islet.internal/dns:1.15.0":    "islet.internal/dns",
		"islet.internal/a/b/c:v1":      "islet.internal/a/b/c",
		"site.example:5000/dns:1":      "site.example:5000/dns",
		"site.example:5000/untagged":   "site.example:5000/untagged",
		"islet.internal/dns:1-alpha.2": "islet.internal/dns",
	} {
		want := []string{reference, repository + "@" + sum.String()}
		if got := names(Image{Reference: reference, Descriptor: ocispec.Descriptor{Digest: sum}}); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestSortForStart(t *testing.T) {
	t.Parallel()
	list := []Image{{Reference: "a"}, {Reference: "dns"}, {Reference: "m"}, {Reference: "pause"}, {Reference: "z"}}
	SortForStart(list, "pause", "dns", "not carried")
	var got []string
	for _, i := range list {
		got = append(got, i.Reference)
	}
	if want := []string{"pause", "dns", "a", "m", "z"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// session is an importer at a running containerd.
type session struct {
	*importer
	images *Images
	ctx    context.Context
}

func (m *machine) session(t *testing.T, b *bundle.Reader, list []Image) *session {
	t.Helper()
	client, err := connect(m.Layout.ContainerdSocket())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return &session{
		importer: &importer{client: client, blobs: b, tmp: m.Layout.Tmp(), epoch: "1"},
		images:   &Images{Socket: m.Layout.ContainerdSocket(), Blobs: b, List: list, TmpDir: m.Layout.Tmp(), Log: slog.New(slog.DiscardHandler)},
		ctx:      namespaces.WithNamespace(t.Context(), Namespace),
	}
}

// pass makes one pass and returns how many images were imported and the bytes written by it.
func (s *session) pass(t *testing.T) (imported int, bytes int64) {
	t.Helper()
	before := s.images.Stats()
	s.epoch += "1"
	if err := s.images.pass(s.ctx, s.importer); err != nil {
		t.Fatal(err)
	}
	after := s.images.Stats()
	return after.Imported - before.Imported, after.Bytes - before.Bytes
}

// chain is the snapshot of an image of one layer.
func (s *session) chain(t *testing.T, image Image) string {
	t.Helper()
	have, err := s.client.GetImage(s.ctx, image.Reference)
	if err != nil {
		t.Fatal(err)
	}
	diffs, err := have.RootFS(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	return identity.ChainID(diffs).String()
}

func TestImport(t *testing.T) {
	t.Parallel()
	m := start(t)
	b, list := imageBundle(t, map[string]string{"one": strings.Repeat("one", 5000), "two": "two", "same-as-two": "two"})
	s := m.session(t, b, list)
	if imported, bytes := s.pass(t); imported != 3 || bytes < 15000 {
		t.Errorf("first pass: %d images, %d bytes", imported, bytes)
	}
	if imported, bytes := s.pass(t); imported != 0 || bytes != 0 {
		t.Errorf("second pass: %d images, %d bytes", imported, bytes)
	}
	have, err := ListImages(t.Context(), m.Layout.ContainerdSocket())
	if err != nil || len(have) != 3 {
		t.Fatalf("%+v (%v)", have, err)
	}
	for i, h := range have {
		if h.Source != "test@sha256:0" || !h.Pinned || !h.Unpacked || h.Digest == "" {
			t.Errorf("%+v", have[i])
		}
	}
	for _, image := range list {
		for _, name := range names(image) {
			if !m.cri(t, name) {
				t.Errorf("the kubelet does not see %s, pinned", name)
			}
		}
	}
	// ADR 0004: no layer is kept compressed.
	manifest, err := b.Manifest(t.Context(), list[0].Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.ContentStore().Info(s.ctx, manifest.Layers[0].Digest); !errdefs.IsNotFound(err) {
		t.Errorf("a compressed layer is in the content store (%v)", err)
	}
	// ADR 0004: after a restart of containerd the images are usable once they were touched.
	m.restart(t)
	if imported, bytes := s.pass(t); imported != 0 || bytes != 0 {
		t.Errorf("after a restart: %d images, %d bytes", imported, bytes)
	}
	for _, image := range list {
		awaitTrue(t, "the kubelet sees "+image.Reference+" after a restart", func() bool { return m.cri(t, names(image)[1]) })
	}
}

func awaitTrue(t *testing.T, what string, there func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !there(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestMendsWhatIsMissing(t *testing.T) {
	t.Parallel()
	m := start(t)
	b, list := imageBundle(t, map[string]string{"one": strings.Repeat("one", 5000)})
	s := m.session(t, b, list)
	s.pass(t)
	snap, content, records := s.client.SnapshotService(snapshotter), s.client.ContentStore(), s.client.ImageService()
	manifest, err := b.Manifest(t.Context(), list[0].Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		damage func() error
		writes bool // whether the layer has to be unpacked again
	}{
		{"a name", func() error { return records.Delete(s.ctx, names(list[0])[1]) }, false},
		{"the config", func() error { return content.Delete(s.ctx, manifest.Config.Digest) }, false},
		{"the manifest", func() error { return content.Delete(s.ctx, list[0].Descriptor.Digest) }, false},
		{"the snapshot", func() error { return snap.Remove(s.ctx, s.chain(t, list[0])) }, true},
		{"a name that is another image now", func() error {
			image, err := records.Get(s.ctx, list[0].Reference)
			if err != nil {
				return err
			}
			image.Target.Digest = digest.FromString("other")
			_, err = records.Update(s.ctx, image)
			return err
		}, false},
		{"everything", func() error {
			for _, name := range names(list[0]) {
				if err := records.Delete(s.ctx, name); err != nil {
					return err
				}
			}
			return errorsOf(content.Delete(s.ctx, manifest.Config.Digest), content.Delete(s.ctx, list[0].Descriptor.Digest))
		}, false},
	} {
		if err := c.damage(); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		imported, bytes := s.pass(t)
		if imported != 1 || (bytes > 0) != c.writes {
			t.Errorf("%s is missing: %d images imported, %d bytes", c.name, imported, bytes)
		}
		if present, err := s.present(s.ctx, list[0]); err != nil || !present {
			t.Errorf("%s was not mended (%v)", c.name, err)
		}
		if !m.cri(t, names(list[0])[0]) {
			t.Errorf("%s: the kubelet does not see the image", c.name)
		}
	}
}

// errorsOf is the first error that says more than that there is nothing: the collector may be quicker.
func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	return nil
}

func TestLeftoverOfAKilledImport(t *testing.T) {
	t.Parallel()
	m := start(t)
	b, list := imageBundle(t, map[string]string{"one": "one"})
	s := m.session(t, b, list)
	manifest, err := b.Manifest(t.Context(), list[0].Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	_, config, err := readJSON[ocispec.Image](t.Context(), b, manifest.Config)
	if err != nil {
		t.Fatal(err)
	}
	key := "import-" + identity.ChainID(config.RootFS.DiffIDs).String()
	snap := s.client.SnapshotService(snapshotter)
	if _, err := snap.Prepare(s.ctx, key, ""); err != nil {
		t.Fatal(err)
	}
	if imported, bytes := s.pass(t); imported != 1 || bytes == 0 {
		t.Errorf("%d images, %d bytes", imported, bytes)
	}
	if _, err := snap.Stat(s.ctx, key); !errdefs.IsNotFound(err) {
		t.Errorf("the leftover is still there (%v)", err)
	}
}

func TestRefusesWrongContent(t *testing.T) {
	t.Parallel()
	m := start(t)
	l := bundletest.NewLayout(t)
	l.Image("islet.internal/good:1", "1", []byte("good"))
	// A layer that is what its descriptor says, but not what the config says it unpacks to.
	layer := l.Blob(ocispec.MediaTypeImageLayer, bundletest.Compress(t, make([]byte, 10240)))
	config := l.Blob(ocispec.MediaTypeImageConfig, []byte(`{"rootfs":{"type":"layers","diff_ids":["`+digest.FromString("other").String()+`"]}}`))
	short := l.Blob(ocispec.MediaTypeImageConfig, []byte(`{"rootfs":{"type":"layers","diff_ids":[]}}`))
	for name, c := range map[string]ocispec.Descriptor{"wrong": config, "short": short} {
		m := `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageManifest + `","config":` + descriptor(c) + `,"layers":[` + descriptor(layer) + `]}`
		l.List(l.Blob(ocispec.MediaTypeImageManifest, []byte(m)), map[string]string{
			bundle.AnnotationComponentKind: string(bundle.KindImage), bundle.AnnotationRefName: "islet.internal/" + name + ":1", bundle.AnnotationVersion: "1",
		})
	}
	b, list := carried(t, l)
	s := m.session(t, b, list)
	err := s.images.pass(s.ctx, s.importer)
	if err == nil || !strings.Contains(err.Error(), "does not unpack to") || !strings.Contains(err.Error(), "1 layers but 0 diff ids") {
		t.Errorf("%v", err)
	}
	if !m.cri(t, "islet.internal/good:1") {
		t.Error("a good image was not imported because of bad ones")
	}
	if m.cri(t, "islet.internal/wrong:1") {
		t.Error("a wrong image is there")
	}
	var left []string
	if err := s.client.SnapshotService(snapshotter).Walk(s.ctx, func(_ context.Context, i snapshots.Info) error {
		left = append(left, i.Name)
		return nil
	}); err != nil || len(left) != 1 {
		t.Errorf("snapshots %v (%v), want that of the good image alone", left, err)
	}
}

func descriptor(d ocispec.Descriptor) string {
	return `{"mediaType":"` + d.MediaType + `","digest":"` + d.Digest.String() + `","size":` + strconv.FormatInt(d.Size, 10) + `}`
}

// cut is a bundle whose blobs end early, as on a failing disk.
type cut struct{ Blobs }

func (c cut) Blob(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	r, err := c.Blobs.Blob(ctx, d)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r, 600), r}, nil
}

// The component as a whole: ready after the first pass, restores what is deleted, follows containerd
// through a restart, and ends when it is told to.
func TestImagesComponent(t *testing.T) {
	t.Parallel()
	m := start(t)
	b, list := imageBundle(t, map[string]string{"one": strings.Repeat("one", 5000)})
	s := m.session(t, b, list)
	whole := s.images.Blobs
	run := func() (made component.Component, stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		made = s.images.Unit().New()
		ready, done := make(chan struct{}, 100), make(chan error, 1)
		go func() { done <- made.Run(ctx, func() { ready <- struct{}{} }) }()
		<-ready
		return made, func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	s.images.Blobs = cut{whole}
	made, stop := run()
	if err := made.(component.Checker).Check(t.Context()); err == nil || !strings.Contains(err.Error(), list[0].Reference) {
		t.Errorf("a bundle that ends early: %v, want it to tell of %s", err, list[0].Reference)
	}
	stop()
	s.images.Blobs = whole
	made, stop = run()
	if err := made.(component.Checker).Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.client.ImageService().Delete(s.ctx, list[0].Reference); err != nil {
		t.Fatal(err)
	}
	awaitTrue(t, "the image is restored", func() bool { return s.images.Stats().Imported == 2 })
	awaitTrue(t, "the kubelet sees it again", func() bool { return m.cri(t, list[0].Reference) })
	m.restart(t)
	awaitTrue(t, "the image is back after a restart", func() bool { return m.cri(t, list[0].Reference) })
	stop()
	if got := s.images.Stats(); got.Images != 1 || got.Imported != 2 || got.Bytes < 15000 {
		t.Errorf("%+v", got)
	}
}
