package bundle_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"islet/bundle"
	"islet/bundle/bundletest"
	"islet/bundle/trust"
)

// carried is a signed bundle behind the executable of this very test, and the bytes of both.
func carried(t *testing.T) (path string, whole, executable []byte, r *bundle.Reader, keys trust.Set) {
	t.Helper()
	key, private := bundletest.Key("site", trust.Release)
	options := bundletest.Options(bundletest.Sample(t))
	options.Signers, options.Executable = []ed25519.PrivateKey{private}, testExecutable(t)
	path = filepath.Join(t.TempDir(), "appliance")
	if _, err := bundle.WriteFile(t.Context(), path, options); err != nil {
		t.Fatal(err)
	}
	keys = trust.NewSet(key)
	r, err := bundle.Open(path, keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return path, fileBytes(t, path), fileBytes(t, options.Executable), r, keys
}

func testExecutable(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func fileBytes(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func all(t *testing.T, r io.Reader) []byte {
	t.Helper()
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// A bundle that is put together from its parts, in any order and with a break, is the same to the last bit.
func TestDraft(t *testing.T) {
	t.Parallel()
	_, whole, executable, r, keys := carried(t)
	tail := all(t, r.Tail())
	path := filepath.Join(t.TempDir(), "draft")
	blobs := r.Index().Blobs
	for part := range 2 {
		d, err := bundle.OpenDraft(path, bytes.NewReader(executable), tail, keys)
		if err != nil {
			t.Fatal(err)
		}
		if d.Digest() != r.Digest() {
			t.Errorf("the draft is of %s", d.Digest())
		}
		for i, b := range blobs {
			if has, err := d.Has(t.Context(), b.Digest); err != nil || has != (part == 1 && i%2 == 0) {
				t.Errorf("part %d: has blob %d: %t, %v", part, i, has, err)
			}
			if i%2 != part {
				continue
			}
			content, err := r.SectionReader(b.Digest)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.WriteBlob(b.Digest, content); err != nil {
				t.Error(err)
			}
		}
		if part == 0 {
			if err := d.Finish(t.Context(), nil); !errors.Is(err, bundle.ErrAltered) {
				t.Errorf("half a draft: %v", err)
			}
		} else if err := errors.Join(d.WriteFrame(r.Frame()), d.Finish(t.Context(), nil)); err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if !bytes.Equal(fileBytes(t, path), whole) {
		t.Error("the file is another one")
	}
}

func TestDraftRefuses(t *testing.T) {
	t.Parallel()
	_, _, executable, r, keys := carried(t)
	tail := all(t, r.Tail())
	other, _ := bundletest.Key("other", trust.Release)
	open := func(tail []byte, keys trust.Set) (*bundle.Draft, error) {
		return bundle.OpenDraft(filepath.Join(t.TempDir(), "draft"), bytes.NewReader(executable), tail, keys)
	}
	altered, longer := bytes.Clone(tail), bytes.Clone(tail)
	altered[0] ^= 1
	longer[len(longer)-154] ^= 1 // of the bundle's size
	for name, c := range map[string]struct {
		tail []byte
		keys trust.Set
		want error
	}{
		"nothing":           {nil, keys, bundle.ErrForeign},
		"a little":          {tail[len(tail)-40:], keys, bundle.ErrForeign},
		"the trailer alone": {tail[len(tail)-160:], keys, bundle.ErrAltered},
		"altered":           {altered, keys, bundle.ErrAltered},
		"another size":      {longer, keys, bundle.ErrAltered},
		"unknown key":       {tail, trust.NewSet(other), bundle.ErrUntrusted},
	} {
		if _, err := open(c.tail, c.keys); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	d, err := open(tail, keys)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	first, second := r.Index().Blobs[0].Digest, r.Index().Blobs[1].Digest
	wrong, err := r.SectionReader(second)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.WriteBlob(first, wrong); !errors.Is(err, bundle.ErrAltered) {
		t.Errorf("another blob: %v", err)
	}
	if err := d.WriteBlob("sha256:00", wrong); !errors.Is(err, bundle.ErrNotFound) {
		t.Errorf("a blob of no bundle: %v", err)
	}
	frame := all(t, r.Frame())
	if err := d.WriteFrame(bytes.NewReader(frame[1:])); !errors.Is(err, io.EOF) {
		t.Errorf("a frame cut short: %v", err)
	}
	frame[100] ^= 1
	if err := d.WriteFrame(bytes.NewReader(frame)); !errors.Is(err, bundle.ErrAltered) {
		t.Errorf("another frame: %v", err)
	}
}

func TestOpenExecutable(t *testing.T) {
	t.Parallel()
	path, whole, executable, r, _ := carried(t)
	altered := bytes.Clone(whole)
	altered[len(altered)-60] ^= 1
	for name, c := range map[string]struct {
		content []byte
		want    error
	}{
		"bare":     {executable, nil},
		"whole":    {whole, nil},
		"cut":      {whole[:len(whole)-1000], nil},
		"altered":  {altered, bundle.ErrAltered},
		"a script": {[]byte("#!/bin/sh\n"), bundle.ErrForeign},
	} {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		content, err := bundle.OpenExecutable(file)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err != nil {
			continue
		}
		if got := all(t, content); !bytes.Equal(got, whole[:r.Offset()]) {
			t.Errorf("%s: %d bytes, want %d", name, len(got), r.Offset())
		}
		_ = content.Close()
	}
	if part := all(t, r.Executable()); !bytes.Equal(part, whole[:r.Offset()]) {
		t.Errorf("%s begins with %d bytes", path, len(part))
	}
}
