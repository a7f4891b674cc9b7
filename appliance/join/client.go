package join

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"time"

	"islet/appliance/api"
)

// The reasons for which a machine does not talk to what answers.
var (
	ErrNoServer = errors.New("no server of the site can be reached")
	ErrImpostor = errors.New("what answers is not a server of the site")
)

const (
	dialTimeout  = 5 * time.Second
	admitTimeout = time.Minute
)

// Client talks to one server.
type Client struct {
	Server netip.AddrPort
	// Local is this machine's address towards the server. Skew is how far the server's clock is ahead of this machine's,
	// to within half of what the question and the answer took.
	Local netip.Addr
	Skew  time.Duration
	http  *http.Client
}

// Dial finds a server that answers among those of the token, and says hello. Neither the names in the server's
// certificate nor its dates count: only that it holds a key that the pinned authority has signed. A new machine's clock
// may stand anywhere (LESSONS 27).
func Dial(ctx context.Context, t Token) (*Client, Hello, error) {
	return dial(ctx, t.Servers, &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // VerifyConnection checks what matters
		VerifyConnection:   func(s tls.ConnectionState) error { return checkPin(s, t.Pin) },
	})
}

func checkPin(s tls.ConnectionState, pin Pin) error {
	for _, authority := range s.PeerCertificates[1:] {
		if pin.Matches(authority) && isOf(s.PeerCertificates, []*x509.Certificate{authority}, x509.ExtKeyUsageServerAuth, GroupServers) {
			return nil
		}
	}
	return ErrImpostor
}

// DialNode finds a server that answers, for a node that has its certificate. Dates do not count here either: both sides'
// certificates may have expired while the site was switched off.
func DialNode(ctx context.Context, servers []netip.AddrPort, pair tls.Certificate, authorities []*x509.Certificate) (*Client, Hello, error) {
	return dial(ctx, servers, nodeTLS(pair, authorities))
}

func nodeTLS(pair tls.Certificate, authorities []*x509.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair},
		InsecureSkipVerify: true, // VerifyConnection checks who signed it; addresses of servers change
		VerifyConnection: func(s tls.ConnectionState) error {
			if !isOf(s.PeerCertificates, authorities, x509.ExtKeyUsageServerAuth, GroupServers) {
				return ErrImpostor
			}
			return nil
		},
	}
}

func dial(ctx context.Context, servers []netip.AddrPort, config *tls.Config) (*Client, Hello, error) {
	errs := []error{ErrNoServer}
	for _, server := range servers {
		c := newClient(server, config)
		hello, err := c.hello(ctx)
		if err == nil {
			return c, hello, nil
		}
		c.Close() // an impostor was told nothing: the next may be the right one
		errs = append(errs, fmt.Errorf("%s: %w", server, err))
	}
	return nil, Hello{}, errors.Join(errs...)
}

func newClient(server netip.AddrPort, config *tls.Config) *Client {
	return &Client{Server: server, http: &http.Client{Transport: &http.Transport{TLSClientConfig: config, TLSHandshakeTimeout: dialTimeout}}}
}

// hello makes the connection and takes what can be told from it.
func (c *Client) hello(ctx context.Context) (Hello, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var asked time.Time
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if local, err := netip.ParseAddrPort(info.Conn.LocalAddr().String()); err == nil {
				c.Local = local.Addr().Unmap()
			}
			asked = time.Now()
		},
	})
	hello, err := call[Hello](ctx, c, http.MethodGet, helloPath, nil)
	took := time.Since(asked)
	c.Skew = hello.Time.Sub(asked.Add(took / 2))
	return hello, err
}

// Close ends the connection to the server.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Consult asks whether and how this machine could join.
func (c *Client) Consult(ctx context.Context, a Application) (Consultation, error) {
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	return call[Consultation](ctx, c, http.MethodPost, consultPath, a)
}

// Servers asks a server for the servers of the site.
func (c *Client) Servers(ctx context.Context) (Servers, error) {
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	return call[Servers](ctx, c, http.MethodGet, serversPath, nil)
}

// Authorities asks a server what this node is to have of the site's authorities.
func (c *Client) Authorities(ctx context.Context) (Authorities, error) {
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	return call[Authorities](ctx, c, http.MethodGet, trustPath, nil)
}

// Report tells a server how this node is.
func (c *Client) Report(ctx context.Context, s api.Status) error {
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	_, err := call[struct{}](ctx, c, http.MethodPost, reportPath, s)
	return err
}

// Backups asks a server for the backups that it has made.
func (c *Client) Backups(ctx context.Context) ([]Offer, error) {
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	return call[[]Offer](ctx, c, http.MethodGet, backupsPath, nil)
}

// Backup reads one of them. The caller compares it with the offer, and closes it.
func (c *Client) Backup(ctx context.Context, name string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+c.Server.String()+backupsPath+"/"+url.PathEscape(name), nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		received, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody)) // the status says enough
		return nil, readFailure(resp.Status, received)
	}
	return resp.Body, nil
}

// Left tells a server that this node, which was removed, cleans its machine now.
func (c *Client) Left(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	_, err := call[struct{}](ctx, c, http.MethodPost, leftPath, nil)
	return err
}

// Admit asks to be let in.
func (c *Client) Admit(ctx context.Context, a Application) (Admission, error) {
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	return call[Admission](ctx, c, http.MethodPost, admitPath, a)
}

// Renew asks for new certificates.
func (c *Client) Renew(ctx context.Context, r Renewal) (Renewed, error) {
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	return call[Renewed](ctx, c, http.MethodPost, renewPath, r)
}

func call[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	return callLarge[T](ctx, c, method, path, body, maxBody)
}

// callLarge is call for an answer of up to limit bytes.
func callLarge[T any](ctx context.Context, c *Client, method, path string, body any, limit int64) (answer T, err error) {
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return answer, err
		}
		content = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+c.Server.String()+path, content)
	if err != nil {
		return answer, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer, err
	}
	defer resp.Body.Close()
	received, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	if err != nil {
		return answer, err
	}
	if resp.StatusCode != http.StatusOK {
		return answer, readFailure(resp.Status, received)
	}
	err = json.Unmarshal(received, &answer)
	return answer, err
}
