package pki

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// accepts says whether who trusts those authorities takes the leaf with what is shown beside it.
func accepts(t *testing.T, s *Store, leaf string, trusted ...*x509.Certificate) bool {
	t.Helper()
	chain, err := loadCerts(s.CertFile(leaf))
	if err != nil {
		t.Fatal(err)
	}
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: today, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, c := range trusted {
		options.Roots.AddCert(c)
	}
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	_, err = chain[0].Verify(options)
	return err == nil
}

// successor makes what the store is given at each step of a rotation.
func successor(t *testing.T, s *Store, name string) (next Successor, certificates func(trusted []byte, cross bool) map[string][]byte) {
	t.Helper()
	next, err := s.NewSuccessor(name)
	if err != nil {
		t.Fatal(err)
	}
	return next, func(trusted []byte, cross bool) map[string][]byte {
		all := s.Authorities()
		all[name] = trusted
		delete(all, name+".cross")
		if cross {
			all[name+".cross"] = next.Cross
		}
		return all
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, &clock{today})
	ensure(t, s, server())
	old := s.Authority(ClusterCA)
	next, certificates := successor(t, s, ClusterCA)
	keys := map[string][]byte{ClusterCA: next.Key}
	certs, err := ParseCerts(next.Cert)
	if err != nil || certs[0].Subject.CommonName != "islet cluster-ca 2" {
		t.Fatalf("%v (%v)", certs, err)
	}
	fresh := certs[0]
	steps := []struct {
		name         string
		trusted      []byte
		cross        bool
		reason       Reason
		byOld, known bool // who trusts the old one takes the leaf; the node trusts the old one
	}{
		{"both", slices.Concat(next.Cert, old.PEM()), true, Foreign, true, true},
		{"the new one", next.Cert, true, Good, true, false},
		{"no trace", next.Cert, false, Chained, false, false},
	}
	for _, step := range steps {
		changed, err := s.SetAuthorities(certificates(step.trusted, step.cross), keys)
		if err != nil || !changed {
			t.Fatalf("%s: %v, changed: %t", step.name, err, changed)
		}
		issued := ensure(t, s, server())
		if step.reason != Good && (len(issued) != 1 || issued[0].Reason != step.reason) || step.reason == Good && len(issued) > 0 {
			t.Errorf("%s: issued %v", step.name, issued)
		}
		s = open(t, dir, &clock{today}) // as after a restart
		if changed, err := s.SetAuthorities(certificates(step.trusted, step.cross), keys); err != nil || changed {
			t.Errorf("%s: once more: %v, changed: %t", step.name, err, changed)
		}
		if again := ensure(t, s, server()); len(again) > 0 {
			t.Errorf("%s: issued again: %v", step.name, again)
		}
		if !accepts(t, s, "server", fresh) {
			t.Errorf("%s: who trusts the new one refuses", step.name)
		}
		if accepts(t, s, "server", old.Cert) != step.byOld {
			t.Errorf("%s: who trusts the old one accepts: %t", step.name, !step.byOld)
		}
		if known := len(s.Authority(ClusterCA).Trusted) == 2; known != step.known {
			t.Errorf("%s: the old one is trusted: %t", step.name, known)
		}
		if _, err := os.Stat(filepath.Join(dir, "cluster-ca.cross")); (err == nil) != step.cross {
			t.Errorf("%s: cross certificate: %v", step.name, err)
		}
	}
	third, err := s.NewSuccessor(ClusterCA)
	if err != nil {
		t.Fatal(err)
	}
	if certs, err := ParseCerts(third.Cert); err != nil || certs[0].Subject.CommonName != "islet cluster-ca 3" {
		t.Errorf("the next one is %v (%v)", certs[0].Subject, err)
	}
}

// An authority without the key that its certificate needs would sign nothing that anybody can verify.
func TestRotationNeedsTheKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, &clock{today})
	_, certificates := successor(t, s, NodeCA)
	next, _ := successor(t, s, NodeCA)
	before := s.Authority(NodeCA)
	if _, err := s.SetAuthorities(certificates(next.Cert, false), nil); err == nil {
		t.Error("an authority without its key")
	}
	if got := open(t, dir, &clock{today}).Authority(NodeCA); !got.Cert.Equal(before.Cert) {
		t.Error("the authority has changed")
	}
	if _, err := s.SetAuthorities(map[string][]byte{NodeCA: next.Cert}, nil); err == nil {
		t.Error("authorities are missing")
	}
}

// A node without keys is told by a server.
func TestRotationOfAJoinedNode(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), &clock{today})
	dir := t.TempDir()
	if err := WriteAuthorities(dir, s.Authorities()); err != nil {
		t.Fatal(err)
	}
	joined, err := OpenJoined(dir, floor, (&clock{today}).read)
	if err != nil {
		t.Fatal(err)
	}
	old := s.Authority(NodeCA)
	next, certificates := successor(t, s, NodeCA)
	want := certificates(slices.Concat(next.Cert, old.PEM()), true)
	if _, err := s.SetAuthorities(want, map[string][]byte{NodeCA: next.Key}); err != nil {
		t.Fatal(err)
	}
	if changed, err := joined.SetAuthorities(s.Authorities(), nil); err != nil || !changed {
		t.Fatalf("%v, changed: %t", err, changed)
	}
	leaf := Leaf{Name: "node", Authority: NodeCA, CommonName: "node2", Client: true}
	request, err := NewRequest(leaf)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(leaf, request.CSR)
	if err != nil {
		t.Fatal(err)
	}
	if err := joined.Install(request, signed); err != nil {
		t.Fatal(err)
	}
	if !accepts(t, joined, "node", old.Cert) || !accepts(t, joined, "node", s.Authority(NodeCA).Cert) {
		t.Error("the certificate is not taken by all")
	}
	if due, err := joined.Due([]Leaf{leaf}); err != nil || len(due) > 0 {
		t.Errorf("due %v (%v)", due, err)
	}
	if _, err := joined.NewSuccessor(NodeCA); !errors.Is(err, ErrNoKey) {
		t.Errorf("a successor without the key: %v", err)
	}
}

// A power cut between the certificate's and the key's taking their places.
func TestRotationIsFinishedAfterAPowerCut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, &clock{today})
	old := s.Authority(EtcdCA)
	next, _ := successor(t, s, EtcdCA)
	both := slices.Concat(next.Cert, old.PEM())
	for _, cut := range []struct {
		name string
		key  []byte // on disk
		new  bool
	}{{"before the key", nil, false}, {"after the key", next.Key, true}} {
		if err := os.WriteFile(certPath(dir, EtcdCA)+comingSuffix, both, 0o644); err != nil {
			t.Fatal(err)
		}
		if cut.key != nil {
			if err := os.WriteFile(keyPath(dir, EtcdCA), cut.key, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got := open(t, dir, &clock{today}).Authority(EtcdCA)
		if isNew := !got.Cert.Equal(old.Cert); isNew != cut.new || len(got.Trusted) == 2 != cut.new {
			t.Errorf("%s: new: %t, %d are trusted", cut.name, isNew, len(got.Trusted))
		}
	}
}

func TestSeal(t *testing.T) {
	t.Parallel()
	s, other := open(t, t.TempDir(), &clock{today}), open(t, t.TempDir(), &clock{today})
	sealed, err := s.Seal("keys", []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := s.Open("keys", sealed); err != nil || string(plain) != "plain" {
		t.Errorf("%q (%v)", plain, err)
	}
	altered := slices.Clone(sealed)
	altered[len(altered)-1] ^= 1
	for name, attempt := range map[string]func() ([]byte, error){
		"another purpose": func() ([]byte, error) { return s.Open("tokens", sealed) },
		"another site":    func() ([]byte, error) { return other.Open("keys", sealed) },
		"altered":         func() ([]byte, error) { return s.Open("keys", altered) },
		"too short":       func() ([]byte, error) { return s.Open("keys", sealed[:5]) },
	} {
		if _, err := attempt(); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
