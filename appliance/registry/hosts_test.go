package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	dockerconfig "github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/appliance/layout"
	"islet/appliance/pki"
	"islet/appliance/registry/client"
	"islet/appliance/registry/serve"
)

// TestContainerdPulls lets containerd's own resolver pull by the files that a node writes, from the second server: the
// first one is away. It is the one way in which nodes get images, whatever their names.
func TestContainerdPulls(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := Params{Layout: layout.Layout{StateDir: dir}, Address: netip.MustParseAddr("127.0.0.77"), ServerGroup: "servers", AgentGroup: "agents"}
	p.Bundle = func() (string, digest.Digest) { return "", "" }
	certificates, err := pki.Open(p.Layout.PKI(), time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	agent := pki.Leaf{Name: "node", Authority: pki.NodeCA, CommonName: "node2", Organizations: []string{"agents"}, Client: true}
	if _, err := certificates.Ensure(append(Leaves("node1", p.Address, "apps.example", "servers"), agent)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(p.Layout.Generated(), Name), 0o700); err != nil {
		t.Fatal(err)
	}
	hosts := Hosts{
		Dir: filepath.Join(dir, "hosts"), Servers: []netip.Addr{netip.MustParseAddr("127.0.0.78"), p.Address},
		CA: certificates.Authority(pki.SiteCA).CertFile(), Cert: certificates.CertFile("node"), Key: certificates.KeyFile("node"), DialSeconds: 1,
	}
	if err := hosts.Write(); err != nil {
		t.Fatal(err)
	}
	serveIn(t, p)
	for _, name := range []string{"docker.io/library/shop:1", "registry.islet.internal/team/shop:1", "registry.islet.internal:5000/team/shop:1", "harbor.example:8443/team/shop:1"} {
		want := pushTo(t, p.Address, certificates, name)
		resolver := docker.NewResolver(docker.ResolverOptions{
			Hosts: dockerconfig.ConfigureHosts(t.Context(), dockerconfig.HostOptions{HostDir: dockerconfig.HostDirFromRoot(hosts.Dir)}),
		})
		full, desc, err := resolver.Resolve(t.Context(), name)
		if err != nil || desc.Digest != want.Digest || desc.MediaType != want.MediaType {
			t.Fatalf("%s: %+v (%v)", name, desc, err)
		}
		fetcher, err := resolver.Fetcher(t.Context(), full)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range []v1.Descriptor{desc, {MediaType: v1.MediaTypeImageLayer, Digest: digest.FromString("layer"), Size: 5}} {
			body, err := fetcher.Fetch(t.Context(), d)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			raw, err := io.ReadAll(body)
			if err != nil || digest.FromBytes(raw) != d.Digest {
				t.Errorf("%s: %s (%v)", name, raw, err)
			}
			if err := body.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// serveIn runs the registry by the settings that its unit writes, on the server's address alone.
func serveIn(t *testing.T, p Params) {
	t.Helper()
	path := filepath.Join(p.Layout.Generated(), Name, "config.json")
	if err := p.writeSettings(path); err != nil {
		t.Fatal(err)
	}
	settings, err := serve.ReadSettings(path)
	if err != nil {
		t.Fatal(err)
	}
	settings.Listen = settings.Listen[:1]
	ctx, cancel := context.WithCancel(t.Context())
	listening, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- serve.Serve(ctx, settings, slog.New(slog.DiscardHandler), func() { close(listening) })
	}()
	select {
	case <-listening:
	case err := <-ended:
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// pushTo pushes a small image under a name and describes it.
func pushTo(t *testing.T, address netip.Addr, certificates *pki.Store, name string) v1.Descriptor {
	t.Helper()
	config, err := serve.ClientTLS(certificates.Authority(pki.SiteCA).CertFile(), certificates.CertFile(LeafPeer), certificates.KeyFile(LeafPeer))
	if err != nil {
		t.Fatal(err)
	}
	c := client.New(netip.AddrPortFrom(address, Port), config)
	defer c.Close()
	repository := name[:len(name)-len(":1")]
	blob := func(mediaType, text string) v1.Descriptor {
		d := v1.Descriptor{MediaType: mediaType, Digest: digest.FromString(text), Size: int64(len(text))}
		if err := c.PutBlob(t.Context(), repository, d.Digest, d.Size, bytes.NewReader([]byte(text))); err != nil {
			t.Fatal(err)
		}
		return d
	}
	raw, err := json.Marshal(v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: blob(v1.MediaTypeImageConfig, "{}"), Layers: []v1.Descriptor{blob(v1.MediaTypeImageLayer, "layer")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.PutManifest(t.Context(), repository, "1", v1.MediaTypeImageManifest, raw); err != nil {
		t.Fatal(err)
	}
	return v1.Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: digest.FromBytes(raw)}
}
