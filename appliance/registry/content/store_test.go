package content

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

const name = "registry.islet.internal/team/app"

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func add(t *testing.T, s *Store, text string) v1.Descriptor {
	t.Helper()
	d := digest.FromString(text)
	if err := s.Add(d, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return v1.Descriptor{MediaType: v1.MediaTypeImageLayer, Digest: d, Size: int64(len(text))}
}

// push stores an image with one layer and returns the digest of its manifest.
func push(t *testing.T, s *Store, tag, text string) digest.Digest {
	t.Helper()
	config := add(t, s, "{}")
	config.MediaType = v1.MediaTypeImageConfig
	m := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest, Config: config, Layers: []v1.Descriptor{add(t, s, text)}}
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	d := add(t, s, string(raw)).Digest
	if err := s.Put(name, tag, d, Manifest{MediaType: m.MediaType, Size: int64(len(raw))}); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestStoreSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	first, second := push(t, s, "v1", "one"), push(t, s, "v2", "two")
	if err := s.Delete(name, "v1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.NewUpload(); err != nil { // interrupted
		t.Fatal(err)
	}
	s = open(t, dir)
	r := s.Repository(name)
	if tags := r.TagNames(); !slices.Equal(tags, []string{"v2"}) {
		t.Errorf("tags %v", tags)
	}
	for _, d := range []digest.Digest{first, second} {
		if raw, err := s.Manifest(d); err != nil || digest.FromBytes(raw) != d {
			t.Errorf("manifest %s: %v", d, err)
		}
	}
	if left, err := os.ReadDir(filepath.Join(dir, "uploads")); err != nil || len(left) > 0 {
		t.Errorf("uploads %v (%v)", left, err)
	}
}

func TestDeleteByDigestTakesTheTags(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	d := push(t, s, "v1", "one")
	push(t, s, "latest", "one")
	if err := s.Delete(name, string(d)); err != nil {
		t.Fatal(err)
	}
	for _, reference := range []string{"v1", "latest", string(d)} {
		if _, _, err := s.Repository(name).Resolve(reference); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", reference, err)
		}
	}
	if err := s.Delete(name, "v1"); !errors.Is(err, ErrUnknown) {
		t.Errorf("a second time: %v", err)
	}
	push(t, s, "v1", "one")
	if _, _, err := s.Repository(name).Resolve("v1"); err != nil {
		t.Errorf("pushed again: %v", err)
	}
}

func TestDamagedRecordIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	push(t, open(t, dir), "v1", "one")
	path := filepath.Join(dir, "repositories", name, recordName)
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
}

func TestUpload(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	u, err := s.NewUpload()
	if err != nil {
		t.Fatal(err)
	}
	if err := u.AppendAt(0, strings.NewReader("hello ")); err != nil {
		t.Fatal(err)
	}
	if err := u.AppendAt(0, strings.NewReader("world")); !errors.Is(err, ErrOffset) {
		t.Errorf("a chunk in the wrong place: %v", err)
	}
	if err := u.AppendAt(6, strings.NewReader("world")); err != nil || u.Size() != 11 {
		t.Errorf("%d bytes (%v)", u.Size(), err)
	}
	if err := u.Commit(digest.FromString("hello world")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Upload(u.ID); !errors.Is(err, ErrUnknown) {
		t.Errorf("the upload is still known: %v", err)
	}
	if n, err := s.Size(digest.FromString("hello world")); err != nil || n != 11 {
		t.Errorf("%d bytes (%v)", n, err)
	}
	other := digest.FromString("other")
	if err := s.Copy(other, strings.NewReader("something else")); !errors.Is(err, ErrDigest) {
		t.Errorf("content of another digest: %v", err)
	}
	if _, err := s.Size(other); !errors.Is(err, ErrUnknown) {
		t.Errorf("it is there all the same: %v", err)
	}
	if err := s.Copy("sha512:00", strings.NewReader("")); !errors.Is(err, ErrDigest) {
		t.Errorf("another kind of digest: %v", err)
	}
}

func TestFullDiskRefusesPushes(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	s.free = func() (int64, error) { return reserve - 1, nil }
	if err := s.Copy(digest.FromString("x"), strings.NewReader("x")); !errors.Is(err, ErrFull) {
		t.Errorf("error %v", err)
	}
	if len(s.uploads) > 0 {
		t.Error("the upload is still there")
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	kept, gone := push(t, s, "v1", "one"), push(t, s, "v2", "two")
	add(t, s, "never used")
	if err := s.Delete(name, string(gone)); err != nil {
		t.Fatal(err)
	}
	if swept, err := s.Sweep(Grace); err != nil || swept.Blobs != 0 {
		t.Errorf("within the time of grace: %+v (%v)", swept, err)
	}
	s.now = func() time.Time { return time.Now().Add(2 * Grace) }
	if here, err := s.Keep(digest.FromString("never used")); err != nil || !here {
		t.Fatalf("%t (%v)", here, err)
	}
	swept, err := s.Sweep(Grace)
	if err != nil || swept.Blobs != 2 { // the manifest of v2 and its layer: the config is v1's too
		t.Errorf("%+v (%v)", swept, err)
	}
	for d, want := range map[digest.Digest]error{
		kept: nil, digest.FromString("one"): nil, digest.FromString("{}"): nil, digest.FromString("never used"): nil,
		gone: ErrUnknown, digest.FromString("two"): ErrUnknown,
	} {
		if _, err := s.Size(d); !errors.Is(err, want) {
			t.Errorf("blob %s: %v, want %v", d, err, want)
		}
	}
}

func TestSweepRemovesNothingWhenAManifestIsDamaged(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	d := push(t, s, "v1", "one")
	if err := os.WriteFile(s.blobPath(d), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return time.Now().Add(2 * Grace) }
	if swept, err := s.Sweep(Grace); !errors.Is(err, ErrDigest) || swept.Blobs > 0 {
		t.Errorf("%+v (%v)", swept, err)
	}
	if _, err := s.Size(digest.FromString("one")); err != nil {
		t.Error(err)
	}
}

// Records that are merged in any order, and more than once, end up the same.
func TestMergeKnowsNoOrder(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		var all []Repository
		for range 4 {
			one := newRepository()
			for range 6 {
				at := time.Unix(int64(r.IntN(4)), 0).UTC()
				d := digest.FromString(fmt.Sprint(r.IntN(3)))
				one.Manifests[d] = Manifest{MediaType: "m", Changed: at, Deleted: r.IntN(2) == 0}
				one.Tags[fmt.Sprint(r.IntN(3))] = Tag{Digest: d, Changed: at, Deleted: r.IntN(2) == 0}
			}
			all = append(all, one)
		}
		a, b := newRepository(), newRepository()
		for i := range all {
			a.merge(all[i])
			b.merge(all[len(all)-1-i])
			b.merge(all[0])
		}
		if !a.Same(b) || !b.Same(a) || a.merge(b) {
			t.Fatalf("%+v and %+v from %+v", a, b, all)
		}
	}
}

func TestClockThatWasSetBack(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	push(t, s, "v1", "one")
	s.now = func() time.Time { return time.Unix(0, 0) }
	if err := s.Delete(name, "v1"); err != nil {
		t.Fatal(err)
	}
	before := open(t, t.TempDir())
	push(t, before, "v1", "one")
	r := before.Repository(name)
	r.merge(s.Repository(name))
	if len(s.Repository(name).TagNames()) != 0 {
		t.Error("the deletion is undone by the push before it")
	}
}

func TestFullName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ host, path, want string }{
		{"", "team/app", SiteHost + "/team/app"},
		{"", "app", SiteHost + "/app"},
		{"docker.io", "library/nginx", "docker.io/library/nginx"},
		{"", "docker.io/library/nginx", "docker.io/library/nginx"},
		{SiteHost, "team/app", SiteHost + "/team/app"},
		{SiteHost + ":5000", "team/app", SiteHost + "/team/app"},
		{"192.0.2.1:5000", "team/app", SiteHost + "/team/app"},
		{"harbor:8443", "team/app", "harbor:8443/team/app"},
		{"", "islet.internal/system/pause", "islet.internal/system/pause"},
		{"", "Team/app", ""},
		{"", "../app", ""},
		{"..", "app", ""},
		{"a..b", "app", ""},
		{"", "team//app", ""},
		{"", "_uploads/x", ""},
		{"evil.example/../..", "app", ""},
		{"", strings.Repeat("a", 300), ""},
	} {
		got, err := FullName(c.host, c.path)
		if (err != nil) != (c.want == "") || err == nil && got != c.want {
			t.Errorf("%q %q is %q (%v), want %q", c.host, c.path, got, err, c.want)
		}
	}
}
