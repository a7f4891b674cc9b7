package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"islet/appliance/atomicfile"
)

// ErrNoKey is returned where a certificate has to be signed on a node that holds the authorities' certificates only.
var ErrNoKey = errors.New("this node cannot sign certificates")

// Request is a key of a node without authorities that waits for its certificate.
type Request struct {
	Leaf Leaf
	CSR  []byte // PEM; it proves that the asker has the key, names in it count for nothing
	key  *ecdsa.PrivateKey
}

// NewRequest makes a key for the leaf. Nothing is written before the certificate is there.
func NewRequest(l Leaf) (Request, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Request{}, err
	}
	raw, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return Request{}, err
	}
	return Request{l, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: raw}), key}, nil
}

// PublicKey returns the subject public key info of a request, in DER.
func PublicKey(csr []byte) ([]byte, error) {
	block, _ := pem.Decode(csr)
	if block == nil {
		return nil, errors.New("the request is not PEM")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	return request.RawSubjectPublicKeyInfo, nil
}

// Sign gives the leaf to who holds the key of the request, and returns it as PEM.
func (s *Store) Sign(l Leaf, csr []byte) ([]byte, error) {
	ca, err := s.authorityOf(l)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", l.Name, err)
	}
	block, _ := pem.Decode(csr)
	if block == nil {
		return nil, fmt.Errorf("certificate %s: the request is not PEM", l.Name)
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = request.CheckSignature()
	}
	if err != nil {
		return nil, fmt.Errorf("certificate %s: the request is damaged: %w", l.Name, err)
	}
	if key, ok := request.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("certificate %s: the request is for another key than one of ECDSA on P-256", l.Name)
	}
	raw, err := l.sign(ca, request.PublicKey, s.clock())
	return encodeCert(raw), err
}

// Install writes a key and the certificate that an authority of the store has signed for it.
func (s *Store) Install(r Request, certificate []byte) error {
	block, _ := pem.Decode(certificate)
	if block == nil {
		return fmt.Errorf("certificate %s: the answer is not PEM", r.Leaf.Name)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("certificate %s: %w", r.Leaf.Name, err)
	}
	ca := s.Authority(r.Leaf.Authority)
	switch {
	case ca == nil || cert.CheckSignatureFrom(ca.Cert) != nil:
		return fmt.Errorf("certificate %s: it is not signed by the site's %s", r.Leaf.Name, r.Leaf.Authority)
	case !r.key.PublicKey.Equal(cert.PublicKey) || !r.Leaf.matches(cert):
		return fmt.Errorf("certificate %s: it is another one than was asked for", r.Leaf.Name)
	}
	return storePair(s.dir, r.Leaf.Name, ca.chain(block.Bytes), r.key)
}

// Due lists the leaves that have to be issued anew, and why.
func (s *Store) Due(leaves []Leaf) ([]Issued, error) {
	var due []Issued
	for _, l := range leaves {
		ca := s.Authority(l.Authority)
		if ca == nil {
			return nil, fmt.Errorf("certificate %s: no authority is named %q", l.Name, l.Authority)
		}
		if reason := l.check(s.dir, ca, s.clock()); reason != Good {
			due = append(due, Issued{l, reason})
		}
	}
	return due, nil
}

// Authorities returns the certificates of all authorities that are trusted, as PEM, by name, and the cross certificates of
// those that are rotated, by name with the ending ".cross".
func (s *Store) Authorities() map[string][]byte {
	out := map[string][]byte{}
	for _, name := range AuthorityNames() {
		ca := s.Authority(name)
		out[name] = ca.PEM()
		if ca.Cross != nil {
			out[name+crossSuffix] = encodeCert(ca.Cross.Raw)
		}
	}
	return out
}

// ErrHasKeys is returned where the authorities of another site would take the place of those whose keys are here.
var ErrHasKeys = errors.New("this machine holds the keys of a site's authorities")

// WriteAuthorities writes the certificates of a site's authorities, as Authorities returns them, to the store of a node that
// does not hold their keys. All are checked before the first is written.
func WriteAuthorities(dir string, certificates map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	for _, name := range AuthorityNames() {
		have, err := os.ReadFile(certPath(dir, name))
		if _, held := os.Stat(keyPath(dir, name)); held == nil && (err != nil || !bytes.Equal(have, certificates[name])) {
			return fmt.Errorf("%w: %s", ErrHasKeys, keyPath(dir, name))
		}
		if err := checkAuthorities(certificates, name); err != nil {
			return err
		}
	}
	return writeTrust(dir, certificates)
}

// checkAuthorities looks at what came for one authority.
func checkAuthorities(certificates map[string][]byte, name string) error {
	trusted, err := ParseCerts(certificates[name])
	if errors.Is(err, errNoPEM) {
		return fmt.Errorf("authority %s: the site sent no certificate", name)
	}
	if cross := certificates[name+crossSuffix]; err == nil && len(cross) > 0 {
		var also []*x509.Certificate
		also, err = ParseCerts(cross)
		trusted = append(trusted, also...)
	}
	for _, cert := range trusted {
		if err == nil && !cert.IsCA {
			err = errLeaf
		}
	}
	if err != nil {
		return fmt.Errorf("authority %s: the site sent something else than an authority's certificate: %w", name, err)
	}
	return nil
}

// writeTrust writes the certificates of authorities, and removes cross certificates that are none any more. A cross
// certificate of another key than the issuer's counts for nothing, so the order does not matter.
func writeTrust(dir string, certificates map[string][]byte) error {
	for _, name := range AuthorityNames() {
		if err := atomicfile.WriteIfChanged(certPath(dir, name), certificates[name], 0o644); err != nil {
			return err
		}
		cross := certificates[name+crossSuffix]
		if len(cross) > 0 {
			if err := atomicfile.WriteIfChanged(crossPath(dir, name), cross, 0o644); err != nil {
				return err
			}
			continue
		}
		if err := removeIfThere(crossPath(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

var errLeaf = errors.New("it may not sign others")

// OpenJoined opens the store of a node that holds the authorities' certificates but not their keys.
func OpenJoined(dir string, floor time.Time, now func() time.Time) (*Store, error) {
	s := newStore(dir, floor, now)
	for _, name := range AuthorityNames() {
		ca, err := readAuthority(dir, name)
		if err != nil {
			return nil, err
		}
		s.cas[name] = ca
	}
	return s, finishPairs(dir)
}
