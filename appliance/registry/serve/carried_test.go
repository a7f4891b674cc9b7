package serve

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/appliance/registry/client"
	"islet/appliance/registry/content"
	"islet/bundle"
	"islet/bundle/bundletest"
	"islet/bundle/trust"
)

// withBundle gives a server a bundle with one image, and returns that image's manifest.
func (s *server) withBundle(reference, text string) v1.Descriptor {
	s.t.Helper()
	l := bundletest.NewLayout(s.t)
	image := l.Image(reference, "1", []byte(text))
	s.settings.Bundle = bundletest.WriteFile(s.t, bundletest.Options(l))
	b, err := bundle.Open(s.settings.Bundle, trust.Set{}.Lenient())
	if err != nil {
		s.t.Fatal(err)
	}
	defer b.Close()
	s.settings.Digest = b.Digest()
	return image
}

func TestBundleIsServedInPlace(t *testing.T) {
	t.Parallel()
	const name = "islet.internal/system/dns"
	server := newSite(t, 1).servers[0]
	desc := server.withBundle(name+":1", "dns")
	server.start()
	c := server.as("agent")
	for _, reference := range []string{"1", desc.Digest.String()} {
		raw, mediaType, err := c.Manifest(t.Context(), name, reference)
		if err != nil || digest.FromBytes(raw) != desc.Digest || mediaType != desc.MediaType {
			t.Fatalf("%s: %s %s (%v)", reference, mediaType, raw, err)
		}
		refs, err := content.ParseManifest(mediaType, raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range refs.Blobs {
			body, err := c.Blob(t.Context(), name, b.Digest)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := digest.FromReader(body); err != nil || got != b.Digest {
				t.Errorf("blob %s reads as %s (%v)", b.Digest, got, err)
			}
			if err := body.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if copied := server.stored(); copied != "" {
		t.Errorf("copies were made: %s", copied)
	}
	// Nobody can make these names mean something else.
	one := newImage(t, "one")
	pusher := server.as("peer")
	for _, b := range [][]byte{one.config, one.layer} {
		if err := pusher.PutBlob(t.Context(), name, digest.FromBytes(b), int64(len(b)), bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	for _, target := range []string{name, "islet.internal/system/other"} {
		if _, err := pusher.PutManifest(t.Context(), target, "1", v1.MediaTypeImageManifest, one.manifest); !errors.Is(err, client.ErrRefused) {
			t.Errorf("push to %s: %v", target, err)
		}
	}
	if err := pusher.Delete(t.Context(), name, "1"); !errors.Is(err, client.ErrRefused) {
		t.Errorf("deletion: %v", err)
	}
}

// An image on top of a layer of the bundle keeps that layer when the bundle is another one.
func TestBaseLayerOutlivesTheBundle(t *testing.T) {
	t.Parallel()
	server := newSite(t, 1).servers[0]
	desc := server.withBundle("islet.internal/system/dns:1", "dns")
	server.start()
	raw, _, err := server.as("peer").Manifest(t.Context(), "islet.internal/system/dns", "1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.as("peer").PutManifest(t.Context(), app, "v1", desc.MediaType, raw); err != nil {
		t.Fatal(err)
	}
	server.stop()
	server.settings.Bundle = ""
	server.start()
	refs, err := content.ParseManifest(desc.MediaType, raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range refs.Blobs {
		if has, err := server.as("agent").HasBlob(t.Context(), app, b.Digest); err != nil || !has {
			t.Errorf("blob %s: %t (%v)", b.Digest, has, err)
		}
	}
}

func TestAnotherBundleIsRefused(t *testing.T) {
	t.Parallel()
	server := newSite(t, 1).servers[0]
	server.withBundle("islet.internal/system/dns:1", "dns")
	server.settings.Digest = digest.FromString("another")
	if _, err := openCarried(t.Context(), server.settings); err == nil || !strings.Contains(err.Error(), "restart the appliance") {
		t.Errorf("error %v", err)
	}
}
