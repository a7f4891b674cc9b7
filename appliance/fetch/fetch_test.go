package fetch

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"islet/bundle"
	"islet/bundle/bundletest"
	"islet/bundle/trust"
)

// large is the size of the sample's largest blobs: they come in several pieces.
const large = 1 << 20

// site is a bundle that servers have.
type site struct {
	*bundle.Reader
	whole []byte
	keys  trust.Set
}

func newSite(t *testing.T) site {
	t.Helper()
	l := bundletest.Sample(t)
	for i := range 8 {
		l.Image(fmt.Sprintf("registry.islet.internal/large:%d", i), "1", bytes.Repeat([]byte{byte(i), 'x', 'y'}, large/3))
	}
	key, private := bundletest.Key("site", trust.Release)
	options := bundletest.Options(l)
	options.Signers = []ed25519.PrivateKey{private}
	whole := bundletest.Bytes(t, options)
	return site{bundletest.Open(t, whole, key), whole, trust.NewSet(key)}
}

// server is a Source. What is nil is as it should be.
type server struct {
	site
	name string
	body func(ctx context.Context, blob digest.Digest, content io.Reader) (io.Reader, error)

	mu     sync.Mutex
	offset []int64 // that were asked for
}

func (s *server) Name() string { return s.name }

func (s *server) Frame(_ context.Context, d digest.Digest) (io.ReadCloser, error) {
	if d != s.Digest() {
		return nil, bundle.ErrNotFound
	}
	return io.NopCloser(s.site.Frame()), nil
}

func (s *server) Blob(ctx context.Context, _, blob digest.Digest, offset int64) (io.ReadCloser, error) {
	s.mu.Lock()
	s.offset = append(s.offset, offset)
	s.mu.Unlock()
	section, err := s.SectionReader(blob)
	if err != nil {
		return nil, err
	}
	_, _ = section.Seek(offset, io.SeekStart)
	var content io.Reader = section
	if s.body != nil {
		content, err = s.body(ctx, blob, section)
	}
	return io.NopCloser(content), err
}

// desk is a machine that fetches.
type desk struct {
	site
	dir    string
	local  []*bundle.Reader
	warned sync.Map
}

func (d *desk) run(t *testing.T, ctx context.Context, servers ...*server) (Result, error) {
	t.Helper()
	draft, err := bundle.OpenDraft(filepath.Join(d.dir, "draft"), bytes.NewReader([]byte("executable")), tail(t, d.Reader), d.keys)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = draft.Close() }()
	o := Options{
		Draft: draft, Parts: filepath.Join(d.dir, "parts"), Local: d.local, Patience: 100 * time.Millisecond, stall: 200 * time.Millisecond,
		Warn: func(name string, why error) { d.warned.Store(name, why) },
		Progress: func(done, total int64) {
			if done > total {
				t.Errorf("%d of %d bytes", done, total)
			}
		},
	}
	for _, s := range servers {
		o.Sources = append(o.Sources, s)
	}
	result, err := Run(ctx, o)
	if err == nil {
		err = draft.Finish(t.Context(), nil)
	}
	return result, err
}

func tail(t *testing.T, r *bundle.Reader) []byte {
	t.Helper()
	content, err := io.ReadAll(r.Tail())
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// complete checks that the draft is the bundle, and nothing else is left.
func (d *desk) complete(t *testing.T) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(d.dir, "draft"))
	if err != nil || !bytes.HasSuffix(got, d.whole) {
		t.Errorf("the draft has %d bytes and is not the bundle (%v)", len(got), err)
	}
	if _, err := os.Stat(filepath.Join(d.dir, "parts")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the parts are still there: %v", err)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	total := int64(0)
	for _, b := range s.Index().Blobs {
		total += b.Size
	}
	flip := func(_ context.Context, _ digest.Digest, content io.Reader) (io.Reader, error) {
		raw, err := io.ReadAll(content)
		raw[len(raw)/2] ^= 1
		return bytes.NewReader(raw), err
	}
	cut := func(_ context.Context, _ digest.Digest, content io.Reader) (io.Reader, error) {
		return io.LimitReader(content, large/5), nil
	}
	refuse := func(context.Context, digest.Digest, io.Reader) (io.Reader, error) { return nil, errors.New("refused") }
	hang := func(ctx context.Context, _ digest.Digest, content io.Reader) (io.Reader, error) {
		return io.MultiReader(io.LimitReader(content, large/5), hangs{ctx}), nil
	}
	good := func() *server { return &server{site: s, name: "good"} }
	for name, c := range map[string]struct {
		servers []*server
		want    error
		warned  map[string]error
		fetched int64 // at most; the bundle once if 0
	}{
		"one":                 {servers: []*server{good()}},
		"two":                 {servers: []*server{good(), {site: s, name: "second"}}},
		"wrong bytes":         {servers: []*server{good(), {site: s, name: "bad", body: flip}}, warned: map[string]error{"bad": bundle.ErrAltered}, fetched: 2 * total},
		"wrong everywhere":    {servers: []*server{{site: s, name: "bad", body: flip}}, warned: map[string]error{"bad": bundle.ErrAltered}, want: bundle.ErrAltered},
		"cut again and again": {servers: []*server{{site: s, name: "cuts", body: cut}}},
		"one is away":         {servers: []*server{good(), {site: s, name: "away", body: refuse}}},
		"all are away":        {servers: []*server{{site: s, name: "away", body: refuse}}, warned: map[string]error{"away": nil}, want: ErrUnfinished},
		"one hangs":           {servers: []*server{good(), {site: s, name: "hangs", body: hang}}},
		"another bundle":      {servers: []*server{good(), {site: newSiteOther(t), name: "other"}}},
		"nobody":              {want: ErrUnfinished},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &desk{site: s, dir: t.TempDir()}
			result, err := d.run(t, t.Context(), c.servers...)
			if !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			for name, want := range c.warned {
				why, _ := d.warned.Load(name)
				if err, ok := why.(error); !ok || want != nil && !errors.Is(err, want) {
					t.Errorf("%s: warned of %v, want %v", name, why, want)
				}
			}
			if c.want != nil {
				return
			}
			d.complete(t)
			if c.fetched == 0 {
				c.fetched = total
			}
			if result.Bytes != total || result.Fetched < total || result.Fetched > c.fetched {
				t.Errorf("%+v, want %d bytes", result, total)
			}
		})
	}
}

// Nothing comes before every stream of both servers is open.
func TestRunFetchesSeveralAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := &desk{site: s, dir: t.TempDir()}
	var opened sync.WaitGroup
	opened.Add(2 * streams)
	var mu sync.Mutex
	count := 0
	wait := func(_ context.Context, _ digest.Digest, content io.Reader) (io.Reader, error) {
		mu.Lock()
		count++
		if count <= 2*streams {
			opened.Done()
		}
		mu.Unlock()
		return io.MultiReader(waiting{&opened}, content), nil
	}
	if _, err := d.run(t, t.Context(), &server{site: s, name: "one", body: wait}, &server{site: s, name: "two", body: wait}); err != nil {
		t.Fatal(err)
	}
	d.complete(t)
}

// waiting gives nothing, when all have come.
type waiting struct{ all *sync.WaitGroup }

func (w waiting) Read([]byte) (int, error) {
	w.all.Wait()
	return 0, io.EOF
}

// newSiteOther is a site with another bundle.
func newSiteOther(t *testing.T) site {
	t.Helper()
	key, private := bundletest.Key("site", trust.Release)
	options := bundletest.Options(bundletest.Sample(t))
	options.Signers = []ed25519.PrivateKey{private}
	whole := bundletest.Bytes(t, options)
	return site{bundletest.Open(t, whole, key), whole, trust.NewSet(key)}
}

// hangs gives nothing until the context ends.
type hangs struct{ ctx context.Context }

func (h hangs) Read([]byte) (int, error) {
	<-h.ctx.Done()
	return 0, h.ctx.Err()
}

// A run that ended in its middle goes on where it was, also inside of a blob; wrong bytes of the first run are thrown away.
func TestRunGoesOn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := &desk{site: s, dir: t.TempDir()}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	begun := 0
	stops := &server{site: s, name: "stops", body: func(ctx context.Context, _ digest.Digest, content io.Reader) (io.Reader, error) {
		mu.Lock()
		defer mu.Unlock()
		if begun++; begun < 4 {
			return content, nil
		}
		return io.MultiReader(io.LimitReader(content, large/3), ending{cancel}, hangs{ctx}), nil
	}}
	first, err := d.run(t, ctx, stops)
	if !errors.Is(err, context.Canceled) || first.Fetched == 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	parts, err := os.ReadDir(filepath.Join(d.dir, "parts"))
	if err != nil || len(parts) == 0 {
		t.Fatalf("no parts are left: %v", err)
	}
	good := &server{site: s, name: "good"}
	second, err := d.run(t, t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	d.complete(t)
	if second.Kept != first.Fetched || second.Kept+second.Fetched != second.Bytes {
		t.Errorf("first %+v, then %+v", first, second)
	}
	inside := false
	for _, offset := range good.offset {
		inside = inside || offset > 0
	}
	if !inside {
		t.Error("no blob was gone on with in its middle")
	}
	third, err := d.run(t, t.Context())
	if !errors.Is(err, ErrUnfinished) || third.Fetched != 0 { // the frame comes anew each time
		t.Errorf("%+v, %v", third, err)
	}
}

// ending calls a function instead of giving anything.
type ending struct{ do func() }

func (e ending) Read([]byte) (int, error) {
	e.do()
	return 0, io.EOF
}

func TestRunThrowsAwayWrongParts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := &desk{site: s, dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(d.dir, "parts"), 0o700); err != nil {
		t.Fatal(err)
	}
	blobs := s.Index().Blobs
	for i, size := range []int64{blobs[0].Size / 2, blobs[1].Size, blobs[2].Size + 7} {
		if err := os.WriteFile(filepath.Join(d.dir, "parts", blobs[i].Digest.Encoded()), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.run(t, t.Context(), &server{site: s, name: "good"}); err != nil {
		t.Fatal(err)
	}
	d.complete(t)
}

// What the machine has in another bundle is not fetched.
func TestRunTakesWhatIsHere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := &desk{site: s, dir: t.TempDir(), local: []*bundle.Reader{newSiteOther(t).Reader, s.Reader}}
	result, err := d.run(t, t.Context(), &server{site: s, name: "good"})
	if err != nil || result.Fetched != 0 || result.Kept != result.Bytes {
		t.Errorf("%+v, %v", result, err)
	}
	d.complete(t)
}

// A full disk is not the fault of a server.
func TestRunEndsWithTheDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := &desk{site: s, dir: t.TempDir()}
	parts := filepath.Join(d.dir, "parts")
	for _, b := range s.Index().Blobs { // where the parts should go are directories
		if err := os.MkdirAll(filepath.Join(parts, b.Digest.Encoded(), "x"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	_, err := d.run(t, t.Context(), &server{site: s, name: "good"})
	if _, ours := errors.AsType[*os.PathError](err); !ours || errors.Is(err, ErrUnfinished) {
		t.Errorf("%v", err)
	}
}
