package audit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrSignature is returned for a head that no server of the site has signed.
var ErrSignature = errors.New("no server of the site has signed this")

// Head says how far a chain had come, signed by its server. A chain that ends before was cut off.
type Head struct {
	Chain       string    `json:"chain"`
	Seq         uint64    `json:"seq"`
	Hash        string    `json:"hash"`
	Time        time.Time `json:"time"`
	Certificate []byte    `json:"certificate"` // of the server, DER
	Signature   []byte    `json:"signature"`
}

func (h Head) statement() string {
	return fmt.Sprintf("islet audit head\n%s\n%d\n%s\n%s\n", h.Chain, h.Seq, h.Hash, h.Time.UTC().Format(time.RFC3339Nano))
}

// Sign makes the head of a chain that ends with last.
func Sign(last Entry, node tls.Certificate, now time.Time) (Head, error) {
	h := Head{Chain: last.Chain, Seq: last.Seq, Hash: last.Hash, Time: now.UTC().Truncate(time.Second), Certificate: node.Certificate[0]}
	var err error
	h.Signature, err = signText(h.statement(), node)
	return h, err
}

// Verify says whether a server of the site has signed the head, the one that the chain is named after.
func (h Head) Verify(authorities []*x509.Certificate) error {
	node, _, _ := strings.Cut(h.Chain, "/")
	return verifyText(h.statement(), h.Certificate, h.Signature, node, h.Time, authorities)
}

func signText(text string, node tls.Certificate) ([]byte, error) {
	key, ok := node.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("the node's key cannot sign")
	}
	sum := sha256.Sum256([]byte(text))
	return key.Sign(rand.Reader, sum[:], crypto.SHA256)
}

// verifyText checks a signature by a server's certificate that was valid then. An empty node is any server.
func verifyText(text string, der, signature []byte, node string, at time.Time, authorities []*x509.Certificate) error {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	roots := x509.NewCertPool()
	for _, ca := range authorities {
		roots.AddCert(ca)
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	if node != "" && cert.Subject.CommonName != node {
		return fmt.Errorf("%w: it is by %s, and the chain is that of %s", ErrSignature, cert.Subject.CommonName, node)
	}
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	sum := sha256.Sum256([]byte(text))
	if !ok || !ecdsa.VerifyASN1(key, sum[:], signature) {
		return fmt.Errorf("%w: the signature is of something else", ErrSignature)
	}
	return nil
}
