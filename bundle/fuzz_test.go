package bundle_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"testing"

	"islet/bundle"
	"islet/bundle/bundletest"
	"islet/bundle/trust"
)

// FuzzReader gives the reader arbitrary files: it must neither crash, nor hand out a byte that is not what its digest
// says, nor accept a signature that is not there.
func FuzzReader(f *testing.F) {
	key, _ := bundletest.Key("test", trust.Release)
	good, _ := signed(f, bundletest.Sample(f))
	onlySigned := bundletest.Open(f, good, key).Digest()
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(good[len(good)-160:])
	f.Add(bundletest.Bytes(f, bundletest.Options(bundletest.Sample(f))))
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, content []byte) {
		if r, err := read(content, trust.NewSet(key)); err == nil && r.Digest() != onlySigned {
			t.Error("an index is trusted that nobody signed")
		}
		r, err := read(content, trust.Set{}.Lenient())
		if err != nil {
			return
		}
		exercise(t, r)
	})
}

// FuzzIndex puts an arbitrary index into a bundle whose trailer is right, which mutation alone would hardly ever hit.
func FuzzIndex(f *testing.F) {
	good, key := signed(f, bundletest.Sample(f))
	r := bundletest.Open(f, good, key)
	archive := good[:r.Index().Archive.Size]
	plain := bundletest.Bytes(f, bundletest.Options(bundletest.Sample(f)))
	f.Add(plain[len(archive) : len(plain)-160])
	f.Add([]byte(`{"formatVersion":1,"blobs":[{"size":-1}]}`))
	f.Fuzz(func(t *testing.T, index []byte) {
		content := bytes.Join([][]byte{archive, index, documentedTrailer(len(archive), index)}, nil)
		r, err := read(content, trust.Set{}.Lenient())
		if err != nil {
			if !errors.Is(err, bundle.ErrInvalid) {
				t.Errorf("got %v, want %v", err, bundle.ErrInvalid)
			}
			return
		}
		exercise(t, r)
	})
}

// exercise uses everything of a reader that takes its numbers from the file.
func exercise(t *testing.T, r *bundle.Reader) {
	_ = r.VerifyAll(t.Context(), nil) // whether it is damaged is the fuzzer's choice
	for _, b := range r.Index().Blobs {
		raw, err := r.ReadBlob(t.Context(), b.Digest, 1<<20)
		if err == nil && b.Digest.Algorithm().FromBytes(raw) != b.Digest {
			t.Errorf("blob %s has other content", b.Digest)
		}
	}
	for _, c := range r.Components() {
		files, err := bundle.EngineFiles(t.Context(), r, c)
		if err != nil {
			continue
		}
		for _, file := range files {
			content, err := bundle.OpenEngineFile(t.Context(), r, file)
			if err != nil {
				continue
			}
			_, _ = io.Copy(io.Discard, io.LimitReader(content, 1<<20)) // it ends, that is all
			if err := content.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	bundle.Diff(r.Index(), r.Index())
}

// FuzzOpenTail: what comes from a server is refused, or it is what was signed.
func FuzzOpenTail(f *testing.F) {
	key, private := bundletest.Key("site", trust.Release)
	l := bundletest.NewLayout(f)
	l.Manifests("coredns", "1.15.0", []byte("kind: Namespace\n"))
	options := bundletest.Options(l)
	options.Signers = []ed25519.PrivateKey{private}
	r := bundletest.Open(f, bundletest.Bytes(f, options), key)
	tail, err := io.ReadAll(r.Tail())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(tail)
	f.Add(tail[len(tail)-160:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		got, err := bundle.OpenTail("", content, trust.NewSet(key))
		if err == nil && got.Digest() != r.Digest() {
			t.Errorf("%d bytes are taken for the bundle %s", len(content), got.Digest())
		}
	})
}
