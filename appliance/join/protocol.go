package join

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/opencontainers/go-digest"

	"islet/appliance/api"
	"islet/appliance/component"
	"islet/appliance/config"
	"islet/bundle"
)

// What a server refuses besides bad tokens.
var (
	ErrNameTaken    = errors.New("another node has this name")
	ErrAddressTaken = errors.New("another node has this address")
	ErrNotPossible  = errors.New("this site cannot take such a node")
	ErrTooMany      = errors.New("too many wrong tokens at once: try again in a minute")
	ErrBadRequest   = errors.New("the request is not understood")
	ErrNoIdentity   = errors.New("the caller has no certificate of a node of this site")
	ErrNoBackup     = errors.New("this server has no such backup")
	ErrRefused      = errors.New("the site refused")
	ErrOtherBundle  = errors.New("the server has another bundle")
)

// Hello is what a server tells everybody who knocks: enough to judge whether joining can work.
type Hello struct {
	Site    string    `json:"site"`
	Node    string    `json:"node"`
	Version string    `json:"version"`
	Bundle  string    `json:"bundle"` // digest of the bundle's index
	Time    time.Time `json:"time"`
	// Generation counts the recoveries that this server's copy of the datastore has seen.
	Generation int `json:"generation,omitempty"`
}

// Application is what a machine asks with, first to be told whether and how it could join, then to be let in.
type Application struct {
	TokenID ID                `json:"tokenID"`
	Secret  Secret            `json:"secret"`
	Role    config.Role       `json:"role"`
	Node    string            `json:"node"`
	Address netip.Addr        `json:"address"`
	Labels  map[string]string `json:"labels,omitempty"`
	Taints  []config.Taint    `json:"taints,omitempty"`
	// Ports are TCP ports on which the machine listens while it asks: can the server reach them?
	Ports []uint16 `json:"ports,omitempty"`
	// ProbePort is the UDP port on which it waits for a Probe; 0 for none.
	ProbePort uint16 `json:"probePort,omitempty"`
	// Requests are certificate requests by the names of the leaves, PEM.
	Requests map[string][]byte `json:"requests,omitempty"`
}

// Consultation is the answer to a machine that may join but has not decided to.
type Consultation struct {
	Config []byte `json:"config"` // the answer file that it would get, YAML
	Servers
	Probe     Probe             `json:"probe"`     // that was sent
	Unreached map[uint16]string `json:"unreached"` // of the ports it asked about, and why
}

// Carried is what a server runs, for a machine that has not all of it: the bundle's blobs are had one by one.
type Carried struct {
	Executable digest.Digest `json:"executable"` // of what the bundle is appended to; of nothing where it is a file alone
	Tail       []byte        `json:"tail"`       // of the bundle: the signed index, and what goes with it
}

// Servers is where the servers of a site are.
type Servers struct {
	API  []netip.AddrPort `json:"api"`  // the Kubernetes API
	Node []netip.AddrPort `json:"node"` // the node API
}

// Admission is what a machine needs to be a node, besides the answer file that it was shown.
type Admission struct {
	Authorities  map[string][]byte `json:"authorities"`  // certificates by name, PEM
	Certificates map[string][]byte `json:"certificates"` // by the names of the leaves, PEM
	// Keys are those of the authorities and the site's other secrets, for a server.
	Keys map[string][]byte `json:"keys,omitempty"`
	// Database is what lets a server into the site's own database, where it has one.
	Database map[string][]byte `json:"database,omitempty"`
	Servers
}

// Renewal asks for certificates that replace those of a node.
type Renewal struct {
	Requests map[string][]byte `json:"requests"`
}

// Renewed answers a Renewal.
type Renewed struct {
	Certificates map[string][]byte `json:"certificates"`
}

// Authorities is what a node is to have of the authorities of its site.
type Authorities struct {
	Certificates map[string][]byte `json:"certificates"` // as pki.Store.Authorities returns them
	// Rotating is whether a rotation is unfinished: the node asks more often then.
	Rotating bool `json:"rotating,omitempty"`
}

// Offer is a backup that a server has made, for other machines of the site to copy.
type Offer struct {
	Name   string `json:"name"` // of the file
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // hexadecimal
}

// maxBody bounds what either side reads: certificates and an answer file take a few kilobytes.
const maxBody = 1 << 20

// maxCarried bounds a Carried: base64 of what a bundle's tail may take.
const maxCarried = 2 * bundle.MaxIndexSize

// failure is the body of an answer that is not 200.
type failure struct {
	Code  string `json:"code,omitempty"`
	Error string `json:"error"`
}

// failures are the errors that keep their meaning on the way to the other side.
var failures = []struct {
	code   string
	err    error
	status int
}{
	{"unknown-token", ErrUnknownToken, http.StatusForbidden},
	{"expired-token", ErrExpiredToken, http.StatusForbidden},
	{"used-token", ErrUsedToken, http.StatusForbidden},
	{"revoked-token", ErrRevokedToken, http.StatusForbidden},
	{"wrong-node", ErrWrongNode, http.StatusForbidden},
	{"wrong-role", ErrWrongRole, http.StatusForbidden},
	{"name-taken", ErrNameTaken, http.StatusConflict},
	{"address-taken", ErrAddressTaken, http.StatusConflict},
	{"not-possible", ErrNotPossible, http.StatusConflict},
	{"unreachable", ErrUnreachable, http.StatusConflict},
	{"not-member", ErrNotMember, http.StatusForbidden},
	{"removed", ErrRemoved, http.StatusGone},
	{"awaiting-approval", ErrAwaitingApproval, http.StatusConflict},
	{"not-approved", ErrNotApproved, http.StatusForbidden},
	{"too-many", ErrTooMany, http.StatusTooManyRequests},
	{"bad-request", ErrBadRequest, http.StatusBadRequest},
	{"no-identity", ErrNoIdentity, http.StatusUnauthorized},
	{"no-backup", ErrNoBackup, http.StatusNotFound},
	{"not-server", ErrNotServer, http.StatusForbidden},
	{"unknown-component", component.ErrUnknown, http.StatusNotFound},
	{"no-log", api.ErrNoLog, http.StatusNotFound},
	{"other-bundle", ErrOtherBundle, http.StatusNotFound},
	{"unknown-blob", bundle.ErrNotFound, http.StatusNotFound},
}

func writeAnswer(w http.ResponseWriter, body any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		status, f := http.StatusInternalServerError, failure{Error: err.Error()}
		for _, known := range failures {
			if errors.Is(err, known.err) {
				status, f.Code = known.status, known.code
			}
		}
		w.WriteHeader(status)
		body = f
	}
	_ = json.NewEncoder(w).Encode(body) // the client went away: nothing to do
}

// remoteError is an error of the other side in its words.
type remoteError struct {
	text string
	is   error
}

func (e remoteError) Error() string { return e.text }
func (e remoteError) Unwrap() error { return e.is }

// readFailure makes an error of an answer that is not 200.
func readFailure(status string, body []byte) error {
	var f failure
	if json.Unmarshal(body, &f) != nil || f.Error == "" {
		return fmt.Errorf("%w: %s", ErrRefused, status)
	}
	e := remoteError{f.Error, ErrRefused}
	for _, known := range failures {
		if known.code == f.Code {
			e.is = known.err
		}
	}
	return e
}
