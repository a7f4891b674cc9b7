package bundle_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"islet/bundle"
	"islet/bundle/bundletest"
	"islet/bundle/trust"
)

func read(content []byte, accepted trust.Set) (*bundle.Reader, error) {
	return bundle.NewReader(bytes.NewReader(content), int64(len(content)), accepted)
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	good, key := signed(t, bundletest.Sample(t))
	plain := bundletest.Bytes(t, bundletest.Options(bundletest.Sample(t)))
	stranger, _ := bundletest.Key("stranger", trust.Release)
	executable, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	gap := make([]byte, 4096-len(executable)%4096)
	cases := []struct {
		name     string
		content  []byte
		accepted trust.Set
		want     error
	}{
		{"good", good, trust.NewSet(key), nil},
		{"empty", nil, trust.NewSet(key), bundle.ErrForeign},
		{"one byte", []byte("x"), trust.NewSet(key), bundle.ErrForeign},
		{"some other file", bytes.Repeat([]byte("other"), 1000), trust.NewSet(key), bundle.ErrForeign},
		{"executable without a bundle", executable, trust.NewSet(key), bundle.ErrForeign},
		{"executable cut short", executable[:len(executable)/2], trust.NewSet(key), bundle.ErrTruncated},
		{"executable with a bundle", concat(executable, gap, good), trust.NewSet(key), nil},
		{"executable with a bundle cut short", concat(executable, gap, good[:len(good)-1]), trust.NewSet(key), bundle.ErrTruncated},
		{"something appended", concat(good, []byte("x")), trust.NewSet(key), bundle.ErrTruncated},
		{"beginning missing", good[512:], trust.NewSet(key), bundle.ErrTruncated},
		{"trailer alone", good[len(good)-160:], trust.NewSet(key), bundle.ErrTruncated},
		{"unsigned", plain, trust.NewSet(key), bundle.ErrUnsigned},
		{"unsigned, lenient", plain, trust.NewSet(key).Lenient(), nil},
		{"no key trusted", good, trust.Set{}, bundle.ErrUntrusted},
		{"another key trusted", good, trust.NewSet(stranger), bundle.ErrUntrusted},
		{"another key trusted, lenient", good, trust.NewSet(stranger).Lenient(), nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, err := read(c.content, c.accepted)
			checkReason(t, err, c.want)
			if err == nil {
				if err := r.VerifyAll(t.Context(), nil); err != nil {
					t.Errorf("VerifyAll: %v", err)
				}
			}
		})
	}
}

// checkReason wants exactly one of the package's sentinels, with words for the operator.
func checkReason(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
	if want == nil {
		return
	}
	var e *bundle.Error
	if !errors.As(err, &e) || e.Advice() == "" || e.Detail == "" {
		t.Errorf("%v has no detail or advice", err)
	}
}

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestTruncatedAnywhere(t *testing.T) {
	t.Parallel()
	good, key := signed(t, bundletest.Sample(t))
	r := bundletest.Open(t, good, key)
	x := r.Index()
	// Every byte of the end, and every section's edges before it.
	ends := []int64{1024, x.Archive.Size - 1, x.Archive.Size, x.Archive.Size + 1}
	for _, b := range x.Blobs {
		ends = append(ends, b.Offset-1, b.Offset, b.Offset+b.Size-1, b.Offset+b.Size)
	}
	for end := int64(len(good)) - 600; end < int64(len(good)); end++ {
		ends = append(ends, end)
	}
	for _, end := range ends {
		if _, err := read(good[:end], trust.NewSet(key)); !errors.Is(err, bundle.ErrTruncated) {
			t.Errorf("first %d of %d bytes: %v, want %v", end, len(good), err, bundle.ErrTruncated)
		}
	}
}

// Every single bit counts: whichever is flipped, the bundle is refused on opening or by VerifyAll.
func TestBitFlipAnywhere(t *testing.T) {
	t.Parallel()
	good, key := signed(t, bundletest.Sample(t))
	x := bundletest.Open(t, good, key).Index()
	for at := 0; at < len(good); at++ {
		if int64(at) < x.Archive.Size {
			at += at % 131 // a sample of the archive, every byte of what follows it
		}
		good[at] ^= 1 << (at % 8)
		r, err := read(good, trust.NewSet(key))
		if err == nil {
			err = r.VerifyAll(t.Context(), nil)
		}
		good[at] ^= 1 << (at % 8)
		if !errors.Is(err, bundle.ErrAltered) {
			t.Fatalf("bit flipped at %d (archive ends at %d of %d): %v, want %v", at, x.Archive.Size, len(good), err, bundle.ErrAltered)
		}
	}
}

func TestAlteredBlob(t *testing.T) {
	t.Parallel()
	good, key := signed(t, bundletest.Sample(t))
	r := bundletest.Open(t, good, key)
	var victim bundle.Blob
	for _, b := range r.Index().Blobs {
		if b.Size > victim.Size {
			victim = b
		}
	}
	good[victim.Offset+victim.Size/2] ^= 1
	blob, err := r.Blob(t.Context(), victim.Digest)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, blob)
	checkReason(t, err, bundle.ErrAltered)
	if n >= victim.Size {
		t.Errorf("got all %d bytes of an altered blob", n)
	}
	if _, err := io.ReadFull(blob, make([]byte, 1)); !errors.Is(err, bundle.ErrAltered) {
		t.Errorf("reading on: %v", err)
	}
	all, err := r.Blob(t.Context(), victim.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(all, make([]byte, victim.Size)); !errors.Is(err, bundle.ErrAltered) {
		t.Errorf("a reader that knows the size gets %v", err)
	}
	_, err = r.ReadBlob(t.Context(), victim.Digest, 1<<20)
	checkReason(t, err, bundle.ErrAltered)
	if err := r.Extract(t.Context(), filepath.Join(t.TempDir(), "x"), r.Components(), nil); !errors.Is(err, bundle.ErrAltered) {
		t.Errorf("Extract: %v", err)
	}
}

func TestVerifyAllListsAllDamage(t *testing.T) {
	t.Parallel()
	good, key := signed(t, bundletest.Sample(t))
	r := bundletest.Open(t, good, key)
	for _, b := range r.Index().Blobs {
		good[b.Offset] ^= 1
	}
	err := r.VerifyAll(t.Context(), nil)
	for _, b := range r.Index().Blobs {
		if err == nil || !strings.Contains(err.Error(), b.Digest.String()) {
			t.Errorf("%v does not name %s", err, b.Digest)
		}
	}
}

func TestBlobContract(t *testing.T) {
	t.Parallel()
	content, key := signed(t, bundletest.Sample(t))
	r := bundletest.Open(t, content, key)
	first := r.Index().Blobs[0]
	_, err := r.Blob(t.Context(), digest.FromString("none"))
	checkReason(t, err, bundle.ErrNotFound)
	_, err = r.Find(bundle.KindEngine, "none")
	checkReason(t, err, bundle.ErrNotFound)
	_, err = r.ReadBlob(t.Context(), first.Digest, first.Size-1)
	checkReason(t, err, bundle.ErrOversized)

	ctx, cancel := context.WithCancel(t.Context())
	blob, err := r.Blob(ctx, first.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := blob.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(blob); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v", err)
	}
	if err := r.VerifyAll(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("VerifyAll after cancel: %v", err)
	}
	section, err := r.SectionReader(first.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := io.ReadAll(section); err != nil || digest.FromBytes(raw) != first.Digest {
		t.Errorf("section reader: %d bytes, %v", len(raw), err)
	}
}

func TestConcurrentReads(t *testing.T) {
	t.Parallel()
	key, private := bundletest.Key("test", trust.Release)
	options := bundletest.Options(bundletest.Sample(t))
	options.Signers = []ed25519.PrivateKey{private}
	r, err := bundle.Open(bundletest.WriteFile(t, options), trust.NewSet(key))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for _, b := range r.Index().Blobs {
				if _, err := r.ReadBlob(t.Context(), b.Digest, 1<<20); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	dev, devPrivate := bundletest.Key("dev", trust.Dev)
	site, sitePrivate := bundletest.Key("site", trust.Site)
	options := bundletest.Options(bundletest.Sample(t))
	options.Signers = []ed25519.PrivateKey{devPrivate, sitePrivate}
	content := bundletest.Bytes(t, options)
	for _, c := range []struct {
		accepted []trust.Key
		want     string
	}{{[]trust.Key{dev}, "dev"}, {[]trust.Key{site}, "site"}, {[]trust.Key{dev, site}, "site"}} {
		r := bundletest.Open(t, content, c.accepted...)
		if got := r.Signature(); got.KeyName != c.want || len(got.KeyIDs) != 2 {
			t.Errorf("with %v: %+v, want %s", c.accepted, got, c.want)
		}
	}
}

func TestOpenFile(t *testing.T) {
	t.Parallel()
	if _, err := bundle.Open(filepath.Join(t.TempDir(), "none"), trust.Set{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	_, err := bundle.Open(t.TempDir(), trust.Set{})
	checkReason(t, err, bundle.ErrForeign)
	path := bundletest.WriteFile(t, bundletest.Options(bundletest.Sample(t)))
	_, err = bundle.Open(path, trust.Set{})
	checkReason(t, err, bundle.ErrUnsigned)
	if !strings.Contains(fmt.Sprint(err), path) {
		t.Errorf("%v does not name %s", err, path)
	}
	_, err = bundle.Open("/proc/self/exe", trust.Set{})
	checkReason(t, err, bundle.ErrForeign)
	if strings.Contains(fmt.Sprint(err), "/proc/self") {
		t.Errorf("%v does not say which executable", err)
	}
}

func TestAppendedToAnExecutable(t *testing.T) {
	t.Parallel()
	options := bundletest.Options(bundletest.Sample(t))
	options.Executable = "/proc/self/exe"
	path := filepath.Join(t.TempDir(), "appliance")
	if _, err := bundle.WriteFile(t.Context(), path, options); err != nil {
		t.Fatal(err)
	}
	r, err := bundle.Open(path, trust.Set{}.Lenient())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.Offset() == 0 || r.Offset()%4096 != 0 {
		t.Errorf("bundle begins at %d", r.Offset())
	}
	if err := r.VerifyAll(t.Context(), nil); err != nil {
		t.Error(err)
	}
	again := filepath.Join(t.TempDir(), "appliance")
	options.Executable = path
	if _, err := bundle.WriteFile(t.Context(), again, options); err != nil {
		t.Fatal(err)
	}
	if a, b := mustRead(t, path), mustRead(t, again); !bytes.Equal(a, b) {
		t.Errorf("replacing a bundle by itself gives %d bytes instead of %d", len(b), len(a))
	}
	if info, err := os.Stat(again); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
