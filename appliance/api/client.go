package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"islet/appliance/component"
	"islet/appliance/metric"
	"islet/appliance/paas/survey"
	"islet/appliance/plan"
	"islet/appliance/tail"
)

// ErrUnreachable is returned when no daemon answers on the socket.
var ErrUnreachable = errors.New("the node daemon does not answer")

// Client talks to the daemon of this machine.
type Client struct {
	http   *http.Client
	socket string
	prefix string // of what is asked about a node
}

// NewClient returns a client of the daemon that listens on socket. Nothing is opened yet.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return &Client{http: &http.Client{Transport: &http.Transport{DialContext: dial}}, socket: socket, prefix: "/v1"}
}

// At asks the daemon of this machine, a server, about another node of the site: Events, History and Log of what this returns
// are that node's. All else stays this machine's.
func (c *Client) At(node string) *Client {
	other := *c
	other.prefix = "/v1/nodes/" + url.PathEscape(node)
	return &other
}

// Status returns the node's status.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	return s, c.call(ctx, http.MethodGet, "/v1/status", &s)
}

// Site returns what a server knows of the nodes, itself first; on an agent that is itself.
func (c *Client) Site(ctx context.Context) ([]Report, error) {
	var all []Report
	return all, c.call(ctx, http.MethodGet, "/v1/site", &all)
}

// Events returns the newest component events, oldest first.
func (c *Client) Events(ctx context.Context) ([]component.Event, error) {
	var e []component.Event
	return e, c.call(ctx, http.MethodGet, c.prefix+"/events", &e)
}

// History returns what the machine has used in the last hour and the last day.
func (c *Client) History(ctx context.Context) (metric.History, error) {
	var h metric.History
	return h, c.call(ctx, http.MethodGet, c.prefix+"/history", &h)
}

// Log returns lines of the log of a component: the last ones, or where mark is one of an earlier part, those after it.
func (c *Client) Log(ctx context.Context, name string, lines int, mark string) (tail.Part, error) {
	var p tail.Part
	query := url.Values{"lines": {strconv.Itoa(lines)}}
	if mark != "" {
		query = url.Values{"after": {mark}}
	}
	return p, c.call(ctx, http.MethodGet, c.prefix+"/components/"+url.PathEscape(name)+"/log?"+query.Encode(), &p)
}

// Pods returns the pods of the site as Kubernetes knows them; on an agent those of this node.
func (c *Client) Pods(ctx context.Context) ([]Pod, error) {
	var p []Pod
	return p, c.call(ctx, http.MethodGet, "/v1/pods", &p)
}

// Platform returns tenants, environments, applications, releases and orders as Kubernetes knows them. Only a server may ask.
func (c *Client) Platform(ctx context.Context) (survey.Survey, error) {
	var s survey.Survey
	return s, c.call(ctx, http.MethodGet, "/v1/platform", &s)
}

// Plans returns the journals of what was done to this machine, the newest first.
func (c *Client) Plans(ctx context.Context) ([]plan.Journal, error) {
	var p []plan.Journal
	return p, c.call(ctx, http.MethodGet, "/v1/plans", &p)
}

// Restart asks for a restart of one component.
func (c *Client) Restart(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodPost, "/v1/components/"+url.PathEscape(name)+"/restart", &struct{}{})
}

// StartAnew asks the daemon to stop and to start again, with the answer file as it is then. Pods go on.
func (c *Client) StartAnew(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/start-anew", &struct{}{})
}

// Rotate asks for new authorities.
func (c *Client) Rotate(ctx context.Context, o RotationOrder) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return c.send(ctx, http.MethodPost, "/v1/rotation", bytes.NewReader(body), &struct{}{})
}

// Snapshot takes a snapshot of the datastore and returns its path.
func (c *Client) Snapshot(ctx context.Context) (string, error) {
	var made map[string]string
	err := c.call(ctx, http.MethodPost, "/v1/snapshots", &made)
	return made["path"], err
}

func (c *Client) call(ctx context.Context, method, path string, into any) error {
	return c.send(ctx, method, path, nil, into)
}

func (c *Client) send(ctx context.Context, method, path string, content io.Reader, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://appliance"+path, content)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w on %s: %w", ErrUnreachable, c.socket, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return err
	}
	return decode(resp.StatusCode, resp.Status, body, into)
}

// decode reads an answer: into what was asked for, or the error that the daemon gives.
func decode(code int, status string, body []byte, into any) error {
	if code != http.StatusOK {
		var f failure
		if json.Unmarshal(body, &f) != nil || f.Error == "" {
			f.Error = status
		}
		return errors.New(f.Error)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
	}
	return nil
}
