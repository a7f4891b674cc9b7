package bundletest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
	"time"

	"islet/bundle"
	"islet/bundle/trust"
)

// Created is the time stamp of every bundle made here.
var Created = time.Unix(1_700_000_000, 0).UTC()

// Key returns a key pair that depends on its name alone.
func Key(name string, class trust.Class) (trust.Key, ed25519.PrivateKey) {
	seed := sha256.Sum256([]byte(name))
	private := ed25519.NewKeyFromSeed(seed[:])
	return trust.Key{Name: name, Class: class, Public: ed25519.PublicKey(private[32:])}, private
}

// Sample fills a layout with one of everything.
func Sample(t testing.TB) *Layout {
	t.Helper()
	l := NewLayout(t)
	l.Engine("kube", "v1.36.3",
		File{Path: "bin/kube", Mode: 0o755, Content: bytes.Repeat([]byte("kube engine "), 2000), Links: []string{"bin/kubelet", "bin/kube-proxy"}},
		File{Path: "share/empty", Mode: 0o644, Content: nil})
	image := l.Image("registry.islet.internal/coredns/coredns:1.15.0", "1.15.0", bytes.Repeat([]byte("dns"), 5000))
	l.SBOM(image, []byte(`{"spdxVersion":"SPDX-2.3"}`))
	l.Manifests("coredns", "1.15.0", []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: dns}\n"))
	return l
}

// Options are those of a bundle of the given layouts, unsigned.
func Options(layouts ...*Layout) bundle.Options {
	options := bundle.Options{Name: "islet", Version: "0.1.0", Kind: "platform", Created: Created}
	for _, l := range layouts {
		options.Layouts = append(options.Layouts, l.Dir)
	}
	return options
}

// Bytes makes a bundle in memory.
func Bytes(t testing.TB, options bundle.Options) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := bundle.Write(t.Context(), &out, options); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// WriteFile makes a bundle in a file and returns its path.
func WriteFile(t testing.TB, options bundle.Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.bundle")
	check(t, os.WriteFile(path, Bytes(t, options), 0o644))
	return path
}

// Open opens a bundle in memory and closes it with the test.
func Open(t testing.TB, content []byte, keys ...trust.Key) *bundle.Reader {
	t.Helper()
	r, err := bundle.NewReader(bytes.NewReader(content), int64(len(content)), trust.NewSet(keys...))
	check(t, err)
	return r
}
