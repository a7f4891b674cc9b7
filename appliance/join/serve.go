package join

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"islet/appliance/api"
	"islet/bundle"
)

// GroupServers and GroupAgents are the organizations in the certificates of nodes, by their role.
const (
	GroupServers = "islet:servers"
	GroupAgents  = "islet:agents"
)

// NodeLeaf is the name of the certificate with which nodes talk to each other.
const NodeLeaf = "node"

const (
	helloPath   = "/join/v1/hello"
	consultPath = "/join/v1/consult"
	admitPath   = "/join/v1/admit"
	serversPath = "/node/v1/servers"
	renewPath   = "/node/v1/renew"
	leftPath    = "/node/v1/left"
	reportPath  = "/node/v1/report"
	movePath    = "/node/v1/move"
	trustPath   = "/node/v1/authorities"
	backupsPath = "/node/v1/backups"
	offerPath   = "/join/v1/bundle"
	bundlePath  = "/node/v1/bundle"
	failedDelay = time.Second // after a bad token: guessing is slow, and one guess at a time
	maxGuesses  = 32          // that wait for that; more are turned away
	stopTimeout = 2 * time.Second
)

// Site is what a server answers from.
type Site interface {
	Hello() Hello
	// Consult checks what Admit would, and changes nothing.
	Consult(ctx context.Context, a Application) (Consultation, error)
	Admit(ctx context.Context, a Application) (Admission, error)
	Renew(ctx context.Context, c Caller, r Renewal) (Renewed, error)
	Servers(ctx context.Context, c Caller) (Servers, error)
	// Authorities is what the node is to have of the site's authorities.
	Authorities(ctx context.Context, c Caller) (Authorities, error)
	// Report is how a node is now.
	Report(ctx context.Context, c Caller, s api.Status) error
	// Move is the last change of the node's address, nil if there was none. ReportMove is what the node tells of it.
	Move(ctx context.Context, c Caller) (*Move, error)
	ReportMove(ctx context.Context, c Caller, r MoveReport) error
	// Backups are those that this server has made, the newest first.
	Backups(ctx context.Context, c Caller) ([]Offer, error)
	// Backup opens one of them by its name, or returns ErrNoBackup. It is sealed, so that any node may keep it. Who asks closes
	// it.
	Backup(ctx context.Context, c Caller, name string) (io.ReadSeekCloser, error)
	// Offer checks what Admit would of the token, and says what the site runs.
	Offer(ctx context.Context, a Application) (Carried, error)
	// Carry is the bundle that this server runs, for a node.
	Carry(ctx context.Context, c Caller) (*bundle.Reader, error)
	// Left is told by a node that was removed and cleans its machine now.
	Left(ctx context.Context, c Caller) error
	Witness
}

// Caller is a node that has proved its name with a certificate of the site. Whether it still belongs to the site is for
// the list of members to say.
type Caller struct {
	Name string
	Key  Key
	From netip.Addr
}

// Identity is who a server is towards machines and nodes.
type Identity struct {
	Pair func() (tls.Certificate, error) // read for each connection: it is renewed while the server runs
	// Authorities are those for nodes, any of which is good. They are asked for each connection, as they can be rotated, and
	// sent along, so that machines can compare them with their token's pin.
	Authorities func() []*x509.Certificate
}

// Serve listens for machines that join and for nodes until ctx is cancelled. listening is called when it does.
func Serve(ctx context.Context, address string, id Identity, site Site, log *slog.Logger, listening func()) error {
	return serveTLS(ctx, address, id, handler(site, id.Authorities), log, listening)
}

// serveTLS answers until ctx is cancelled.
func serveTLS(ctx context.Context, address string, id Identity, answers http.Handler, log *slog.Logger, listening func()) error {
	config := &tls.Config{
		MinVersion: tls.VersionTLS13,
		// The chain is looked at by nodeOf: a node that was switched off for longer than its certificate lives must be able
		// to get a new one.
		ClientAuth: tls.RequestClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			pair, err := id.Pair()
			if err != nil {
				log.Error("this node's certificate cannot be read: no node can talk to it", "error", err)
			}
			pair.Certificate = slices.Clone(pair.Certificate)
			for _, authority := range id.Authorities() {
				pair.Certificate = append(pair.Certificate, authority.Raw)
			}
			return &pair, err
		},
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen for nodes: %w", err)
	}
	srv := &http.Server{
		Handler: answers, TLSConfig: config, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 20 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // whoever knocks at random
	}
	served := make(chan error, 1)
	go func() { served <- srv.ServeTLS(listener, "", "") }()
	listening()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if srv.Shutdown(stop) != nil {
		_ = srv.Close() // what is still being answered is cut off
	}
	<-served //nolint:errcheck // it says that the server was closed
	return nil
}

func handler(site Site, authorities func() []*x509.Certificate) http.Handler {
	mux := http.NewServeMux()
	guesses := newPenalty()
	mux.HandleFunc("GET "+helloPath, func(w http.ResponseWriter, _ *http.Request) { writeAnswer(w, site.Hello(), nil) })
	mux.HandleFunc("POST "+consultPath, withToken(guesses, site.Consult))
	mux.HandleFunc("POST "+admitPath, withToken(guesses, site.Admit))
	mux.HandleFunc("POST "+offerPath, withToken(guesses, site.Offer))
	handleBundle(mux, site, authorities)
	handleWitness(mux, site, authorities)
	mux.HandleFunc("GET "+serversPath, func(w http.ResponseWriter, r *http.Request) {
		node, err := nodeOf(r, authorities())
		var servers Servers
		if err == nil {
			servers, err = site.Servers(r.Context(), node)
		}
		writeAnswer(w, servers, err)
	})
	mux.HandleFunc("POST "+reportPath, func(w http.ResponseWriter, r *http.Request) {
		node, err := nodeOf(r, authorities())
		var status api.Status
		if err == nil {
			status, err = read[api.Status](w, r)
		}
		if err == nil {
			err = site.Report(r.Context(), node, status)
		}
		writeAnswer(w, struct{}{}, err)
	})
	mux.HandleFunc("GET "+movePath, func(w http.ResponseWriter, r *http.Request) {
		node, err := nodeOf(r, authorities())
		var move *Move
		if err == nil {
			move, err = site.Move(r.Context(), node)
		}
		writeAnswer(w, move, err)
	})
	mux.HandleFunc("POST "+movePath, func(w http.ResponseWriter, r *http.Request) {
		node, err := nodeOf(r, authorities())
		var report MoveReport
		if err == nil {
			report, err = read[MoveReport](w, r)
		}
		if err == nil {
			err = site.ReportMove(r.Context(), node, report)
		}
		writeAnswer(w, struct{}{}, err)
	})
	mux.HandleFunc("GET "+trustPath, func(w http.ResponseWriter, r *http.Request) {
		node, err := nodeOf(r, authorities())
		var trust Authorities
		if err == nil {
			trust, err = site.Authorities(r.Context(), node)
		}
		writeAnswer(w, trust, err)
	})
	mux.HandleFunc("GET "+backupsPath, func(w http.ResponseWriter, r *http.Request) {
		node, err := nodeOf(r, authorities())
		var offers []Offer
		if err == nil {
			offers, err = site.Backups(r.Context(), node)
		}
		writeAnswer(w, offers, err)
	})
	mux.HandleFunc("GET "+backupsPath+"/{name}", func(w http.ResponseWriter, r *http.Request) {
		node, err := nodeOf(r, authorities())
		var file io.ReadSeekCloser
		if err == nil {
			file, err = site.Backup(r.Context(), node, r.PathValue("name"))
		}
		if err != nil {
			writeAnswer(w, nil, err)
			return
		}
		defer file.Close()
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // nothing more is read, and the answer may take longer
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, file)
	})
	mux.HandleFunc("POST "+leftPath, func(w http.ResponseWriter, r *http.Request) {
		node, err := nodeOf(r, authorities())
		if err == nil {
			err = site.Left(r.Context(), node)
		}
		writeAnswer(w, struct{}{}, err)
	})
	mux.HandleFunc("POST "+renewPath, func(w http.ResponseWriter, r *http.Request) {
		node, err := nodeOf(r, authorities())
		var renewal Renewal
		if err == nil {
			renewal, err = read[Renewal](w, r)
		}
		var renewed Renewed
		if err == nil {
			renewed, err = site.Renew(r.Context(), node, renewal)
		}
		writeAnswer(w, renewed, err)
	})
	return mux
}

// withToken answers who has a token; who has none waits for that answer.
func withToken[T any](guesses *penalty, do func(context.Context, Application) (T, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		application, err := read[Application](w, r)
		var answer T
		if err == nil {
			answer, err = do(r.Context(), application)
		}
		if errors.Is(err, ErrUnknownToken) {
			err = guesses.serve(err)
		}
		writeAnswer(w, answer, err)
	}
}

// penalty holds back the answers to guesses, one after the other, and also those to a guesser who does not wait for them.
type penalty struct{ waiting, serving chan struct{} }

func newPenalty() *penalty {
	return &penalty{waiting: make(chan struct{}, maxGuesses), serving: make(chan struct{}, 1)}
}

func (p *penalty) serve(err error) error {
	select {
	case p.waiting <- struct{}{}:
		defer func() { <-p.waiting }()
	default:
		return ErrTooMany
	}
	p.serving <- struct{}{}
	defer func() { <-p.serving }()
	<-time.After(failedDelay)
	return err
}

// nodeOf is the node that has proved its name with a certificate of the site, whatever its dates.
func nodeOf(r *http.Request, authorities []*x509.Certificate) (Caller, error) {
	chain := r.TLS.PeerCertificates
	if len(chain) == 0 || chain[0].Subject.CommonName == "" || !isOf(chain, authorities, x509.ExtKeyUsageClientAuth, GroupServers, GroupAgents) {
		return Caller{}, ErrNoIdentity
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	return Caller{chain[0].Subject.CommonName, KeyOf(chain[0].RawSubjectPublicKeyInfo), from.Addr().Unmap()}, err
}

// isOf says whether one of the authorities has signed the first certificate of the chain, for one of the groups and the
// usage: itself, or by way of another authority of the chain, as while the authority is rotated. Dates do not count.
func isOf(chain, authorities []*x509.Certificate, usage x509.ExtKeyUsage, groups ...string) bool {
	cert := chain[0]
	if !slices.ContainsFunc(cert.Subject.Organization, func(o string) bool { return slices.Contains(groups, o) }) ||
		!slices.Contains(cert.ExtKeyUsage, usage) {
		return false
	}
	return signedBy(cert, authorities) || slices.ContainsFunc(chain[1:], func(between *x509.Certificate) bool {
		return signedBy(between, authorities) && signedBy(cert, []*x509.Certificate{between})
	})
}

func signedBy(cert *x509.Certificate, authorities []*x509.Certificate) bool {
	return slices.ContainsFunc(authorities, func(a *x509.Certificate) bool { return a.IsCA && cert.CheckSignatureFrom(a) == nil })
}

func read[T any](w http.ResponseWriter, r *http.Request) (body T, err error) {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&body); err != nil {
		return body, fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	return body, nil
}
