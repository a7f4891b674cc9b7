package serve

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"github.com/opencontainers/go-digest"

	"islet/appliance/registry/client"
)

// Settings is what the daemon tells the registry, as a JSON file. All paths are absolute. Certificates are read for each
// connection, and the files of peers and users for each use: they change while the registry runs.
type Settings struct {
	Listen []netip.AddrPort `json:"listen"` // the first is how peers call this one
	Dir    string           `json:"dir"`    // of what is pushed

	// Bundle is a file that ends with a bundle, whose images are served from where they lie. The daemon has checked its
	// signature; Digest says which one it was.
	Bundle string        `json:"bundle,omitempty"`
	Digest digest.Digest `json:"digest,omitempty"`

	Cert     string `json:"cert"` // towards clients
	Key      string `json:"key"`
	PeerCert string `json:"peerCert"` // towards other servers' registries
	PeerKey  string `json:"peerKey"`
	ServerCA string `json:"serverCA"` // signs the certificates of registries
	NodeCA   string `json:"nodeCA"`   // signs those of nodes

	Peers  string           `json:"peers"`  // file with the addresses of the other registries, a JSON list; may be missing
	Users  string           `json:"users"`  // file of Users; may be missing
	Groups map[string]Right `json:"groups"` // what the nodes of an organization may do

	reconcileEvery time.Duration // reconcileInterval if 0; tests are in more of a hurry
}

// ReadSettings reads the file at path.
func ReadSettings(path string) (Settings, error) {
	var s Settings
	if err := readJSON(path, &s); err != nil {
		return s, err
	}
	if len(s.Listen) == 0 {
		return s, fmt.Errorf("%s: no address to listen on", path)
	}
	return s, nil
}

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// peers is the list of the other registries, empty as long as nobody has written one.
func (s Settings) peers() ([]netip.AddrPort, error) {
	var list []netip.AddrPort
	err := readJSON(s.Peers, &list)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return list, err
}

// serverTLS takes clients without a certificate, who have to give a password; one that is shown must be a node's.
func (s Settings) serverTLS() (*tls.Config, error) {
	nodes, err := pool(s.NodeCA)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: nodes,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
			return &pair, err
		},
	}, nil
}

// dial returns a client of another registry.
func (s Settings) dial(address netip.AddrPort) (*client.Client, error) {
	config, err := ClientTLS(s.ServerCA, s.PeerCert, s.PeerKey)
	if err != nil {
		return nil, err
	}
	return client.New(address, config).AsPeer(), nil
}

// ClientTLS is how a node shows itself to the registries of its site.
func ClientTLS(serverCA, cert, key string) (*tls.Config, error) {
	servers, err := pool(serverCA)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: servers,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(cert, key)
			return &pair, err
		},
	}, nil
}

func pool(path string) (*x509.CertPool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s: no certificate in it", path)
	}
	return p, nil
}
