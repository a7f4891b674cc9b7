// Package pki makes and renews the certificates of a site: own authorities for ten years, leaves for
// one, on disk as PEM. Nothing here waits for a time source (LESSONS 27): certificates are backdated,
// and a clock that stands before the executable's build time is not believed.
package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"islet/appliance/atomicfile"
)

const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 365 * 24 * time.Hour
	// Backdate covers peers whose clocks are behind ours.
	Backdate = 24 * time.Hour
)

// Authority is a certificate authority with its key.
type Authority struct {
	Name string
	Cert *x509.Certificate // that issues
	// Trusted are the certificates of which each is good: Cert first, and the one before it while the authority is rotated.
	Trusted []*x509.Certificate
	// Cross is Cert's key as the one before it has signed it, and goes along with what Cert signs: who still trusts that
	// one only accepts it. It is nil but for the time of a rotation.
	Cross *x509.Certificate
	key   *ecdsa.PrivateKey
	file  string
}

// CertFile is the path of the certificates that are trusted, the one that issues first.
func (a *Authority) CertFile() string { return a.file }

// PEM is what is in CertFile.
func (a *Authority) PEM() []byte { return encodeCerts(a.Trusted) }

func certPath(dir, name string) string { return filepath.Join(dir, name+".crt") }
func keyPath(dir, name string) string  { return filepath.Join(dir, name+".key") }

// crossPath is where the cross certificate is. Its ending keeps it apart from leaves.
func crossPath(dir, name string) string { return filepath.Join(dir, name+crossSuffix) }

const crossSuffix = ".cross"

func secretPath(dir, name string) string { return filepath.Join(dir, name+".secret") }

// ensureAuthority loads the authority from dir, or makes it when there is none. A key without its
// certificate, from a power cut at the first start, gets one: a key is never thrown away.
//
// since is when the authority's certificate begins to be valid. It should not depend on the clock:
// one that is ahead at the first start would make an authority that nobody can use once it is set.
func ensureAuthority(dir, name string, now, since time.Time) (*Authority, error) {
	key, err := loadKey(keyPath(dir, name))
	_, certErr := os.Stat(certPath(dir, name))
	switch {
	case err == nil && certErr == nil:
		return loadAuthority(dir, name, key)
	case certErr == nil && errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("authority %s has a certificate but its key %s is missing: restore it from a backup", name, keyPath(dir, name))
	case errors.Is(err, fs.ErrNotExist):
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return nil, fmt.Errorf("authority %s: %w", name, err)
	}
	template := authorityTemplate("islet "+name, since, now.Add(caLife))
	raw, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make authority %s: %w", name, err)
	}
	if err := storePair(dir, name, encodeCert(raw), key); err != nil {
		return nil, err
	}
	return loadAuthority(dir, name, key)
}

func authorityTemplate(name string, since, until time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name, Organization: []string{"islet"}},
		NotBefore:             since,
		NotAfter:              until,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
}

// loadAuthority refuses a certificate that is not that of key: what it would sign, nobody could verify.
func loadAuthority(dir, name string, key *ecdsa.PrivateKey) (*Authority, error) {
	a, err := readAuthority(dir, name)
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(a.Cert.PublicKey) {
		return nil, fmt.Errorf("authority %s: %s is not the certificate of the authority with the key %s: restore both from one backup",
			name, certPath(dir, name), keyPath(dir, name))
	}
	a.key = key
	return a, nil
}

// readAuthority reads an authority without its key.
func readAuthority(dir, name string) (*Authority, error) {
	path := certPath(dir, name)
	trusted, err := loadCerts(path)
	for _, cert := range trusted {
		if err == nil && !cert.IsCA {
			err = fmt.Errorf("%s: %w", path, errLeaf)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("authority %s: %w", name, err)
	}
	a := &Authority{Name: name, Cert: trusted[0], Trusted: trusted, file: filepath.Clean(path)}
	cross, err := LoadCert(crossPath(dir, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("authority %s: %w", name, err)
	case bytes.Equal(cross.RawSubjectPublicKeyInfo, a.Cert.RawSubjectPublicKeyInfo): // else of another: a rotation was cut off
		a.Cross = cross
	}
	return a, nil
}

// sign gives template a random serial number and signs it.
func sign(template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	return x509.CreateCertificate(rand.Reader, template, parent, pub, key)
}

// loadPair reads a certificate and its key; fs.ErrNotExist when either file is missing.
func loadPair(dir, name string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	cert, err := LoadCert(certPath(dir, name))
	if err != nil {
		return nil, nil, err
	}
	key, err := loadKey(keyPath(dir, name))
	return cert, key, err
}

func loadKey(path string) (*ecdsa.PrivateKey, error) {
	block, err := readPEM(path)
	if err != nil {
		return nil, err
	}
	key, err := decodeKey(block)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

func parseKey(content []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, errors.New("the key is missing")
	}
	return decodeKey(block.Bytes)
}

func decodeKey(raw []byte) (*ecdsa.PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(raw)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("want an ECDSA key, have %T", parsed)
	}
	return key, nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// loadCerts reads all certificates of a PEM file; there is at least one.
func loadCerts(path string) ([]*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	certs, err := ParseCerts(data)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return certs, err
}

// ParseCerts reads PEM that holds one certificate or more, and nothing else.
func ParseCerts(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errNoPEM
	}
	return certs, nil
}

var errNoPEM = errors.New("no PEM block in it")

// LoadCert reads the first certificate of a PEM file.
func LoadCert(path string) (*x509.Certificate, error) {
	block, err := readPEM(path)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(block)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return cert, nil
}

func readPEM(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM block in it", path)
	}
	return block.Bytes, nil
}

// storePair replaces a key and its certificate, as PEM, which others may follow. The two cannot change in one moment, so the new certificate is there
// before the old key goes: finishPairs puts it in place after a power cut between the two.
func storePair(dir, name string, cert []byte, key crypto.Signer) error {
	coming := certPath(dir, name) + comingSuffix
	if err := atomicfile.Write(coming, cert, 0o644); err != nil {
		return err
	}
	if err := storeKey(keyPath(dir, name), key); err != nil {
		return err
	}
	if err := os.Rename(coming, certPath(dir, name)); err != nil {
		return err
	}
	return atomicfile.SyncDir(dir)
}

// comingSuffix ends the name of a certificate that is about to be put in place.
const comingSuffix = ".coming"

// finishPairs ends what storePair was interrupted in: the key tells whether it had got so far.
func finishPairs(dir string) error {
	interrupted, err := filepath.Glob(certPath(dir, "*") + comingSuffix)
	if err != nil {
		return err
	}
	for _, coming := range interrupted {
		path := strings.TrimSuffix(coming, comingSuffix)
		cert, err := LoadCert(coming)
		if err == nil {
			var key *ecdsa.PrivateKey
			if key, err = loadKey(keyPath(dir, strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)))); err == nil && key.PublicKey.Equal(cert.PublicKey) {
				if err := os.Rename(coming, path); err != nil {
					return err
				}
				continue
			}
		}
		if err := os.Remove(coming); err != nil {
			return err
		}
	}
	return nil
}

func storeKey(path string, key crypto.Signer) error {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600)
}

func encodeCerts(certs []*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, encodeCert(c.Raw)...)
	}
	return out
}

func encodeCert(raw []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}
