package join

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	"islet/appliance/component"
	"islet/appliance/metric"
	"islet/appliance/tail"
)

const (
	logPath     = "/node/v1/components/{name}/log"
	historyPath = "/node/v1/history"
	eventsPath  = "/node/v1/events"
)

// ErrNotServer is what a node answers to whoever is no server of the site.
var ErrNotServer = errors.New("only servers of the site are told that")

// maxWitness bounds an answer of a witness: a log's part is made of at most 1 MiB of its file.
const maxWitness = 8 << 20

// Witness tells the servers of the site what a node knows of itself. Every node is one, while Kubernetes is down, too.
type Witness interface {
	// TellLog is some of a component's log, as api.Daemon's ReadLog.
	TellLog(ctx context.Context, c Caller, name string, lines int, mark string) (tail.Part, error)
	TellHistory(ctx context.Context, c Caller) (metric.History, error)
	TellEvents(ctx context.Context, c Caller) ([]component.Event, error)
}

// ServeWitness listens for the servers of the site until ctx is cancelled, on a node that is none. listening is called when it
// does.
func ServeWitness(ctx context.Context, address string, id Identity, w Witness, log *slog.Logger, listening func()) error {
	mux := http.NewServeMux()
	handleWitness(mux, w, id.Authorities)
	return serveTLS(ctx, address, id, mux, log, listening)
}

func handleWitness(mux *http.ServeMux, witness Witness, authorities func() []*x509.Certificate) {
	mux.HandleFunc("GET "+logPath, func(w http.ResponseWriter, r *http.Request) {
		server, err := serverOf(r, authorities())
		var part tail.Part
		if err == nil {
			lines, _ := strconv.Atoi(r.FormValue("lines")) // no number means none
			part, err = witness.TellLog(r.Context(), server, r.PathValue("name"), lines, r.FormValue("after"))
		}
		writeAnswer(w, part, err)
	})
	mux.HandleFunc("GET "+historyPath, func(w http.ResponseWriter, r *http.Request) {
		server, err := serverOf(r, authorities())
		var history metric.History
		if err == nil {
			history, err = witness.TellHistory(r.Context(), server)
		}
		writeAnswer(w, history, err)
	})
	mux.HandleFunc("GET "+eventsPath, func(w http.ResponseWriter, r *http.Request) {
		server, err := serverOf(r, authorities())
		var events []component.Event
		if err == nil {
			events, err = witness.TellEvents(r.Context(), server)
		}
		writeAnswer(w, events, err)
	})
}

// serverOf is nodeOf for what servers alone are told.
func serverOf(r *http.Request, authorities []*x509.Certificate) (Caller, error) {
	caller, err := nodeOf(r, authorities)
	if err == nil && !slices.Contains(r.TLS.PeerCertificates[0].Subject.Organization, GroupServers) {
		err = ErrNotServer
	}
	return caller, err
}

// WitnessClient asks one node about itself.
type WitnessClient struct{ *Client }

// NewWitness returns a client of the node of that name, for a server with its certificate. Nothing is opened yet. What answers
// must be that very node, server or agent; dates do not count.
func NewWitness(at netip.AddrPort, name string, pair tls.Certificate, authorities []*x509.Certificate) WitnessClient {
	config := nodeTLS(pair, authorities)
	config.VerifyConnection = func(s tls.ConnectionState) error {
		// an agent's certificate is for clients only: it listens for nobody else
		if !isOf(s.PeerCertificates, authorities, x509.ExtKeyUsageClientAuth, GroupServers, GroupAgents) || s.PeerCertificates[0].Subject.CommonName != name {
			return ErrOtherNode
		}
		return nil
	}
	return WitnessClient{newClient(at, config)}
}

// ErrOtherNode is returned where something else answers at a node's address.
var ErrOtherNode = errors.New("what answers there is not that node")

// Log asks for the last lines of a component's log, or for what came after a mark.
func (c WitnessClient) Log(ctx context.Context, name string, lines int, mark string) (tail.Part, error) {
	query := url.Values{"lines": {strconv.Itoa(lines)}}
	if mark != "" {
		query.Set("after", mark)
	}
	return callLarge[tail.Part](ctx, c.Client, http.MethodGet, "/node/v1/components/"+url.PathEscape(name)+"/log?"+query.Encode(), nil, maxWitness)
}

// History asks what the node has used.
func (c WitnessClient) History(ctx context.Context) (metric.History, error) {
	return callLarge[metric.History](ctx, c.Client, http.MethodGet, historyPath, nil, maxWitness)
}

// Events asks what happened to the node's components.
func (c WitnessClient) Events(ctx context.Context) ([]component.Event, error) {
	return callLarge[[]component.Event](ctx, c.Client, http.MethodGet, eventsPath, nil, maxWitness)
}
