package pki

import (
	"bytes"
	"crypto/x509"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	floor = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	today = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
)

// clock is a time that a test moves.
type clock struct{ now time.Time }

func (c *clock) read() time.Time { return c.now }

func open(t *testing.T, dir string, c *clock) *Store {
	t.Helper()
	s, err := Open(dir, floor, c.read)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// server is a leaf as the tests use it.
func server() Leaf {
	return Leaf{Name: "server", Authority: ClusterCA, CommonName: "server", Organizations: []string{"islet"},
		DNSNames: []string{"node1", "localhost"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}, Server: true}
}

func ensure(t *testing.T, s *Store, leaves ...Leaf) []Issued {
	t.Helper()
	issued, err := s.Ensure(leaves)
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// tree is every file of a directory with its content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[filepath.Base(path)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestAuthoritiesAreMadeOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "pki")
	c := &clock{today}
	first := open(t, dir, c)
	before := tree(t, dir)
	if len(before) != 2*len(AuthorityNames()) {
		t.Fatalf("files %v", before)
	}
	c.now = today.AddDate(3, 0, 0)
	second := open(t, dir, c)
	for name, content := range tree(t, dir) {
		if before[name] != content {
			t.Errorf("%s has changed", name)
		}
	}
	for _, name := range AuthorityNames() {
		ca := second.Authority(name)
		if !bytes.Equal(ca.PEM(), first.Authority(name).PEM()) || ca.CertFile() != filepath.Join(dir, name+".crt") {
			t.Errorf("authority %s is another", name)
		}
		if !ca.Cert.NotBefore.Equal(floor.Add(-Backdate)) || !ca.Cert.NotAfter.Equal(today.Add(caLife)) {
			t.Errorf("authority %s is valid from %s to %s", name, ca.Cert.NotBefore, ca.Cert.NotAfter)
		}
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil { // somebody opened it
		t.Fatal(err)
	}
	s := open(t, dir, &clock{today})
	ensure(t, s, server())
	if _, _, err := s.ServiceAccountKey(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Secret("encryption", 32); err != nil {
		t.Fatal(err)
	}
	want := map[string]fs.FileMode{".crt": 0o644, ".key": 0o600, ".pub": 0o644, ".secret": 0o600}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode() != want[filepath.Ext(e.Name())] {
			t.Errorf("%s has the mode %v (%v)", e.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has the mode %v (%v)", info.Mode(), err)
	}
}

// What is left after a power cut at the first start, and what a hand or a half backup made of it.
func TestDamagedAuthorities(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		damage func(dir string) error
		want   string // part of the error; empty when it must open
	}{
		{"nothing", func(string) error { return nil }, ""},
		{"key without certificate", func(dir string) error { return os.Remove(certPath(dir, ClientCA)) }, ""},
		{"certificate without key", func(dir string) error { return os.Remove(keyPath(dir, ClientCA)) }, "client-ca.key is missing: restore it from a backup"},
		{"certificates mixed up", func(dir string) error { return os.Rename(certPath(dir, SiteCA), certPath(dir, ClientCA)) }, "restore both from one backup"},
		{"no PEM", func(dir string) error { return os.WriteFile(certPath(dir, ClientCA), []byte("x"), 0o644) }, "no PEM block"},
		{"no certificate", func(dir string) error {
			return os.WriteFile(certPath(dir, ClientCA), []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 0o644)
		}, "client-ca.crt: "},
		{"no key", func(dir string) error { return os.WriteFile(keyPath(dir, ClientCA), []byte("x"), 0o600) }, "client-ca.key: no PEM block"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			now := &clock{today}
			s := open(t, dir, now)
			client := Leaf{Name: "admin", Authority: ClientCA, CommonName: "admin", Client: true}
			ensure(t, s, client)
			if err := c.damage(dir); err != nil {
				t.Fatal(err)
			}
			s, err := Open(dir, floor, now.read)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if issued := ensure(t, s, client); len(issued) > 0 { // the key is the same: what it signed stays good
					t.Errorf("issued %v", issued)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "client-ca") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// A clock that was wrong at the first start must not outlive its correction.
func TestClockThatWasWrong(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]time.Time{
		"far behind":  time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC),
		"days ahead":  today.AddDate(0, 0, 2),
		"years ahead": today.AddDate(20, 0, 0),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c := &clock{wrong}
			ensure(t, open(t, dir, c), server())
			c.now = today
			s := open(t, dir, c)
			ensure(t, s, server())
			verify(t, s, "server", ClusterCA, today, x509.ExtKeyUsageServerAuth)
		})
	}
}

func TestClockBeforeTheBuildIsNotBelieved(t *testing.T) {
	t.Parallel()
	c := &clock{floor.AddDate(-10, 0, 0)}
	s := open(t, t.TempDir(), c)
	ensure(t, s, server())
	verify(t, s, "server", ClusterCA, floor, x509.ExtKeyUsageServerAuth)
	if issued := ensure(t, s, server()); len(issued) > 0 {
		t.Errorf("issued again: %v", issued)
	}
	entries, err := s.Inventory([]Leaf{server()})
	if last := entries[len(entries)-1]; err != nil || last.DaysLeft != 365 {
		t.Errorf("%+v (%v)", last, err)
	}
}

func TestDefaultClock(t *testing.T) {
	t.Parallel()
	s, err := Open(t.TempDir(), time.Time{}, nil) // a build without a date
	if err != nil {
		t.Fatal(err)
	}
	ca := s.Authority(SiteCA).Cert
	if age := time.Since(ca.NotBefore); age < Backdate || age > Backdate+time.Hour {
		t.Errorf("valid from %s", ca.NotBefore)
	}
}

func TestInventory(t *testing.T) {
	t.Parallel()
	c := &clock{today}
	s := open(t, t.TempDir(), c)
	leaf := server()
	leaf.UsedBy = "everyone"
	ensure(t, s, leaf)
	c.now = today.Add(leafLife + time.Hour) // only just expired
	entries, err := s.Inventory([]Leaf{leaf, {Name: "never-issued"}})
	if err == nil || !strings.Contains(err.Error(), "never-issued.crt") {
		t.Errorf("a missing certificate: %v", err)
	}
	if len(entries) != len(AuthorityNames())+1 {
		t.Fatalf("entries %+v", entries)
	}
	if first := entries[0]; first.Name != ClusterCA || !first.CA || first.DaysLeft != 9*365-1 {
		t.Errorf("authority %+v", first)
	}
	want := Entry{Name: "server", Subject: "server", Issuer: "islet cluster-ca", NotAfter: today.Add(leafLife), DaysLeft: -1, UsedBy: "everyone"}
	if last := entries[len(entries)-1]; last != want {
		t.Errorf("leaf %+v, want %+v", last, want)
	}
}

func TestServiceAccountKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, &clock{today})
	key, pub, err := s.ServiceAccountKey()
	if err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	if err := os.Remove(pub); err != nil { // a power cut between the two
		t.Fatal(err)
	}
	if _, _, err := s.ServiceAccountKey(); err != nil {
		t.Fatal(err)
	}
	after := tree(t, dir)
	for _, path := range []string{key, pub} {
		if name := filepath.Base(path); before[name] == "" || before[name] != after[name] {
			t.Errorf("%s has changed", name)
		}
	}
	if err := os.WriteFile(key, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.ServiceAccountKey(); err == nil {
		t.Error("a damaged key was replaced: every token that it signed would be refused")
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, &clock{today})
	first, err := s.Secret("encryption", 32)
	if err != nil || len(first) != 32 || bytes.Equal(first, make([]byte, 32)) {
		t.Fatalf("%x (%v)", first, err)
	}
	if again, err := s.Secret("encryption", 32); err != nil || !bytes.Equal(again, first) {
		t.Errorf("another secret the second time (%v)", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "encryption.secret"), first[:16], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Secret("encryption", 32); err == nil || !strings.Contains(err.Error(), "holds 16 bytes, want 32: restore it from a backup") {
		t.Errorf("half a secret: %v", err)
	}
}
