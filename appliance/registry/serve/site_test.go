package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/appliance/pki"
	"islet/appliance/registry/client"
)

// site is a few servers with a registry each, on this machine.
type site struct {
	dir     string
	servers []*server
}

type server struct {
	t        *testing.T
	settings Settings
	stop     func() // and wait; nil while it does not run
}

const (
	serversGroup = "servers"
	agentsGroup  = "agents"
)

// newSite makes the certificates of a site and the settings of n servers, and starts nothing.
func newSite(t *testing.T, n int) *site {
	t.Helper()
	s := &site{dir: t.TempDir()}
	store, err := pki.Open(filepath.Join(s.dir, "pki"), time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	local := netip.MustParseAddr("127.0.0.1")
	if _, err := store.Ensure([]pki.Leaf{
		{Name: "registry", Authority: pki.SiteCA, CommonName: "registry", Addresses: []netip.Addr{local}, Server: true},
		{Name: "peer", Authority: pki.NodeCA, CommonName: "node1", Organizations: []string{serversGroup}, Client: true},
		{Name: "agent", Authority: pki.NodeCA, CommonName: "node2", Organizations: []string{agentsGroup}, Client: true},
		{Name: "stranger", Authority: pki.ClientCA, CommonName: "stranger", Organizations: []string{serversGroup}, Client: true},
	}); err != nil {
		t.Fatal(err)
	}
	var all []netip.AddrPort
	for range n {
		all = append(all, netip.AddrPortFrom(local, freePort(t)))
	}
	peers, users := filepath.Join(s.dir, "peers.json"), filepath.Join(s.dir, "users.json")
	writeFile(t, peers, all)
	writeFile(t, users, Users{"ci": {Hash: Hash("secret"), Push: true}, "viewer": {Hash: Hash("secret")}})
	for i := range n {
		s.servers = append(s.servers, &server{t: t, settings: Settings{
			Listen: []netip.AddrPort{all[i]}, Dir: filepath.Join(s.dir, fmt.Sprint(i)), Peers: peers, Users: users,
			Cert: store.CertFile("registry"), Key: store.KeyFile("registry"), PeerCert: store.CertFile("peer"), PeerKey: store.KeyFile("peer"),
			ServerCA: store.Authority(pki.SiteCA).CertFile(), NodeCA: store.Authority(pki.NodeCA).CertFile(),
			Groups:         map[string]Right{serversGroup: RightServer, agentsGroup: RightPull},
			reconcileEvery: 50 * time.Millisecond,
		}})
	}
	return s
}

func (s *site) start() *site {
	for _, server := range s.servers {
		server.start()
	}
	return s
}

func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String()).Port()
}

func writeFile(t *testing.T, path string, value any) {
	t.Helper()
	raw, err := json.Marshal(value)
	if err == nil {
		err = os.WriteFile(path, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// start runs the registry until stop, or the end of the test.
func (s *server) start() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	listening, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- Serve(ctx, s.settings, slog.New(slog.DiscardHandler), func() { close(listening) }) }()
	select {
	case <-listening:
	case err := <-ended:
		cancel()
		s.t.Fatal(err)
	}
	s.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
		s.stop = nil
	}
	s.t.Cleanup(func() {
		if s.stop != nil {
			s.stop()
		}
	})
}

// as is a client with the certificate of that name.
func (s *server) as(leaf string) *client.Client {
	s.t.Helper()
	dir := filepath.Dir(s.settings.Cert)
	config, err := ClientTLS(s.settings.ServerCA, filepath.Join(dir, leaf+".crt"), filepath.Join(dir, leaf+".key"))
	if err != nil {
		s.t.Fatal(err)
	}
	c := client.New(s.settings.Listen[0], config)
	s.t.Cleanup(c.Close)
	return c
}

// image is one to push.
type image struct {
	config, layer, manifest []byte
}

func newImage(t *testing.T, text string) image {
	t.Helper()
	i := image{config: []byte(`{"architecture":"amd64","os":"linux"}`), layer: []byte(text)}
	blob := func(mediaType string, b []byte) v1.Descriptor {
		return v1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	}
	var err error
	i.manifest, err = json.Marshal(v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: blob(v1.MediaTypeImageConfig, i.config), Layers: []v1.Descriptor{blob(v1.MediaTypeImageLayer, i.layer)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func (i image) digest() digest.Digest { return digest.FromBytes(i.manifest) }

// push uploads the image and returns the number of copies.
func (s *server) push(name, tag string, i image) int {
	s.t.Helper()
	c := s.as("peer")
	for _, b := range [][]byte{i.config, i.layer} {
		if err := c.PutBlob(s.t.Context(), name, digest.FromBytes(b), int64(len(b)), bytes.NewReader(b)); err != nil {
			s.t.Fatal(err)
		}
	}
	copies, err := c.PutManifest(s.t.Context(), name, tag, v1.MediaTypeImageManifest, i.manifest)
	if err != nil {
		s.t.Fatal(err)
	}
	return copies
}

// pull complains unless the agent gets the image, byte for byte.
func (s *server) pull(name, reference string, want image) error {
	c := s.as("agent")
	raw, _, err := c.Manifest(s.t.Context(), name, reference)
	if err != nil {
		return err
	}
	if !bytes.Equal(raw, want.manifest) {
		return fmt.Errorf("%s:%s is %s, want %s", name, reference, raw, want.manifest)
	}
	for _, b := range [][]byte{want.config, want.layer} {
		body, err := c.Blob(s.t.Context(), name, digest.FromBytes(b))
		if err != nil {
			return err
		}
		got, err := io.ReadAll(body)
		if err := errors.Join(err, body.Close()); err != nil {
			return err
		}
		if !bytes.Equal(got, b) {
			return fmt.Errorf("a blob of %s is %.100q, want %.100q", name, got, b)
		}
	}
	return nil
}

// await asks until there is nothing to complain about.
func await(t *testing.T, cond func() error) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := cond()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// stored lists the blobs on a server's disk.
func (s *server) stored() string {
	s.t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.settings.Dir, "blobs/sha256"))
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}
