// Package client talks to the registry of one server: the part of the OCI distribution specification that pushing and
// pulling needs, and what servers and the command line ask of each other's registries beyond it.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"islet/appliance/registry/content"
)

// The paths beyond the specification.
const (
	RepositoriesPath = "/islet/v1/repositories"
	NoticePath       = "/islet/v1/notice"
	SweepPath        = "/islet/v1/sweep"
	StatusPath       = "/islet/v1/status"
)

// PeerHeader marks what a registry asks another one: that one answers from what it has, and asks nobody else.
const PeerHeader = "Islet-Peer"

// CopiesHeader tells who pushed a manifest how many servers hold it.
const CopiesHeader = "Islet-Copies"

const (
	dialTimeout   = 3 * time.Second
	answerTimeout = 15 * time.Minute // a registry answers a push when another one has fetched all of it
	maxAnswer     = 64 << 20
)

// ErrUnreachable is returned when no registry answers.
var ErrUnreachable = errors.New("the registry does not answer")

// Status is how a registry is.
type Status struct {
	Repositories int      `json:"repositories"`
	Peers        int      `json:"peers"`
	Alone        []string `json:"alone"` // repositories whose latest push is on this server only, though there are others
}

// Notice tells a registry that another one has something new.
type Notice struct {
	From       netip.AddrPort `json:"from"`
	Repository string         `json:"repository"`
}

// Client talks to one registry. It is safe for concurrent use.
type Client struct {
	address string
	peer    bool
	http    *http.Client
}

// New returns a client of the registry at address. config has the certificates; nothing is opened yet.
func New(address netip.AddrPort, config *tls.Config) *Client {
	return &Client{address: address.String(), http: &http.Client{Transport: &http.Transport{
		DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext, TLSClientConfig: config, TLSHandshakeTimeout: dialTimeout,
		ResponseHeaderTimeout: answerTimeout, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute,
	}}}
}

// AsPeer returns the same client for use between registries.
func (c *Client) AsPeer() *Client {
	peer := *c
	peer.peer = true
	return &peer
}

// Close closes connections that are not in use.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Repositories returns the records of all repositories, or of the named one.
func (c *Client) Repositories(ctx context.Context, name string) (map[string]content.Repository, error) {
	var all map[string]content.Repository
	query := url.Values{}
	if name != "" {
		query.Set("name", name)
	}
	return all, c.json(ctx, http.MethodGet, RepositoriesPath+"?"+query.Encode(), nil, &all)
}

// Notify tells the registry to fetch what is new elsewhere; it returns when that is done.
func (c *Client) Notify(ctx context.Context, n Notice) error {
	return c.json(ctx, http.MethodPost, NoticePath, n, &struct{}{})
}

// Sweep removes what no manifest needs.
func (c *Client) Sweep(ctx context.Context) (swept content.Swept, err error) {
	return swept, c.json(ctx, http.MethodPost, SweepPath, nil, &swept)
}

// Status asks how the registry is.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.json(ctx, http.MethodGet, StatusPath, nil, &s)
}

func (c *Client) json(ctx context.Context, method, path string, body, into any) error {
	var sent io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(raw)
	}
	resp, err := c.do(ctx, method, path, sent, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("read the answer of the registry at %s: %w", c.address, err)
	}
	return nil
}

// do sends a request and returns its answer, which is one of success; the caller closes the body.
func (c *Client) do(ctx context.Context, method, path string, body io.Reader, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "https://"+c.address+path, body)
	if err != nil {
		return nil, err
	}
	for key := range header {
		req.Header.Set(key, header.Get(key))
	}
	if length := header.Get("Content-Length"); length != "" {
		if req.ContentLength, err = strconv.ParseInt(length, 10, 64); err != nil {
			return nil, err
		}
	}
	if c.peer {
		req.Header.Set(PeerHeader, "1")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w at %s: %w", ErrUnreachable, c.address, err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, c.refusal(resp)
}

// ErrRefused is returned for what a registry does not do.
var ErrRefused = errors.New("the registry refused")

// refusal is the error that an answer tells of.
func (c *Client) refusal(resp *http.Response) error {
	var told struct {
		Errors []struct{ Code, Message string }
	}
	said := resp.Status
	if json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&told) == nil && len(told.Errors) > 0 {
		said = told.Errors[0].Message
	}
	if resp.StatusCode == http.StatusNotFound {
		return fmt.Errorf("registry at %s: %w: %s", c.address, content.ErrUnknown, said)
	}
	return fmt.Errorf("%w at %s: %s", ErrRefused, c.address, said)
}
