package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"
)

// Leaf is a certificate that some component uses.
type Leaf struct {
	// Name is the file name without its ending.
	Name string
	// Authority is the name of the authority that signs it.
	Authority string
	// CommonName and Organizations are the Kubernetes user and groups of a client certificate.
	CommonName    string
	Organizations []string
	DNSNames      []string
	Addresses     []netip.Addr
	// Server and Client select the extended key usages.
	Server, Client bool
	// UsedBy says in plain words what stops working without it.
	UsedBy string
}

// Reason says why a leaf is (re-)issued; empty when it is good.
type Reason string

// The reasons for issuing.
const (
	Good       Reason = ""
	Missing    Reason = "missing"
	Unreadable Reason = "unreadable"
	Expired    Reason = "expired"
	Expiring   Reason = "expires soon"
	Changed    Reason = "names changed"
	Foreign    Reason = "signed by another authority"
	// Chained is a leaf with a cross certificate that is not that of its authority, or without it.
	Chained Reason = "shown with another chain"
	// NotYetValid is a leaf that was issued while the clock was ahead.
	NotYetValid Reason = "not valid yet"
)

// renewBefore is when a leaf is renewed: with a third of its life left, so that a site that is
// switched on three times a year never meets an expired one.
func renewBefore(cert *x509.Certificate) time.Duration {
	return cert.NotAfter.Sub(cert.NotBefore) / 3
}

// check compares the leaf on disk with what is wanted.
func (l Leaf) check(dir string, ca *Authority, now time.Time) Reason {
	cert, key, err := loadPair(dir, l.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Missing
	case err != nil:
		return Unreadable
	}
	switch {
	case !key.PublicKey.Equal(cert.PublicKey):
		return Unreadable
	case cert.CheckSignatureFrom(ca.Cert) != nil:
		return Foreign
	case now.After(cert.NotAfter):
		return Expired
	case now.Before(cert.NotBefore):
		return NotYetValid
	case cert.NotAfter.Sub(now) < renewBefore(cert):
		return Expiring
	case !l.matches(cert):
		return Changed
	case !l.isChained(dir, ca):
		return Chained
	}
	return Good
}

func (l Leaf) matches(cert *x509.Certificate) bool {
	var addresses []netip.Addr
	for _, ip := range cert.IPAddresses {
		a, _ := netip.AddrFromSlice(ip)
		addresses = append(addresses, a.Unmap())
	}
	return cert.Subject.CommonName == l.CommonName &&
		sameSet(cert.Subject.Organization, l.Organizations) &&
		sameSet(cert.DNSNames, l.DNSNames) &&
		sameSet(addresses, l.Addresses) &&
		sameSet(cert.ExtKeyUsage, l.usages())
}

func (l Leaf) usages() []x509.ExtKeyUsage {
	var out []x509.ExtKeyUsage
	if l.Server {
		out = append(out, x509.ExtKeyUsageServerAuth)
	}
	if l.Client {
		out = append(out, x509.ExtKeyUsageClientAuth)
	}
	return out
}

func sameSet[T comparable](a, b []T) bool {
	within := func(set []T) func(T) bool { return func(x T) bool { return slices.Contains(set, x) } }
	return len(slices.DeleteFunc(slices.Clone(a), within(b))) == 0 && len(slices.DeleteFunc(slices.Clone(b), within(a))) == 0
}

// issue makes a new key and certificate. A key is never used for longer than its certificate.
func (l Leaf) issue(dir string, ca *Authority, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	raw, err := l.sign(ca, key.Public(), now)
	if err != nil {
		return err
	}
	return storePair(dir, l.Name, ca.chain(raw), key)
}

// chain is a certificate of the authority with what else its holder shows, as PEM.
func (a *Authority) chain(leaf []byte) []byte {
	out := encodeCert(leaf)
	if a.Cross != nil {
		out = append(out, encodeCert(a.Cross.Raw)...)
	}
	return out
}

// isChained says whether the leaf's file holds the leaf and what is to be shown with it, no more and no less.
func (l Leaf) isChained(dir string, ca *Authority) bool {
	have, err := os.ReadFile(certPath(dir, l.Name))
	if err != nil {
		return false
	}
	certs, err := ParseCerts(have)
	return err == nil && bytes.Equal(have, ca.chain(certs[0].Raw))
}

// sign makes the certificate of a key.
func (l Leaf) sign(ca *Authority, public crypto.PublicKey, now time.Time) ([]byte, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: l.CommonName, Organization: l.Organizations},
		NotBefore:   latest(now.Add(-Backdate), ca.Cert.NotBefore),
		NotAfter:    earliest(now.Add(leafLife), ca.Cert.NotAfter),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: l.usages(),
		DNSNames:    l.DNSNames,
	}
	for _, a := range l.Addresses {
		template.IPAddresses = append(template.IPAddresses, net.IP(a.AsSlice()))
	}
	return sign(template, ca.Cert, public, ca.key)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
