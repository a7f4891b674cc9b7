package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// agent is the leaf with which an agent shows itself to other nodes.
func agent() Leaf {
	return Leaf{Name: "node", Authority: NodeCA, CommonName: "node2", Organizations: []string{"islet:agents"},
		DNSNames: []string{"node2"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")}, Server: true, Client: true}
}

// join makes the store of a node that holds the site's authorities without their keys.
func join(t *testing.T, site *Store, c *clock) *Store {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pki")
	if err := WriteAuthorities(dir, site.Authorities()); err != nil {
		t.Fatal(err)
	}
	s, err := OpenJoined(dir, floor, c.read)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func request(t *testing.T, l Leaf) Request {
	t.Helper()
	r, err := NewRequest(l)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func signed(t *testing.T, s *Store, l Leaf, csr []byte) []byte {
	t.Helper()
	certificate, err := s.Sign(l, csr)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// install has the leaf signed by the site and installs it.
func install(t *testing.T, site, s *Store, l Leaf) {
	t.Helper()
	r := request(t, l)
	if err := s.Install(r, signed(t, site, l, r.CSR)); err != nil {
		t.Fatal(err)
	}
}

// says checks an error and its words; a formatting verb in them is a mistake of who wrote them.
func says(t *testing.T, name string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "%!") {
		t.Errorf("%s: %v, want %q", name, err, want)
	}
}

func TestRequestRoundTrip(t *testing.T) {
	t.Parallel()
	c := &clock{today}
	site := open(t, t.TempDir(), c)
	s, leaf := join(t, site, c), agent()
	atSite, atNode := tree(t, site.dir), tree(t, s.dir)
	if len(atNode) != len(AuthorityNames()) {
		t.Errorf("a joined node has %v, want certificates of authorities only", slices.Sorted(maps.Keys(atNode)))
	}

	r := request(t, leaf)
	certificate := signed(t, site, leaf, r.CSR)
	if !reflect.DeepEqual(tree(t, s.dir), atNode) || !reflect.DeepEqual(tree(t, site.dir), atSite) {
		t.Error("something is written before the certificate is installed")
	}
	if err := s.Install(r, certificate); err != nil {
		t.Fatal(err)
	}
	if tree(t, s.dir)["node.crt"] != string(certificate) || !reflect.DeepEqual(tree(t, site.dir), atSite) {
		t.Error("the node must have the certificate as it was sent, and the site nothing new")
	}
	for path, want := range map[string]fs.FileMode{s.dir: 0o700, s.KeyFile("node"): 0o600, s.CertFile("node"): 0o644, s.Authority(NodeCA).CertFile(): 0o644} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v (%v), want the mode %v", path, info, err, want)
		}
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		verify(t, s, "node", NodeCA, today, usage)
		verify(t, s, "node", NodeCA, today.Add(-Backdate), usage)
	}
	if !reflect.DeepEqual(s.Authorities(), site.Authorities()) {
		t.Error("a joined node knows other authorities than the site")
	}

	again, err := OpenJoined(s.dir, floor, c.read)
	if err != nil {
		t.Fatal(err)
	}
	if due, err := again.Due([]Leaf{leaf}); err != nil || len(due) > 0 {
		t.Errorf("after a restart: %v, %v", due, err)
	}
	key := tree(t, s.dir)["node.key"]
	install(t, site, again, leaf)
	if tree(t, s.dir)["node.key"] == key {
		t.Error("the old key is used again")
	}
	verify(t, again, "node", NodeCA, today, x509.ExtKeyUsageClientAuth)
}

// Who asks does not choose who it is: the site does.
func TestNamesInRequestsCountForNothing(t *testing.T) {
	t.Parallel()
	site := open(t, t.TempDir(), &clock{today})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	greedy := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}}, DNSNames: []string{"kubernetes"},
		ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}}} // basic constraints: an authority
	raw, err := x509.CreateCertificateRequest(rand.Reader, greedy, key)
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(signed(t, site, agent(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: raw})))
	if block == nil || block.Type != "CERTIFICATE" || len(rest) > 0 {
		t.Fatalf("%v and %d bytes more, want one certificate", block, len(rest))
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if !agent().matches(cert) || cert.IsCA || cert.KeyUsage != x509.KeyUsageDigitalSignature || !key.PublicKey.Equal(cert.PublicKey) {
		t.Errorf("%s %v, an authority: %v", cert.Subject, cert.DNSNames, cert.IsCA)
	}
}

func TestSignRefuses(t *testing.T) {
	t.Parallel()
	c := &clock{today}
	site := open(t, t.TempDir(), c)
	joined := join(t, site, c)
	good := request(t, agent()).CSR
	block, _ := pem.Decode(good)
	asPEM := func(der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	}
	forged := bytes.Clone(block.Bytes)
	forged[len(forged)-1] ^= 1 // in the signature
	nobodys := agent()
	nobodys.Authority = "king"
	cases := []struct {
		name string
		by   *Store
		leaf Leaf
		csr  []byte
		want string
	}{
		{"nothing", site, agent(), nil, "the request is not PEM"},
		{"no PEM", site, agent(), block.Bytes, "the request is not PEM"},
		{"half a PEM", site, agent(), good[:len(good)/2], "the request is not PEM"},
		{"half a request", site, agent(), asPEM(block.Bytes[:len(block.Bytes)/2]), "the request is damaged"},
		{"a certificate", site, agent(), site.Authority(NodeCA).PEM(), "the request is damaged"},
		{"a bad signature", site, agent(), asPEM(forged), "the request is damaged"},
		{"an unknown authority", site, nobodys, good, `no authority is named "king"`},
		{"a node without keys", joined, agent(), good, ErrNoKey.Error()},
	}
	for _, c := range cases {
		certificate, err := c.by.Sign(c.leaf, c.csr)
		says(t, c.name, err, c.want)
		says(t, c.name, err, "certificate node: ")
		if len(certificate) > 0 {
			t.Errorf("%s: a certificate all the same", c.name)
		}
		if errors.Is(err, ErrNoKey) != (c.by == joined) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestInstallRefuses(t *testing.T) {
	t.Parallel()
	c := &clock{today}
	site, other := open(t, t.TempDir(), c), open(t, t.TempDir(), c)
	s := join(t, site, c)
	install(t, site, s, agent())
	before := tree(t, s.dir)
	changed := func(change func(l *Leaf)) func(*testing.T, Request) (Request, []byte) {
		return func(t *testing.T, r Request) (Request, []byte) {
			l := agent()
			change(&l)
			return r, signed(t, site, l, r.CSR)
		}
	}
	const foreign, another = "it is not signed by the site's node-ca", "it is another one than was asked for"
	cases := []struct {
		name   string
		answer func(t *testing.T, r Request) (Request, []byte)
		want   string
	}{
		{"nothing", func(_ *testing.T, r Request) (Request, []byte) { return r, nil }, "the answer is not PEM"},
		{"half a PEM", func(t *testing.T, r Request) (Request, []byte) {
			certificate := signed(t, site, agent(), r.CSR)
			return r, certificate[:len(certificate)/2]
		}, "the answer is not PEM"},
		{"a damaged certificate", func(t *testing.T, r Request) (Request, []byte) {
			block, _ := pem.Decode(signed(t, site, agent(), r.CSR))
			return r, encodeCert(block.Bytes[:len(block.Bytes)/2])
		}, "certificate node: "},
		{"a forged signature", func(t *testing.T, r Request) (Request, []byte) {
			block, _ := pem.Decode(signed(t, site, agent(), r.CSR))
			block.Bytes[len(block.Bytes)-1] ^= 1
			return r, encodeCert(block.Bytes)
		}, foreign},
		{"the request itself", func(_ *testing.T, r Request) (Request, []byte) { return r, r.CSR }, "certificate node: "},
		{"of another site", func(t *testing.T, r Request) (Request, []byte) { return r, signed(t, other, agent(), r.CSR) }, foreign},
		{"of another authority", changed(func(l *Leaf) { l.Authority = ClientCA }), foreign},
		{"the authority's own", func(_ *testing.T, r Request) (Request, []byte) { return r, site.Authority(NodeCA).PEM() }, another},
		{"another's key", func(t *testing.T, r Request) (Request, []byte) {
			return r, signed(t, site, agent(), request(t, agent()).CSR)
		}, another},
		{"another name", changed(func(l *Leaf) { l.CommonName = "node3" }), another},
		{"another group", changed(func(l *Leaf) { l.Organizations = []string{"islet:servers"} }), another},
		{"a group more", changed(func(l *Leaf) { l.Organizations = append(l.Organizations, "islet:servers") }), another},
		{"another host name", changed(func(l *Leaf) { l.DNSNames = []string{"node3"} }), another},
		{"no address", changed(func(l *Leaf) { l.Addresses = nil }), another},
		{"a usage less", changed(func(l *Leaf) { l.Server = false }), another},
		{"of an unknown authority", func(t *testing.T, r Request) (Request, []byte) {
			certificate := signed(t, site, r.Leaf, r.CSR)
			r.Leaf.Authority = "king"
			return r, certificate
		}, "it is not signed by the site's king"},
	}
	for _, c := range cases {
		r, certificate := c.answer(t, request(t, agent()))
		says(t, c.name, s.Install(r, certificate), c.want)
		if !reflect.DeepEqual(tree(t, s.dir), before) {
			t.Fatalf("%s: refused, but files have changed", c.name)
		}
	}
	verify(t, s, "node", NodeCA, today, x509.ExtKeyUsageClientAuth)
}

func TestEnsureOnJoinedNode(t *testing.T) {
	t.Parallel()
	c := &clock{today}
	site := open(t, t.TempDir(), c)
	s := join(t, site, c)
	install(t, site, s, agent())
	if issued := ensure(t, s, agent()); len(issued) > 0 {
		t.Errorf("issued %v", issued)
	}
	before := tree(t, s.dir)
	issued, err := s.Ensure([]Leaf{agent(), server()})
	if !errors.Is(err, ErrNoKey) || len(issued) > 0 || !reflect.DeepEqual(tree(t, s.dir), before) {
		t.Errorf("issued %v, %v; want %v and the same files", issued, err, ErrNoKey)
	}
	says(t, "a missing leaf", err, "certificate server: ")
}

func TestDue(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		at   time.Time
		do   func(t *testing.T, s *Store, l *Leaf)
		want Reason
	}{
		{"new", today, nil, Good},
		{"with two thirds of its life left", today.Add(leafLife / 3), nil, Good},
		{"with a third of its life left", today.Add(leafLife - leafLife/3), nil, Expiring},
		{"on its last day", today.Add(leafLife), nil, Expiring},
		{"switched off for years", today.AddDate(3, 0, 0), nil, Expired},
		{"clock set back", today.Add(-Backdate - time.Second), nil, NotYetValid},
		{"clock before the build", floor.AddDate(-20, 0, 0), nil, NotYetValid},
		{"without certificate", today, func(t *testing.T, s *Store, _ *Leaf) { remove(t, s.CertFile("node")) }, Missing},
		{"without key", today, func(t *testing.T, s *Store, _ *Leaf) { remove(t, s.KeyFile("node")) }, Missing},
		{"damaged", today, func(t *testing.T, s *Store, _ *Leaf) { cut(t, s.CertFile("node")) }, Unreadable},
		{"another address", today, func(_ *testing.T, _ *Store, l *Leaf) { l.Addresses = []netip.Addr{netip.MustParseAddr("10.0.0.9")} }, Changed},
		{"another authority", today, func(_ *testing.T, _ *Store, l *Leaf) { l.Authority = ClusterCA }, Foreign},
	}
	site := open(t, t.TempDir(), &clock{today})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			now, leaf := &clock{today}, agent()
			s := join(t, site, now)
			if due, err := s.Due([]Leaf{leaf}); err != nil || len(due) != 1 || due[0].Reason != Missing || due[0].Leaf.Name != "node" {
				t.Fatalf("at first: %v, %v", due, err)
			}
			install(t, site, s, leaf)
			now.now = c.at
			if c.do != nil {
				c.do(t, s, &leaf)
			}
			before := tree(t, s.dir)
			var got Reason
			due, err := s.Due([]Leaf{leaf})
			if len(due) > 0 {
				got = due[0].Reason
			}
			if err != nil || got != c.want || len(due) > 1 {
				t.Errorf("%v, %v; want %q", due, err, c.want)
			}
			if !reflect.DeepEqual(tree(t, s.dir), before) {
				t.Error("asking has changed files")
			}
		})
	}
}

func TestDueOfUnknownAuthority(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), &clock{today})
	due, err := s.Due([]Leaf{server(), {Name: "x", Authority: "king"}})
	says(t, "an unknown authority", err, `certificate x: no authority is named "king"`)
	if due != nil {
		t.Errorf("%v", due)
	}
}

func TestWriteAuthoritiesRefuses(t *testing.T) {
	t.Parallel()
	site := open(t, t.TempDir(), &clock{today})
	leaf := agent()
	cases := []struct {
		name, want string
		content    []byte
	}{
		{"missing", "authority node-ca: the site sent no certificate", nil},
		{"no PEM", "authority node-ca: the site sent no certificate", []byte("x")},
		{"damaged", "authority node-ca: the site sent something else", encodeCert([]byte("x"))},
		{"no authority", "authority node-ca: the site sent something else", signed(t, site, leaf, request(t, leaf).CSR)},
	}
	for _, c := range cases {
		dir, sent := t.TempDir(), site.Authorities()
		sent[NodeCA] = c.content
		says(t, c.name, WriteAuthorities(dir, sent), c.want)
		_, err := OpenJoined(dir, floor, nil)
		if says(t, c.name, err, "authority "); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: opened: %v", c.name, err)
		}
		if err := WriteAuthorities(dir, site.Authorities()); err != nil { // the second try
			t.Errorf("%s: %v", c.name, err)
		}
		if _, err := OpenJoined(dir, floor, nil); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestOpenJoinedRefuses(t *testing.T) {
	t.Parallel()
	site := open(t, t.TempDir(), &clock{today})
	for name, c := range map[string]struct {
		damage func(path string) error
		want   string
	}{
		"missing": {os.Remove, "no such file"},
		"no PEM":  {func(path string) error { return os.WriteFile(path, []byte("x"), 0o644) }, "no PEM block"},
		"damaged": {func(path string) error { return os.WriteFile(path, encodeCert([]byte("x")), 0o644) }, "site-ca.crt: "},
	} {
		s := join(t, site, &clock{today})
		if err := c.damage(s.Authority(SiteCA).CertFile()); err != nil {
			t.Fatal(err)
		}
		_, err := OpenJoined(s.dir, floor, nil)
		says(t, name, err, "authority site-ca: ")
		says(t, name, err, c.want)
	}
}

// A power cut between the new key and the new certificate loses neither the old pair nor the new one.
func TestInterruptedRenewalIsFinished(t *testing.T) {
	t.Parallel()
	l := Leaf{Name: "node", Authority: NodeCA, CommonName: "node2", Client: true, UsedBy: "the test"}
	for name, cut := range map[string]func(dir, crt, coming string) error{
		"before the key": func(_, crt, coming string) error { // the coming certificate is of a key that never was written
			data, err := os.ReadFile(crt)
			if err != nil {
				return err
			}
			return os.WriteFile(coming, data[:len(data)/2], 0o644)
		},
		"after the key": func(_, crt, coming string) error { return os.Rename(crt, coming) },
	} {
		dir := t.TempDir()
		s, err := Open(dir, time.Time{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Ensure([]Leaf{l}); err != nil {
			t.Fatal(err)
		}
		if err := cut(dir, s.CertFile(l.Name), s.CertFile(l.Name)+comingSuffix); err != nil {
			t.Fatal(err)
		}
		if s, err = OpenJoined(dir, time.Time{}, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Pair(l.Name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(s.CertFile(l.Name) + comingSuffix); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the coming certificate stays: %v", name, err)
		}
	}
}
