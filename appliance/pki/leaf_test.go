package pki

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// verify checks the leaf on disk against an authority as a peer would at that time.
func verify(t *testing.T, s *Store, leaf, authority string, at time.Time, usage x509.ExtKeyUsage) {
	t.Helper()
	if err := chain(t, s, leaf, authority, at, usage); err != nil {
		t.Errorf("%s at %s: %v", leaf, at, err)
	}
}

func chain(t *testing.T, s *Store, leaf, authority string, at time.Time, usage x509.ExtKeyUsage) error {
	t.Helper()
	pair, err := s.Pair(leaf)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.Authority(authority).PEM())
	_, err = cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage}})
	return err
}

func TestLeafReasons(t *testing.T) {
	t.Parallel()
	third := leafLife / 3
	cases := []struct {
		name   string
		change func(t *testing.T, dir string, c *clock, l *Leaf)
		want   Reason
	}{
		{"nothing", func(*testing.T, string, *clock, *Leaf) {}, Good},
		{"order of names", func(_ *testing.T, _ string, _ *clock, l *Leaf) { l.DNSNames = []string{"localhost", "node1"} }, Good},
		{"just before renewal", func(_ *testing.T, _ string, c *clock, _ *Leaf) { c.now = c.now.Add(leafLife - third - 9*time.Hour) }, Good},
		{"a third of its life left", func(_ *testing.T, _ string, c *clock, _ *Leaf) { c.now = c.now.Add(leafLife - third) }, Expiring},
		{"expired while switched off", func(_ *testing.T, _ string, c *clock, _ *Leaf) { c.now = c.now.AddDate(4, 0, 0) }, Expired},
		{"clock set back", func(_ *testing.T, _ string, c *clock, _ *Leaf) { c.now = c.now.AddDate(0, 0, -2) }, NotYetValid},
		{"no certificate", func(t *testing.T, dir string, _ *clock, l *Leaf) { remove(t, certPath(dir, l.Name)) }, Missing},
		{"no key", func(t *testing.T, dir string, _ *clock, l *Leaf) { remove(t, keyPath(dir, l.Name)) }, Missing},
		{"damaged certificate", func(t *testing.T, dir string, _ *clock, l *Leaf) { cut(t, certPath(dir, l.Name)) }, Unreadable},
		{"damaged key", func(t *testing.T, dir string, _ *clock, l *Leaf) { cut(t, keyPath(dir, l.Name)) }, Unreadable},
		{"key of another", func(t *testing.T, dir string, _ *clock, l *Leaf) {
			if err := os.Rename(keyPath(dir, ClientCA), keyPath(dir, l.Name)); err != nil {
				t.Fatal(err)
			}
		}, Unreadable},
		{"another authority", func(_ *testing.T, _ string, _ *clock, l *Leaf) { l.Authority = ClientCA }, Foreign},
		{"user", func(_ *testing.T, _ string, _ *clock, l *Leaf) { l.CommonName = "x" }, Changed},
		{"group more", func(_ *testing.T, _ string, _ *clock, l *Leaf) { l.Organizations = append(l.Organizations, "x") }, Changed},
		{"name less", func(_ *testing.T, _ string, _ *clock, l *Leaf) { l.DNSNames = l.DNSNames[:1] }, Changed},
		{"name more", func(_ *testing.T, _ string, _ *clock, l *Leaf) { l.DNSNames = append(l.DNSNames, "x") }, Changed},
		{"address", func(_ *testing.T, _ string, _ *clock, l *Leaf) {
			l.Addresses = []netip.Addr{netip.MustParseAddr("10.0.0.2")}
		}, Changed},
		{"usage", func(_ *testing.T, _ string, _ *clock, l *Leaf) { l.Client = true }, Changed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, now, leaf := t.TempDir(), &clock{today}, server()
			s := open(t, dir, now)
			if issued := ensure(t, s, leaf); len(issued) != 1 || issued[0].Reason != Missing {
				t.Fatalf("at first: %v", issued)
			}
			old := tree(t, dir)
			c.change(t, dir, now, &leaf)
			issued := ensure(t, s, leaf)
			if c.want == Good {
				if len(issued) > 0 {
					t.Errorf("issued %v", issued)
				}
				return
			}
			if len(issued) != 1 || issued[0].Reason != c.want {
				t.Fatalf("issued %v, want the reason %q", issued, c.want)
			}
			if tree(t, dir)["server.key"] == old["server.key"] {
				t.Error("the old key is used again")
			}
			verify(t, s, leaf.Name, leaf.Authority, now.now, x509.ExtKeyUsageServerAuth)
			if issued := ensure(t, s, leaf); len(issued) > 0 {
				t.Errorf("issued once more: %v", issued)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// cut leaves half of a file, as a failing disk may.
func cut(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, info.Size()/2)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestChains(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), &clock{today})
	both := Leaf{Name: "both", Authority: ClusterCA, CommonName: "both", Server: true, Client: true}
	client := Leaf{Name: "client", Authority: ClientCA, CommonName: "system:node:node1", Organizations: []string{"system:nodes"}, Client: true}
	ensure(t, s, server(), both, client)
	cases := []struct {
		name, leaf, authority string
		at                    time.Time
		usage                 x509.ExtKeyUsage
		want                  string
	}{
		{"server", "server", ClusterCA, today, x509.ExtKeyUsageServerAuth, ""},
		{"server as client", "server", ClusterCA, today, x509.ExtKeyUsageClientAuth, "incompatible key usage"},
		{"client", "client", ClientCA, today, x509.ExtKeyUsageClientAuth, ""},
		{"client as server", "client", ClientCA, today, x509.ExtKeyUsageServerAuth, "incompatible key usage"},
		{"both as server", "both", ClusterCA, today, x509.ExtKeyUsageServerAuth, ""},
		{"both as client", "both", ClusterCA, today, x509.ExtKeyUsageClientAuth, ""},
		{"client at another authority", "client", ClusterCA, today, x509.ExtKeyUsageClientAuth, "unknown authority"},
		{"server's as a user", "both", ClientCA, today, x509.ExtKeyUsageClientAuth, "unknown authority"},
		{"a peer whose clock is behind", "server", ClusterCA, today.Add(-23 * time.Hour), x509.ExtKeyUsageServerAuth, ""},
		{"a peer too far behind", "server", ClusterCA, today.Add(-25 * time.Hour), x509.ExtKeyUsageServerAuth, "not yet valid"},
		{"after a year", "server", ClusterCA, today.Add(leafLife + time.Second), x509.ExtKeyUsageServerAuth, "expired"},
	}
	for _, c := range cases {
		err := chain(t, s, c.leaf, c.authority, c.at, c.usage)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestLeafOutlivesNeitherItsAuthorityNorItsNames(t *testing.T) {
	t.Parallel()
	c := &clock{today}
	s := open(t, t.TempDir(), c)
	end := s.Authority(ClusterCA).Cert.NotAfter
	c.now = end.Add(-30 * 24 * time.Hour)
	ensure(t, s, server())
	cert, err := LoadCert(s.CertFile("server"))
	if err != nil || !cert.NotAfter.Equal(end) {
		t.Errorf("valid until %s (%v), the authority until %s", cert.NotAfter, err, end)
	}
	for _, name := range []string{"node1", "localhost", "10.0.0.1", "fd00::1"} {
		if err := cert.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if cert.VerifyHostname("node2") == nil {
		t.Error("valid for another node")
	}
}

func TestUnknownAuthority(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), &clock{today})
	if _, err := s.Ensure([]Leaf{{Name: "x", Authority: "y"}}); err == nil || err.Error() != `certificate x: no authority is named "y"` {
		t.Errorf("%v", err)
	}
}

// The key is written first: whatever the moment of a power cut, a certificate on disk has its key.
func TestKeyIsNeverWithoutItsCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, &clock{today})
	ensure(t, s, server())
	if err := os.MkdirAll(certPath(dir, "next")+"/in the way", 0o755); err != nil {
		t.Fatal(err)
	}
	leaf := server()
	leaf.Name = "next"
	if _, err := s.Ensure([]Leaf{leaf}); err == nil {
		t.Fatal("wrote over a directory")
	}
	if _, err := os.Stat(keyPath(dir, "next")); err != nil {
		t.Errorf("the certificate is written before the key: %v", err)
	}
	if _, err := tls.LoadX509KeyPair(s.CertFile("server"), s.KeyFile("server")); err != nil {
		t.Error(err)
	}
}
