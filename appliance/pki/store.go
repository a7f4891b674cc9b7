package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"islet/appliance/atomicfile"
)

// The authorities of a site. Each is trusted for one thing only: a certificate of one cannot pass
// for another's.
const (
	ClusterCA    = "cluster-ca"     // signs servers: API server, kubelets
	ClientCA     = "client-ca"      // signs users of the Kubernetes API
	FrontProxyCA = "front-proxy-ca" // signs the API server towards extension API servers
	SiteCA       = "site-ca"        // signs what people's browsers see
	NodeCA       = "node-ca"        // signs nodes towards each other; join tokens pin it
	EtcdCA       = "etcd-ca"        // signs the members of the datastore and its clients
)

// AuthorityNames lists the authorities of a site.
func AuthorityNames() []string {
	return []string{ClusterCA, ClientCA, FrontProxyCA, SiteCA, NodeCA, EtcdCA}
}

// Store is the certificates of this node on disk, in one directory of mode 0700.
type Store struct {
	dir   string
	floor time.Time
	now   func() time.Time

	mu  sync.RWMutex
	cas map[string]*Authority // an Authority is never changed: another takes its place
}

// Open loads or makes the authorities in dir. floor is the executable's build time: a clock before
// it is wrong, and the floor is used in its place. now is the clock, time.Now when nil.
func Open(dir string, floor time.Time, now func() time.Time) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, err
	}
	if err := finishPairs(dir); err != nil {
		return nil, err
	}
	s := newStore(dir, floor, now)
	since := s.clock()
	if !floor.IsZero() {
		since = floor
	}
	for _, name := range AuthorityNames() {
		ca, err := ensureAuthority(dir, name, s.clock(), since.Add(-Backdate))
		if err != nil {
			return nil, err
		}
		s.cas[name] = ca
	}
	return s, nil
}

func newStore(dir string, floor time.Time, now func() time.Time) *Store {
	if now == nil {
		now = time.Now
	}
	return &Store{dir: dir, floor: floor, now: now, cas: map[string]*Authority{}}
}

func (s *Store) clock() time.Time { return latest(s.now(), s.floor) }

// Authority returns a site's authority by its name, which must be one of the constants. It is how things are now: who needs
// it again asks again.
func (s *Store) Authority(name string) *Authority {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.cas[name]
}

// CertFile and KeyFile are the paths of a leaf.
func (s *Store) CertFile(leaf string) string { return certPath(s.dir, leaf) }

// KeyFile is the path of a leaf's key.
func (s *Store) KeyFile(leaf string) string { return keyPath(s.dir, leaf) }

// Pair loads a leaf for serving or dialling.
func (s *Store) Pair(leaf string) (tls.Certificate, error) {
	return tls.LoadX509KeyPair(s.CertFile(leaf), s.KeyFile(leaf))
}

// Issued is a leaf that Ensure had to issue, and why.
type Issued struct {
	Leaf   Leaf
	Reason Reason
}

// Ensure brings every leaf into its wanted state and tells which it issued. It may be called at any
// time: components that use the files watch them.
func (s *Store) Ensure(leaves []Leaf) ([]Issued, error) {
	due, err := s.Due(leaves)
	for i, d := range due {
		ca, err := s.authorityOf(d.Leaf)
		if err == nil {
			err = d.Leaf.issue(s.dir, ca, s.clock())
		}
		if err != nil {
			return due[:i], fmt.Errorf("issue certificate %s: %w", d.Leaf.Name, err)
		}
	}
	return due, err
}

// authorityOf returns the authority that signs the leaf, if its key is here.
func (s *Store) authorityOf(l Leaf) (*Authority, error) {
	ca := s.Authority(l.Authority)
	switch {
	case ca == nil:
		return nil, fmt.Errorf("no authority is named %q", l.Authority)
	case ca.key == nil:
		return nil, fmt.Errorf("%w: a server does", ErrNoKey)
	}
	return ca, nil
}

// Entry is a line of the certificate inventory.
type Entry struct {
	Name     string    `json:"name"`
	Subject  string    `json:"subject"`
	Issuer   string    `json:"issuer"`
	NotAfter time.Time `json:"notAfter"`
	DaysLeft int       `json:"daysLeft"` // whole days; negative once it has expired
	UsedBy   string    `json:"usedBy,omitempty"`
	CA       bool      `json:"ca"`
}

// Inventory lists every certificate of the store, authorities first.
func (s *Store) Inventory(leaves []Leaf) ([]Entry, error) {
	var out []Entry
	add := func(name, usedBy string) error {
		cert, err := LoadCert(certPath(s.dir, name))
		if err != nil {
			return err
		}
		out = append(out, s.entry(name, usedBy, cert))
		return nil
	}
	var errs []error
	for _, name := range AuthorityNames() {
		ca := s.Authority(name)
		out = append(out, s.entry(name, "signs certificates", ca.Cert))
		for _, before := range ca.Trusted[1:] {
			out = append(out, s.entry(name, "is trusted until the rotation ends", before))
		}
	}
	for _, l := range leaves {
		errs = append(errs, add(l.Name, l.UsedBy))
	}
	return out, errors.Join(errs...)
}

func (s *Store) entry(name, usedBy string, cert *x509.Certificate) Entry {
	return Entry{
		Name: name, Subject: cert.Subject.CommonName, Issuer: cert.Issuer.CommonName, NotAfter: cert.NotAfter.UTC(),
		DaysLeft: int(math.Floor(cert.NotAfter.Sub(s.clock()).Hours() / 24)), UsedBy: usedBy, CA: cert.IsCA,
	}
}

// The key that signs service account tokens, and the secret with which the API server encrypts secrets.
const (
	serviceAccountLeaf = "service-account"
	EncryptionSecret   = "encryption"
	// EncryptionBytes is the length of that secret.
	EncryptionBytes = 32
)

// ServiceAccountKey is the file of the key that signs service account tokens; it is made when
// missing. pub is the file of its public half, for verification.
func (s *Store) ServiceAccountKey() (key, pub string, err error) {
	key, pub = keyPath(s.dir, serviceAccountLeaf), filepath.Join(s.dir, serviceAccountLeaf+".pub")
	signer, err := loadKey(key)
	if errors.Is(err, fs.ErrNotExist) {
		if signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
			err = storeKey(key, signer)
		}
	}
	if err != nil {
		return "", "", fmt.Errorf("service account key: %w", err)
	}
	raw, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		return "", "", err
	}
	return key, pub, atomicfile.WriteIfChanged(pub, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: raw}), 0o644)
}

// SecretFile is where a secret is, once Secret has made it.
func (s *Store) SecretFile(name string) string { return secretPath(s.dir, name) }

// Secret returns the bytes of a random secret of n bytes that is made once.
func (s *Store) Secret(name string, n int) ([]byte, error) {
	path := secretPath(s.dir, name)
	data, err := os.ReadFile(path)
	if err == nil && len(data) == n {
		return data, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		return nil, fmt.Errorf("%s holds %d bytes, want %d: restore it from a backup", path, len(data), n)
	}
	data = make([]byte, n)
	if _, err := rand.Read(data); err != nil {
		return nil, err
	}
	return data, atomicfile.Write(path, data, 0o600)
}
