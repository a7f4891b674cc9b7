// Package kube is the daemon's access to the Kubernetes API: clients, probes, and the little it
// asks about nodes and pods.
package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"islet/appliance/kube/client"
	"islet/appliance/kubeconfig"
)

// CertificateReload is how often clients of the API look for a new certificate of theirs, here and in the engines: upstream's
// five minutes would hold up a rotation of authorities.
const CertificateReload = 10 * time.Second

func init() { transport.CertCallbackRefreshDuration = CertificateReload }

// Config is the REST configuration of the holder of a client certificate. The files are read again
// when they are renewed.
func Config(a kubeconfig.Access) *rest.Config {
	return &rest.Config{
		Host:            a.Server,
		TLSClientConfig: rest.TLSClientConfig{CAFile: a.CAFile, CertFile: a.CertFile, KeyFile: a.KeyFile},
		UserAgent:       "appliance",
		QPS:             50,
		Burst:           100,
	}
}

// NewClient returns a client for any kind of object. It asks the API for its kinds when one is first
// used, so the API need not be up yet. It follows the file of the authority, where the configuration names one.
func NewClient(config *rest.Config) (client.Client, error) {
	transport, err := newTransport(config)
	if err != nil {
		return nil, err
	}
	return client.New(config, &http.Client{Transport: transport, Timeout: config.Timeout})
}

// Probe asks a health endpoint of a component on this machine. Each call opens a connection of its
// own: a kept one would go on answering for a process that no longer accepts any.
func Probe(caFile, url string, pair func() (tls.Certificate, error)) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		ca, err := os.ReadFile(caFile)
		if err != nil {
			return err
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(ca)
		config := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
		if pair != nil {
			cert, err := pair()
			if err != nil {
				return err
			}
			config.Certificates = []tls.Certificate{cert}
		}
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}, Timeout: 5 * time.Second}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := c.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 8<<10))
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", url, failing(resp.Status, string(body)))
		}
		return err
	}
}

// failing picks the checks that fail out of a verbose health answer.
func failing(status, body string) string {
	var checks []string
	for line := range strings.Lines(body) {
		if name, ok := strings.CutPrefix(line, "[-]"); ok {
			name, _, _ = strings.Cut(name, " ")
			checks = append(checks, name)
		}
	}
	if len(checks) == 0 {
		return status
	}
	return status + ": " + strings.Join(checks, ", ")
}

// ErrNotReady is returned while a node is not Ready; its text says what the kubelet says.
var ErrNotReady = errors.New("node is not ready")
