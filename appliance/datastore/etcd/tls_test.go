package etcd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"

	"islet/appliance/datastore"
)

// authority signs the certificates of a test.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newAuthority writes its certificate to ca.crt.
func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	template := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.cert, a.key = a.sign(t, "ca", template)
	return a
}

// sign writes NAME.crt and NAME.key.
func (a *authority) sign(t *testing.T, name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.Subject, template.SerialNumber = pkix.Name{CommonName: name}, big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{name + ".crt": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(a.dir, path), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

func TestCertificates(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	ca.sign(t, "server", &x509.Certificate{
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	})
	ca.sign(t, "client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	m := newMember(t, "a")
	m.client = freeURL(t, "https")
	m.tls = transport.TLSInfo{CertFile: ca.path("server.crt"), KeyFile: ca.path("server.key"), TrustedCAFile: ca.path("ca.crt"), ClientCertAuth: true}
	m.start(t)
	with := []string{"--endpoints", m.client, "--cacert", ca.path("ca.crt"), "--cert", ca.path("client.crt"), "--key", ca.path("client.key")}
	if list := tool[[]datastore.MemberStatus](t, append([]string{"status"}, with...)...); len(list) != 1 || !list[0].Leader || list[0].Error != "" {
		t.Errorf("%+v", list)
	}
	file := filepath.Join(t.TempDir(), "snapshot.db")
	if report := tool[datastore.Report](t, append([]string{"snapshot", file}, with...)...); report.Bytes == 0 {
		t.Errorf("%+v", report)
	}
	tool[struct{}](t, append([]string{"defrag"}, with...)...)
	stranger := newAuthority(t)
	stranger.sign(t, "client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	for name, args := range map[string][]string{
		"no certificate":              with[:4],
		"a certificate of a stranger": {"--endpoints", m.client, "--cacert", ca.path("ca.crt"), "--cert", stranger.path("client.crt"), "--key", stranger.path("client.key")},
		"a server of a stranger":      {"--endpoints", m.client, "--cacert", stranger.path("ca.crt"), "--cert", ca.path("client.crt"), "--key", ca.path("client.key")},
		"no such file":                {"--endpoints", m.client, "--cacert", ca.path("none")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := try[datastore.Digest](t, append([]string{"digest"}, args...)...); err == nil {
				t.Errorf("let in: %+v", got)
			}
		})
	}
}
