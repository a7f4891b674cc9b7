package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"islet/appliance/atomicfile"
)

// Successor is what takes the place of an authority.
type Successor struct {
	Cert  []byte // PEM
	Cross []byte // PEM: the same key and name, signed by the authority that goes
	Key   []byte // PEM, PKCS #8
}

// NewSuccessor makes the successor of an authority whose key is here. Nothing is written.
func (s *Store) NewSuccessor(name string) (Successor, error) {
	old, err := s.authorityOf(Leaf{Authority: name})
	if err != nil {
		return Successor{}, fmt.Errorf("successor of %s: %w", name, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Successor{}, err
	}
	since := s.clock()
	if !s.floor.IsZero() {
		since = s.floor
	}
	template := authorityTemplate(succeed(old.Cert.Subject.CommonName), since.Add(-Backdate), s.clock().Add(caLife))
	root, err := sign(template, template, key.Public(), key)
	if err != nil {
		return Successor{}, err
	}
	crossed := authorityTemplate(template.Subject.CommonName, latest(template.NotBefore, old.Cert.NotBefore), earliest(template.NotAfter, old.Cert.NotAfter))
	cross, err := sign(crossed, old.Cert, key.Public(), old.key)
	if err != nil {
		return Successor{}, err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	return Successor{encodeCert(root), encodeCert(cross), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})}, err
}

// succeed counts: "islet node-ca" is followed by "islet node-ca 2". Another name keeps the two apart where both are known.
func succeed(name string) string {
	if i := strings.LastIndexByte(name, ' '); i >= 0 {
		if n, err := strconv.Atoi(name[i+1:]); err == nil {
			return fmt.Sprintf("%s %d", name[:i], n+1)
		}
	}
	return name + " 2"
}

// SetAuthorities brings the authorities to what is given, in the form of Authorities: on a node without keys, all that it
// says. keys, by name, are those of the authorities that issue from now on; an authority whose key is here and whose issuer
// changes must be among them. It tells whether anything changed. A power cut in the middle leaves each authority as it
// was or as it is to be.
func (s *Store) SetAuthorities(certificates, keys map[string][]byte) (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range AuthorityNames() {
		if err := checkAuthorities(certificates, name); err != nil {
			return false, err
		}
	}
	for _, name := range AuthorityNames() {
		old := s.cas[name]
		set, err := s.setAuthority(old, certificates[name], certificates[name+crossSuffix], keys[name])
		if err != nil {
			return changed, fmt.Errorf("authority %s: %w", name, err)
		}
		changed = changed || set
	}
	return changed, nil
}

// setAuthority is called with the mutex held.
func (s *Store) setAuthority(old *Authority, trusted, cross, key []byte) (changed bool, err error) {
	var has []byte
	if old.Cross != nil {
		has = encodeCert(old.Cross.Raw)
	}
	if bytes.Equal(old.PEM(), trusted) && bytes.Equal(has, cross) {
		return false, nil
	}
	if len(cross) > 0 { // first: it counts for nothing until its issuer is there
		if err := atomicfile.WriteIfChanged(crossPath(s.dir, old.Name), cross, 0o644); err != nil {
			return false, err
		}
	}
	certs, err := ParseCerts(trusted)
	if err != nil {
		return false, err
	}
	issuer := old.key
	switch {
	case issuer == nil, issuer.PublicKey.Equal(certs[0].PublicKey):
		err = atomicfile.Write(certPath(s.dir, old.Name), trusted, 0o644)
	default:
		if issuer, err = parseKey(key); err == nil && !issuer.PublicKey.Equal(certs[0].PublicKey) {
			err = errors.New("the key is another authority's")
		}
		if err == nil {
			err = storePair(s.dir, old.Name, trusted, issuer)
		}
	}
	if err == nil && len(cross) == 0 {
		err = removeIfThere(crossPath(s.dir, old.Name))
	}
	if err != nil {
		return false, err
	}
	read, err := readAuthority(s.dir, old.Name)
	if err != nil {
		return false, err
	}
	read.key = issuer
	s.cas[old.Name] = read
	return true, nil
}

// Fingerprint names a certificate: the first 16 hexadecimal digits of its SHA-256.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:8])
}

// AuthorityState is what a node has of an authority.
type AuthorityState struct {
	Name    string    `json:"name"`
	Trusted []string  `json:"trusted"` // fingerprints, that of the issuer first
	Cross   bool      `json:"cross,omitempty"`
	Since   time.Time `json:"since"` // the issuer's first day
}

// States tells what the store has of each authority.
func (s *Store) States() []AuthorityState {
	var out []AuthorityState
	for _, name := range AuthorityNames() {
		ca := s.Authority(name)
		state := AuthorityState{Name: name, Cross: ca.Cross != nil, Since: ca.Cert.NotBefore.UTC()}
		for _, cert := range ca.Trusted {
			state.Trusted = append(state.Trusted, Fingerprint(cert))
		}
		out = append(out, state)
	}
	return out
}

// Issuer is the certificate that issues, as PEM.
func (a *Authority) Issuer() []byte { return encodeCert(a.Cert.Raw) }
