package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"islet/appliance/pki"
)

// outside is an HTTP client on the lab's switch, beside the host, that trusts the site's authority and nothing else. Names
// are not resolved: every connection goes to the host, to the port.
func (p *platform) outside(t *testing.T, port int) *http.Client {
	t.Helper()
	client := p.lab.HTTPClientTo(fmt.Sprintf("%s:%d", p.host.Name(), port))
	client.Timeout = 5 * time.Second
	transport := client.Transport.(*http.Transport)
	transport.DisableKeepAlives = true // each request proves the whole way
	transport.TLSClientConfig = &tls.Config{RootCAs: p.authority(t, pki.SiteCA)}
	return client
}

// authority is a pool with one of the host's authorities in it.
func (p *platform) authority(t *testing.T, name string) *x509.CertPool {
	t.Helper()
	pem, err := p.host.ReadFile(filepath.Join(paths.PKI(), name+".crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", name)
	}
	return pool
}

// inside is an HTTP client in the host's own network, as a program on the host would be.
func (p *platform) inside() *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: p.dialInside, DisableKeepAlives: true}}
}

// dialInside connects from within the host's network namespace to an address, which must be literal.
func (p *platform) dialInside(ctx context.Context, network, address string) (net.Conn, error) {
	pid, err := p.host.PID()
	if err != nil {
		return nil, err
	}
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here, with the namespace it is in
		fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			done <- result{nil, err}
			return
		}
		defer unix.Close(fd)
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			done <- result{nil, err}
			return
		}
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

// get fetches a URL and complains about everything but 200 and a body that contains want.
func get(ctx context.Context, client *http.Client, url, want string) error {
	body, err := send(ctx, client, http.MethodGet, url, "")
	if err == nil && !strings.Contains(body, want) {
		err = fmt.Errorf("%s: the answer lacks %q: %.200s", url, want, body)
	}
	return err
}

// errStatus is an answer other than 200.
type errStatus int

func (e errStatus) Error() string { return fmt.Sprintf("status %d", int(e)) }

func send(ctx context.Context, client *http.Client, method, url, body string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Accept", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		err = errors.Join(fmt.Errorf("%s: %w: %.200s", url, errStatus(response.StatusCode), content), err)
	}
	return string(content), err
}
