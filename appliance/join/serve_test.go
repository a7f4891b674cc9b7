package join

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"islet/appliance/api"
	"islet/appliance/component"
	"islet/appliance/config"
	"islet/appliance/metric"
	"islet/appliance/pki"
	"islet/appliance/tail"
	"islet/bundle"
)

// desk is a Site that answers as a test wants, and remembers who asked.
type desk struct {
	consult func(a Application) (Consultation, error)                   // what is nil answers with nothing
	admit   func(ctx context.Context, a Application) (Admission, error) // ctx is the request's
	servers func(node string) (Servers, error)
	renew   func(node string, r Renewal) (Renewed, error)
	move    func(node string) (*Move, error)
	moved   func(node string, r MoveReport) error
	bundle  *bundle.Reader
	carry   func(node string) error

	mu           sync.Mutex
	hellos       int
	applications []Application // to consult or to admit
	nodes        []string      // that asked with their certificate
}

var greeting = Hello{Site: "plant 4", Node: "node1", Version: "1.2.3", Bundle: "sha256:abc", Time: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}

func (d *desk) Hello() Hello {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hellos++
	return greeting
}

func (d *desk) note(a Application) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.applications = append(d.applications, a)
}

func (d *desk) noteNode(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nodes = append(d.nodes, name)
}

func (d *desk) Consult(_ context.Context, a Application) (Consultation, error) {
	if d.note(a); d.consult == nil {
		return Consultation{}, nil
	}
	return d.consult(a)
}

func (d *desk) Admit(ctx context.Context, a Application) (Admission, error) {
	if d.note(a); d.admit == nil {
		return Admission{}, nil
	}
	return d.admit(ctx, a)
}

func (d *desk) Move(_ context.Context, c Caller) (*Move, error) {
	if d.noteNode(c.Name); d.move == nil {
		return nil, nil //nolint:nilnil // there was none
	}
	return d.move(c.Name)
}

func (d *desk) ReportMove(_ context.Context, c Caller, r MoveReport) error {
	if d.noteNode(c.Name); d.moved == nil {
		return nil
	}
	return d.moved(c.Name, r)
}

func (d *desk) Servers(_ context.Context, c Caller) (Servers, error) {
	if d.noteNode(c.Name); d.servers == nil {
		return Servers{}, nil
	}
	return d.servers(c.Name)
}

func (d *desk) Authorities(_ context.Context, c Caller) (Authorities, error) {
	d.noteNode(c.Name)
	return Authorities{Certificates: map[string][]byte{pki.NodeCA: []byte("PEM")}}, nil
}

func (d *desk) Report(_ context.Context, c Caller, _ api.Status) error {
	d.noteNode(c.Name)
	return nil
}

const offered = "plant-20261101T120000Z.islet-backup"

func (d *desk) Backups(_ context.Context, c Caller) ([]Offer, error) {
	d.noteNode(c.Name)
	return []Offer{{Name: offered, Bytes: 6, SHA256: "abc"}}, nil
}

func (d *desk) Backup(_ context.Context, c Caller, name string) (io.ReadSeekCloser, error) {
	if d.noteNode(c.Name); name != offered {
		return nil, ErrNoBackup
	}
	return struct {
		io.ReadSeeker
		io.Closer
	}{strings.NewReader("sealed"), io.NopCloser(nil)}, nil
}

func (d *desk) Left(_ context.Context, c Caller) error {
	d.noteNode(c.Name)
	return nil
}

func (d *desk) TellLog(_ context.Context, c Caller, name string, lines int, mark string) (tail.Part, error) {
	d.noteNode(c.Name)
	if name == "nobody" {
		return tail.Part{}, fmt.Errorf("%w: %q", component.ErrUnknown, name)
	}
	return tail.Part{Lines: []string{name, fmt.Sprint(lines), c.From.String()}, Mark: mark + "1"}, nil
}

func (d *desk) TellHistory(_ context.Context, c Caller) (metric.History, error) {
	d.noteNode(c.Name)
	return metric.History{Recent: []metric.Sample{{CPU: 0.5}}}, nil
}

func (d *desk) TellEvents(_ context.Context, c Caller) ([]component.Event, error) {
	d.noteNode(c.Name)
	return []component.Event{{Component: "kubelet", State: component.Ready}}, nil
}

func (d *desk) Renew(_ context.Context, c Caller, r Renewal) (Renewed, error) {
	if d.noteNode(c.Name); d.renew == nil {
		return Renewed{}, nil
	}
	return d.renew(c.Name, r)
}

// untouched checks that nothing at all was asked: neither a secret nor a request has reached this site.
func (d *desk) untouched(t *testing.T, name string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hellos > 0 || len(d.applications) > 0 || len(d.nodes) > 0 {
		t.Errorf("%s: the site was asked: %d hellos, %d applications, nodes %q", name, d.hellos, len(d.applications), d.nodes)
	}
}

// asked are the nodes that have asked with their certificate since the last call.
func (d *desk) asked() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	nodes := d.nodes
	d.nodes = nil
	return nodes
}

// store is the certificates of a server; its authorities and leaves are made at that time.
func store(t *testing.T, at time.Time) *pki.Store {
	t.Helper()
	return open(t, t.TempDir(), at)
}

func open(t *testing.T, dir string, at time.Time) *pki.Store {
	t.Helper()
	s, err := pki.Open(dir, time.Time{}, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// nodeLeaf is good for both sides, so that only the group tells a server from an agent.
func nodeLeaf(node, group string) pki.Leaf {
	return pki.Leaf{Name: NodeLeaf, Authority: pki.NodeCA, CommonName: node, Organizations: []string{group}, Server: true, Client: true}
}

func pairOf(t *testing.T, s *pki.Store, l pki.Leaf) tls.Certificate {
	t.Helper()
	l.Name += "-" + rand.Text() // beside the others of this store
	_, err := s.Ensure([]pki.Leaf{l})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := s.Pair(l.Name)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// trusted are the authorities for nodes as a server knows them.
func trusted(s *pki.Store) func() []*x509.Certificate {
	return func() []*x509.Certificate { return s.Authority(pki.NodeCA).Trusted }
}

func identity(s *pki.Store, pair tls.Certificate) Identity {
	return Identity{Authorities: trusted(s), Pair: func() (tls.Certificate, error) { return pair, nil }}
}

// lastHost counts the loopback addresses that tests have taken.
var lastHost atomic.Uint32

// freeAddress is a port on a loopback address of its own: nobody takes it between its reservation and its use, and
// nobody answers there before.
func freeAddress(t *testing.T) netip.AddrPort {
	t.Helper()
	host := lastHost.Add(1)
	listener, err := net.Listen("tcp", fmt.Sprintf("127.73.%d.%d:0", host>>8&0xff, host&0xff))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).AddrPort()
}

// serve runs Serve until stop is called or the test ends.
func serve(t *testing.T, at netip.AddrPort, id Identity, site Site) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	listening, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- Serve(ctx, at.String(), id, site, slog.New(slog.DiscardHandler), func() { close(listening) })
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("Serve goes on after its context has ended")
		}
	})
	t.Cleanup(stop)
	select {
	case <-listening:
	case err := <-ended:
		t.Fatalf("Serve: %v", err)
	}
	return stop
}

// running is a server of a site, and a token for it.
type running struct {
	*desk
	store *pki.Store
	at    netip.AddrPort
	token Token
}

func run(t *testing.T, d *desk) running {
	t.Helper()
	s := store(t, time.Now())
	r := running{desk: d, store: s, at: freeAddress(t)}
	serve(t, r.at, identity(s, pairOf(t, s, nodeLeaf("node1", GroupServers))), d)
	r.token = tokenFor(t, s, r.at)
	return r
}

func tokenFor(t *testing.T, s *pki.Store, at ...netip.AddrPort) Token {
	t.Helper()
	token, err := NewToken(config.RoleAgent, PinOf(s.Authority(pki.NodeCA).Cert), at)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func connect(t *testing.T, token Token) *Client {
	t.Helper()
	c, hello, err := Dial(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if hello != greeting {
		t.Errorf("hello %+v, want %+v", hello, greeting)
	}
	return c
}

func connectNode(t *testing.T, at netip.AddrPort, pair tls.Certificate, s *pki.Store) *Client {
	t.Helper()
	c, hello, err := DialNode(t.Context(), []netip.AddrPort{at}, pair, trusted(s)())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if hello != greeting {
		t.Errorf("hello %+v, want %+v", hello, greeting)
	}
	return c
}

// post speaks to a server without the client: as whoever is out there may. The chain is sent whatever the server asks for.
func post(t *testing.T, at netip.AddrPort, path string, body io.Reader, chain *tls.Certificate) (status int, content string) {
	t.Helper()
	return request(t, http.MethodPost, "https://"+at.String()+path, body, chain)
}

func request(t *testing.T, method, url string, body io.Reader, chain *tls.Certificate) (status int, content string) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		InsecureSkipVerify:   true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return chain, nil },
	}}
	defer transport.CloseIdleConnections()
	if chain == nil {
		chain = &tls.Certificate{}
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(answer)
}

// The whole way of a machine into a site: what it would be, certificates, and new certificates later.
func TestJoinAndRenew(t *testing.T) {
	t.Parallel()
	leaf := nodeLeaf("node2", GroupAgents)
	d := &desk{}
	r := run(t, d)
	sign := func(requests map[string][]byte) map[string][]byte {
		certificate, err := r.store.Sign(leaf, requests[NodeLeaf])
		if err != nil {
			t.Error(err)
		}
		return map[string][]byte{NodeLeaf: certificate}
	}
	servers := Servers{API: []netip.AddrPort{netip.MustParseAddrPort("10.77.0.11:6443"), netip.MustParseAddrPort("[fd00::1]:6443")}, Node: []netip.AddrPort{r.at}}
	consultation := Consultation{Config: []byte("site: plant 4\n"), Servers: servers, Probe: Probe{Small: 128, Full: 1500}, Unreached: map[uint16]string{10250: "no route"}}
	var admission Admission
	d.consult = func(Application) (Consultation, error) { return consultation, nil }
	d.admit = func(_ context.Context, a Application) (Admission, error) {
		admission = Admission{Authorities: r.store.Authorities(), Certificates: sign(a.Requests), Servers: servers}
		return admission, nil
	}
	d.servers = func(string) (Servers, error) { return servers, nil }
	d.renew = func(_ string, renewal Renewal) (Renewed, error) {
		return Renewed{Certificates: sign(renewal.Requests)}, nil
	}

	application := Application{TokenID: r.token.ID, Secret: r.token.Secret, Role: config.RoleAgent, Node: "node2",
		Address: netip.MustParseAddr("10.77.0.12"), Labels: map[string]string{"line": "3"}, Ports: []uint16{10250, 8472}}
	machine := connect(t, r.token)
	if got, err := machine.Consult(t.Context(), application); err != nil || !reflect.DeepEqual(got, consultation) {
		t.Fatalf("%+v, %v; want %+v", got, err, consultation)
	}
	request, err := pki.NewRequest(leaf)
	if err != nil {
		t.Fatal(err)
	}
	final := application
	final.Requests = map[string][]byte{NodeLeaf: request.CSR}
	admitted, err := machine.Admit(t.Context(), final)
	if err != nil || !reflect.DeepEqual(admitted, admission) {
		t.Fatalf("%+v, %v; want %+v", admitted, err, admission)
	}
	if want := []Application{application, final}; !reflect.DeepEqual(d.applications, want) {
		t.Errorf("the site was asked %+v, want %+v", d.applications, want)
	}

	dir := filepath.Join(t.TempDir(), "pki")
	if err := pki.WriteAuthorities(dir, admitted.Authorities); err != nil {
		t.Fatal(err)
	}
	node, err := pki.OpenJoined(dir, time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	certificates := admitted.Certificates
	for range 2 {
		if err := node.Install(request, certificates[NodeLeaf]); err != nil {
			t.Fatal(err)
		}
		pair, err := node.Pair(NodeLeaf)
		if err != nil {
			t.Fatal(err)
		}
		c := connectNode(t, r.at, pair, node)
		if got, err := c.Servers(t.Context()); err != nil || !reflect.DeepEqual(got, servers) {
			t.Errorf("%+v, %v; want %+v", got, err, servers)
		}
		if request, err = pki.NewRequest(leaf); err != nil {
			t.Fatal(err)
		}
		renewed, err := c.Renew(t.Context(), Renewal{Requests: map[string][]byte{NodeLeaf: request.CSR}})
		if err != nil {
			t.Fatal(err)
		}
		certificates = renewed.Certificates
	}
	if nodes := d.asked(); !slices.Equal(nodes, []string{"node2", "node2", "node2", "node2"}) {
		t.Errorf("asked by %q", nodes)
	}
}

// What a machine learns from the connection alone.
func TestLocalAndSkew(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{0, 50 * time.Hour, -50 * time.Hour} {
		s, address := store(t, time.Now()), freeAddress(t)
		serve(t, address, identity(s, pairOf(t, s, nodeLeaf("node1", GroupServers))), wrongClock{&desk{}, ahead})
		before := time.Now()
		c, _, err := Dial(t.Context(), tokenFor(t, s, address))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(before); (c.Skew-ahead).Abs() > took || !c.Local.IsLoopback() {
			t.Errorf("the server's clock is %s ahead of %s, want %s", c.Skew, c.Local, ahead)
		}
		c.Close()
	}
}

type wrongClock struct {
	*desk
	ahead time.Duration
}

func (w wrongClock) Hello() Hello { return Hello{Time: time.Now().Add(w.ahead).UTC()} }

// A machine is new: its clock may stand anywhere, and so may that of the server have.
func TestPinCountsWhateverTheClockSays(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]time.Time{
		"good":                  time.Now(),
		"leaf expired":          time.Now().AddDate(-2, 0, 0),
		"not valid yet":         time.Now().AddDate(2, 0, 0),
		"all of it has expired": time.Now().AddDate(-12, 0, 0),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, address := store(t, at), freeAddress(t)
			serve(t, address, identity(s, pairOf(t, s, nodeLeaf("node1", GroupServers))), &desk{})
			c := connect(t, tokenFor(t, s, address))
			if _, err := c.Admit(t.Context(), Application{}); err != nil || c.Server != address {
				t.Errorf("%v at %s", err, c.Server)
			}
		})
	}
}

// impostors are servers that the site with the store has not made; they know its certificates, which are no secret.
func impostors(t *testing.T, site *pki.Store) map[string]Identity {
	t.Helper()
	other := store(t, time.Now())
	server := nodeLeaf("node1", GroupServers)
	client, cluster := server, server
	client.Server = false
	cluster.Authority = pki.ClusterCA
	own := identity(other, pairOf(t, other, server))
	stolen := pairOf(t, other, server)
	stolen.Certificate = append(stolen.Certificate, other.Authority(pki.NodeCA).Cert.Raw)
	below := pairOf(t, other, server)
	agent := pairOf(t, site, nodeLeaf("node2", GroupAgents))
	below.Certificate = [][]byte{signedByLeaf(t, agent, below.PrivateKey.(*ecdsa.PrivateKey)), agent.Certificate[0]}
	return map[string]Identity{
		"another site":                          own,
		"the site's authority with another key": identity(site, stolen),
		"an agent":                              identity(site, agent),
		"what an agent has signed":              identity(site, below),
		"a server's client certificate":         identity(site, pairOf(t, site, client)),
		"another group":                         identity(site, pairOf(t, site, nodeLeaf("node1", "islet"))),
		"another authority of the site":         identity(site, pairOf(t, site, cluster)),
	}
}

// signedByLeaf makes a server's certificate for key as somebody would who has nothing but a node's key.
func signedByLeaf(t *testing.T, by tls.Certificate, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "node1", Organization: []string{GroupServers}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, by.Leaf, key.Public(), by.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestImpostors(t *testing.T) {
	t.Parallel()
	s := store(t, time.Now())
	pair, authorities := pairOf(t, s, nodeLeaf("node3", GroupAgents)), trusted(s)()
	for name, id := range impostors(t, s) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, address := &desk{}, freeAddress(t)
			serve(t, address, id, d)
			c, _, err := Dial(t.Context(), tokenFor(t, s, address))
			if !errors.Is(err, ErrImpostor) || c != nil || !strings.Contains(err.Error(), address.String()) {
				t.Errorf("a machine with a token: %v, %v; want %v", c, err, ErrImpostor)
			}
			c, _, err = DialNode(t.Context(), []netip.AddrPort{address}, pair, authorities)
			if !errors.Is(err, ErrImpostor) || c != nil || !strings.Contains(err.Error(), address.String()) {
				t.Errorf("a node: %v, %v; want %v", c, err, ErrImpostor)
			}
			d.untouched(t, name)
		})
	}
}

// Each connection is judged, not only the first: between hello and the secret somebody else may take the address.
func TestImpostorAfterHello(t *testing.T) {
	t.Parallel()
	s, other, address := store(t, time.Now()), store(t, time.Now()), freeAddress(t)
	leaf := nodeLeaf("node1", GroupServers)
	stop := serve(t, address, identity(s, pairOf(t, s, leaf)), &desk{})
	c := connect(t, tokenFor(t, s, address))
	stop()
	c.Close()
	d := &desk{}
	serve(t, address, identity(other, pairOf(t, other, leaf)), d)
	if _, err := c.Admit(t.Context(), Application{Secret: Secret{1, 2, 3}}); !errors.Is(err, ErrImpostor) {
		t.Errorf("%v, want %v", err, ErrImpostor)
	}
	d.untouched(t, "impostor")
}

func TestServersAreTriedInOrder(t *testing.T) {
	t.Parallel()
	r := run(t, &desk{})
	down := []netip.AddrPort{freeAddress(t), freeAddress(t)}
	pair, authorities := pairOf(t, r.store, nodeLeaf("node2", GroupAgents)), trusted(r.store)()
	dials := map[string]func(servers ...netip.AddrPort) (*Client, Hello, error){
		"machine": func(servers ...netip.AddrPort) (*Client, Hello, error) {
			return Dial(t.Context(), tokenFor(t, r.store, servers...))
		},
		"node": func(servers ...netip.AddrPort) (*Client, Hello, error) {
			return DialNode(t.Context(), servers, pair, authorities)
		},
	}
	for name, dial := range dials {
		c, hello, err := dial(down[0], r.at, down[1])
		if err != nil || c.Server != r.at || hello != greeting {
			t.Fatalf("%s: %+v, %v; want the second server", name, hello, err)
		}
		c.Close()
		c, _, err = dial(down...)
		if !errors.Is(err, ErrNoServer) || errors.Is(err, ErrImpostor) || c != nil {
			t.Fatalf("%s: %v, %v; want %v", name, c, err, ErrNoServer)
		}
		for _, server := range down {
			if !strings.Contains(err.Error(), server.String()) {
				t.Errorf("%s: %v does not name %s", name, err, server)
			}
		}
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", freeAddress(t).String()) // takes connections, says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, _, err = Dial(ctx, tokenFor(t, store(t, time.Now()), silent.Addr().(*net.TCPAddr).AddrPort()))
	if !errors.Is(err, ErrNoServer) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// An error that the site gives is the same error for who asked, in the same words.
func TestFailuresKeepTheirMeaning(t *testing.T) {
	t.Parallel()
	known := map[string]error{ // the codes are a promise to other versions
		"unknown-token": ErrUnknownToken, "expired-token": ErrExpiredToken, "used-token": ErrUsedToken, "revoked-token": ErrRevokedToken,
		"wrong-role": ErrWrongRole, "name-taken": ErrNameTaken, "address-taken": ErrAddressTaken, "not-possible": ErrNotPossible,
		"not-member": ErrNotMember, "bad-request": ErrBadRequest, "no-identity": ErrNoIdentity, "no-backup": ErrNoBackup, "too-many": ErrTooMany,
		"awaiting-approval": ErrAwaitingApproval, "not-approved": ErrNotApproved, "removed": ErrRemoved,
		"unreachable": ErrUnreachable, "wrong-node": ErrWrongNode,
		"not-server": ErrNotServer, "unknown-component": component.ErrUnknown, "no-log": api.ErrNoLog,
		"other-bundle": ErrOtherBundle, "unknown-blob": bundle.ErrNotFound,
	}
	for _, f := range failures {
		if f.status < 400 || f.status > 499 || !errors.Is(f.err, known[f.code]) {
			t.Errorf("%+v is not the failure %v", f, known[f.code])
		}
	}
	if len(known) != len(failures) {
		t.Errorf("%d failures, known here are %d", len(failures), len(known))
	}
	for code, err := range known {
		known[code] = fmt.Errorf("token h3x0c9ja: %w: last by node7", err)
	}
	known["other"] = errors.New("the disk is full")
	r := run(t, &desk{
		consult: func(a Application) (Consultation, error) { return Consultation{}, known[a.Node] },
		admit:   func(_ context.Context, a Application) (Admission, error) { return Admission{}, known[a.Node] },
		servers: func(node string) (Servers, error) { return Servers{}, known[node] },
		renew:   func(node string, _ Renewal) (Renewed, error) { return Renewed{}, known[node] },
		move:    func(node string) (*Move, error) { return nil, known[node] },
		moved:   func(node string, _ MoveReport) error { return known[node] },
	})
	for code, want := range known {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			machine, node := connect(t, r.token), connectNode(t, r.at, pairOf(t, r.store, nodeLeaf(code, GroupAgents)), r.store)
			calls := map[string]func() error{
				"consult": func() error { return empty(machine.Consult(t.Context(), Application{Node: code})) },
				"admit":   func() error { return empty(machine.Admit(t.Context(), Application{Node: code})) },
				"servers": func() error { return empty(node.Servers(t.Context())) },
				"renew":   func() error { return empty(node.Renew(t.Context(), Renewal{})) },
				"move":    func() error { return empty(node.Move(t.Context())) },
				"moved":   func() error { return node.ReportMove(t.Context(), MoveReport{}) },
			}
			if errors.Is(want, ErrUnknownToken) {
				delete(calls, "consult") // is slow, and has a test of its own
			}
			for name, call := range calls {
				got := call()
				if got == nil || got.Error() != want.Error() {
					t.Fatalf("%s: %v, want %v", name, got, want)
				}
				for _, f := range failures {
					if errors.Is(got, f.err) != errors.Is(want, f.err) {
						t.Errorf("%s: %v is %v: %v", name, got, f.err, errors.Is(got, f.err))
					}
				}
				if errors.Is(got, ErrRefused) != (code == "other") {
					t.Errorf("%s: %v is %v: %v", name, got, ErrRefused, code != "other")
				}
			}
		})
	}
}

// empty passes the error on; an answer besides it is another.
func empty[T any](answer T, err error) error {
	var none T
	if !reflect.DeepEqual(answer, none) {
		return fmt.Errorf("an answer with the error %w: %+v", err, answer)
	}
	return err
}

// What answers may be a proxy's page or a server of another version.
func TestAnswersThatAreNotOurs(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"":                              ErrRefused.Error() + ": 503 Service Unavailable",
		"<html>":                        ErrRefused.Error() + ": 503 Service Unavailable",
		`{"code":"used-token"}`:         ErrRefused.Error() + ": 503 Service Unavailable",
		`{"code":"moon","error":"no."}`: "no.",
	} {
		if err := readFailure("503 Service Unavailable", []byte(body)); !errors.Is(err, ErrRefused) || err.Error() != want {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}

// Guessing is slow, and nobody who has a token waits for it.
func TestUnknownTokensAreSlow(t *testing.T) {
	t.Parallel()
	guessed := make(chan struct{})
	r := run(t, &desk{
		consult: func(Application) (Consultation, error) {
			close(guessed)
			return Consultation{}, ErrUnknownToken
		},
	})
	guesser, machine := connect(t, r.token), connect(t, r.token)
	var both sync.WaitGroup
	both.Go(func() {
		start := time.Now()
		_, err := guesser.Consult(t.Context(), Application{})
		if took := time.Since(start); !errors.Is(err, ErrUnknownToken) || took < failedDelay {
			t.Errorf("%v after %s, want %v after %s", err, took, ErrUnknownToken, failedDelay)
		}
	})
	<-guessed
	start := time.Now()
	if _, err := machine.Admit(t.Context(), Application{}); err != nil || time.Since(start) > failedDelay/2 {
		t.Errorf("a machine with a token: %v after %s", err, time.Since(start))
	}
	both.Wait()
}

func TestGuessesAreAnsweredOneAfterTheOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const more = 8
		p := newPenalty()
		var guesses sync.WaitGroup
		var turnedAway atomic.Int32
		start := time.Now()
		for range maxGuesses + more {
			guesses.Go(func() {
				switch err := p.serve(ErrUnknownToken); {
				case errors.Is(err, ErrTooMany):
					turnedAway.Add(1)
				case !errors.Is(err, ErrUnknownToken):
					t.Error(err)
				}
			})
		}
		guesses.Wait()
		if took := time.Since(start); turnedAway.Load() != more || took != maxGuesses*failedDelay {
			t.Errorf("%d turned away, the others answered after %s", turnedAway.Load(), took)
		}
	})
}

func TestBodiesThatAreNotUnderstood(t *testing.T) {
	t.Parallel()
	r := run(t, &desk{})
	pair := pairOf(t, r.store, nodeLeaf("node2", GroupAgents))
	long := `{"node":"` + strings.Repeat("a", maxBody) + `"}`
	for name, body := range map[string]string{
		"nothing": "", "half": `{"node":`, "a list": "[]", "a page": "<html>", "another type": `{"node":1,"requests":1}`,
		"bad base64": `{"secret":"?","requests":{"node":"?"}}`, "too long": long, "too many spaces": strings.Repeat(" ", maxBody) + "{}",
		"too deep": strings.Repeat(`{"labels":`, 20_000),
	} {
		for _, path := range []string{consultPath, admitPath, renewPath} {
			status, content := post(t, r.at, path, strings.NewReader(body), &pair)
			if status != http.StatusBadRequest || !strings.HasPrefix(content, `{"code":"bad-request","error":"the request is not understood: `) {
				t.Errorf("%s to %s: %d %.200s", name, path, status, content)
			}
		}
	}
	for field, value := range map[string]string{"address": `"10.0.0"`, "labels": `["a"]`, "role": "1", "tokenID": `"h3x0c9j"`, "secret": `"00"`, "ports": "[70000]"} {
		if status, content := post(t, r.at, admitPath, strings.NewReader(`{"`+field+`":`+value+`}`), nil); status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", field, status, content)
		}
	}
	r.untouched(t, "not understood")

	fits := `{"node":"` + strings.Repeat("a", maxBody-11) + `"}`
	if status, content := post(t, r.at, admitPath, strings.NewReader(fits), nil); status != http.StatusOK {
		t.Errorf("%d bytes: %d %s", len(fits), status, content)
	}
}

// flood is a body without an end, which counts what is taken of it. A client may still send when it has the answer.
type flood struct{ taken atomic.Int64 }

// enough is far above what is read and what the buffers of two sockets hold.
const enough = 256 << 20

func (f *flood) Read(p []byte) (int, error) {
	if f.taken.Add(int64(len(p))) > enough {
		return 0, errors.New("enough")
	}
	return copy(p, bytes.Repeat([]byte("["), len(p))), nil
}

func TestEndlessBody(t *testing.T) {
	t.Parallel()
	r := run(t, &desk{})
	body := &flood{}
	status, content := post(t, r.at, admitPath, io.MultiReader(strings.NewReader(`{"node":"`), body), nil)
	if body.taken.Load() > enough || status != http.StatusBadRequest && status != 0 { // 0: cut off in the middle of sending
		t.Errorf("%d %s after %d bytes", status, content, body.taken.Load())
	}
	r.untouched(t, "an endless body")
}

func TestNodesShowTheirCertificate(t *testing.T) {
	t.Parallel()
	r, other := run(t, &desk{}), store(t, time.Now())
	ca := r.store.Authority(pki.NodeCA).Cert
	issue := func(change func(l *pki.Leaf)) tls.Certificate {
		l := nodeLeaf("node2", GroupAgents)
		change(&l)
		return pairOf(t, r.store, l)
	}
	with := func(pair tls.Certificate, more ...[]byte) tls.Certificate {
		pair.Certificate = append(slices.Clone(pair.Certificate), more...)
		return pair
	}
	agent, foreign := pairOf(t, r.store, nodeLeaf("node2", GroupAgents)), pairOf(t, other, nodeLeaf("node2", GroupServers))
	below := foreign
	below.Certificate = [][]byte{signedByLeaf(t, agent, foreign.PrivateKey.(*ecdsa.PrivateKey)), agent.Certificate[0], ca.Raw}
	cases := []struct {
		name  string
		chain tls.Certificate
		node  string // that the site is told; empty when it is not asked
	}{
		{"none", tls.Certificate{}, ""},
		{"an agent", agent, "node2"},
		{"an agent with its authority", with(agent, ca.Raw), "node2"},
		{"a server", pairOf(t, r.store, nodeLeaf("node1", GroupServers)), "node1"},
		{"another site", foreign, ""},
		{"another site with its authority", with(foreign, other.Authority(pki.NodeCA).Cert.Raw), ""},
		{"another site with our authority", with(foreign, ca.Raw), ""},
		{"another site with an agent's certificate", with(foreign, agent.Certificate[0], ca.Raw), ""},
		{"signed by an agent", below, ""},
		{"a kubelet", issue(func(l *pki.Leaf) { l.CommonName, l.Organizations = "system:node:node2", []string{"system:nodes"} }), ""},
		{"a kubelet of Kubernetes", issue(func(l *pki.Leaf) { l.Authority, l.Organizations = pki.ClientCA, []string{"system:nodes"} }), ""},
		{"another authority of the site", issue(func(l *pki.Leaf) { l.Authority = pki.ClientCA }), ""},
		{"no group", issue(func(l *pki.Leaf) { l.Organizations = nil }), ""},
		{"a group as name", issue(func(l *pki.Leaf) { l.CommonName, l.Organizations = GroupAgents, nil }), ""},
		{"nearly the group", issue(func(l *pki.Leaf) { l.Organizations = []string{"islet:agents2", "Islet:Agents"} }), ""},
		{"not for clients", issue(func(l *pki.Leaf) { l.Client = false }), ""},
		{"no name", issue(func(l *pki.Leaf) { l.CommonName = "" }), ""},
	}
	for _, c := range cases {
		for path, method := range map[string]string{renewPath: http.MethodPost, serversPath: http.MethodGet, backupsPath: http.MethodGet, backupsPath + "/" + offered: http.MethodGet} {
			status, content := request(t, method, "https://"+r.at.String()+path, strings.NewReader("{}"), &c.chain)
			want, nodes := http.StatusUnauthorized, []string(nil)
			if c.node != "" {
				want, nodes = http.StatusOK, []string{c.node}
			}
			if got := r.asked(); status != want || !slices.Equal(got, nodes) {
				t.Errorf("%s: %s: %d %s, asked by %q; want %d and %q", c.name, path, status, content, got, want, nodes)
			}
		}
	}
}

// Clients are told what they lack.
func TestNoIdentity(t *testing.T) {
	t.Parallel()
	r, other := run(t, &desk{}), store(t, time.Now())
	for name, c := range map[string]*Client{
		"a machine":                connect(t, r.token),
		"a node of another site":   connectNode(t, r.at, pairOf(t, other, nodeLeaf("node2", GroupAgents)), r.store),
		"a node without its group": connectNode(t, r.at, pairOf(t, r.store, nodeLeaf("node2", "islet")), r.store),
	} {
		if _, err := c.Renew(t.Context(), Renewal{}); !errors.Is(err, ErrNoIdentity) {
			t.Errorf("%s: renew: %v, want %v", name, err, ErrNoIdentity)
		}
		if _, err := c.Servers(t.Context()); !errors.Is(err, ErrNoIdentity) {
			t.Errorf("%s: servers: %v, want %v", name, err, ErrNoIdentity)
		}
	}
	if nodes := r.asked(); len(nodes) > 0 {
		t.Errorf("asked by %q", nodes)
	}
}

// Nodes and servers that were switched off for years find together again, and so do those whose certificates were made
// by a clock that stood ahead.
func TestRenewWhateverTheClockSays(t *testing.T) {
	t.Parallel()
	past, now, future := time.Now().AddDate(-2, 0, 0), time.Now(), time.Now().AddDate(2, 0, 0)
	for name, c := range map[string]struct{ node, server time.Time }{
		"node expired": {past, now}, "node not valid yet": {future, now}, "server expired": {now, past}, "both expired": {past, past},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, d, address := t.TempDir(), &desk{}, freeAddress(t)
			s := open(t, dir, time.Now().AddDate(-3, 0, 0)) // the site is older than all of it
			server := pairOf(t, open(t, dir, c.server), nodeLeaf("node1", GroupServers))
			serve(t, address, identity(s, server), d)
			node := connectNode(t, address, pairOf(t, open(t, dir, c.node), nodeLeaf("node2", GroupAgents)), s)
			if _, err := node.Renew(t.Context(), Renewal{}); err != nil || !slices.Equal(d.asked(), []string{"node2"}) {
				t.Error(err)
			}
		})
	}
}

func TestBackups(t *testing.T) {
	t.Parallel()
	r := run(t, &desk{})
	c := connectNode(t, r.at, pairOf(t, r.store, nodeLeaf("node2", GroupAgents)), r.store)
	offers, err := c.Backups(t.Context())
	if err != nil || len(offers) != 1 || offers[0].Name != offered || offers[0].SHA256 != "abc" {
		t.Fatalf("%+v (%v)", offers, err)
	}
	content, err := c.Backup(t.Context(), offered)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	if got, err := io.ReadAll(content); err != nil || string(got) != "sealed" {
		t.Errorf("%q (%v)", got, err)
	}
	for _, other := range []string{"other", "../x", "a/b", ".."} {
		if _, err := c.Backup(t.Context(), other); err == nil {
			t.Errorf("%s was handed out", other)
		}
	}
	if _, err := c.Backup(t.Context(), "other"); !errors.Is(err, ErrNoBackup) {
		t.Errorf("%v, want %v", err, ErrNoBackup)
	}
}

// Who has a certificate of another site, or none, may still say hello and join.
func TestAnyCertificateMayJoin(t *testing.T) {
	t.Parallel()
	r, other := run(t, &desk{}), store(t, time.Now())
	foreign := pairOf(t, other, nodeLeaf("node2", GroupServers))
	for name, chain := range map[string]*tls.Certificate{"none": nil, "another site's": &foreign} {
		if status, content := request(t, http.MethodGet, "https://"+r.at.String()+helloPath, nil, chain); status != http.StatusOK || !strings.Contains(content, greeting.Site) {
			t.Errorf("%s: hello: %d %s", name, status, content)
		}
		if status, content := post(t, r.at, admitPath, strings.NewReader("{}"), chain); status != http.StatusOK {
			t.Errorf("%s: admit: %d %s", name, status, content)
		}
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	r := run(t, &desk{})
	agent := pairOf(t, r.store, nodeLeaf("node2", GroupAgents))
	for _, path := range []string{"/", "/join/v1", "/join/v1/", "/join/v2/hello", admitPath + "/", "/node/v1/renew/node2", "/debug/pprof/", "/metrics"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if status, content := request(t, method, "https://"+r.at.String()+path, strings.NewReader("{}"), &agent); status != http.StatusNotFound {
				t.Errorf("%s %s: %d %s", method, path, status, content)
			}
		}
	}
	for path, method := range map[string]string{helloPath: http.MethodPost, consultPath: http.MethodGet, admitPath: http.MethodGet, renewPath: http.MethodGet, serversPath: http.MethodPost} {
		if status, content := request(t, method, "https://"+r.at.String()+path, strings.NewReader("{}"), &agent); status != http.StatusMethodNotAllowed {
			t.Errorf("%s %s: %d %s", method, path, status, content)
		}
	}
	r.untouched(t, "other paths")
}

func TestServeRefusesWhatIsNotSafe(t *testing.T) {
	t.Parallel()
	r := run(t, &desk{})
	if status, content := request(t, http.MethodGet, "http://"+r.at.String()+helloPath, nil, nil); status != http.StatusBadRequest {
		t.Errorf("plain HTTP: %d %s", status, content)
	}
	conn, err := new(tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}}).DialContext(t.Context(), "tcp", r.at.String())
	if err == nil {
		t.Errorf("TLS 1.2: connected to %s", conn.RemoteAddr())
		_ = conn.Close()
	}
	r.untouched(t, "not safe")
}

func TestDialRefusesWhatIsNotSafe(t *testing.T) {
	t.Parallel()
	s := store(t, time.Now())
	pair := pairOf(t, s, nodeLeaf("node1", GroupServers))
	pair.Certificate = append(pair.Certificate, s.Authority(pki.NodeCA).Cert.Raw)
	for name, start := range map[string]func(*httptest.Server){
		"plain HTTP": (*httptest.Server).Start,
		"TLS 1.2": func(server *httptest.Server) {
			server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: tls.VersionTLS12}
			server.StartTLS()
		},
	} {
		var asked atomic.Bool
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Store(true) }))
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
		start(server)
		at := server.Listener.Addr().(*net.TCPAddr).AddrPort()
		if _, _, err := Dial(t.Context(), tokenFor(t, s, at)); !errors.Is(err, ErrNoServer) || asked.Load() {
			t.Errorf("%s: %v, asked: %v", name, err, asked.Load())
		}
		server.Close()
	}
}

// The certificate is renewed while the server runs; one that cannot be read is no end of it.
func TestPairIsReadForEachConnection(t *testing.T) {
	t.Parallel()
	s, address := store(t, time.Now()), freeAddress(t)
	var next atomic.Pointer[tls.Certificate]
	id := identity(s, tls.Certificate{})
	id.Pair = func() (tls.Certificate, error) {
		if pair := next.Load(); pair != nil {
			return *pair, nil
		}
		return tls.Certificate{}, errors.New("half written")
	}
	serve(t, address, id, &desk{})
	if _, _, err := Dial(t.Context(), tokenFor(t, s, address)); !errors.Is(err, ErrNoServer) {
		t.Errorf("without a certificate: %v", err)
	}
	for range 2 {
		pair := pairOf(t, s, nodeLeaf("node1", GroupServers))
		next.Store(&pair)
		connect(t, tokenFor(t, s, address))
		conn, err := tls.Dial("tcp", address.String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		if chain := conn.ConnectionState().PeerCertificates; len(chain) != 2 || !chain[0].Equal(pair.Leaf) || !chain[1].Equal(id.Authorities()[0]) {
			t.Errorf("sent %d certificates, want the new one and the authority", len(chain))
		}
		_ = conn.Close()
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s, address := store(t, time.Now()), freeAddress(t)
	inside, left := make(chan struct{}), make(chan struct{})
	d := &desk{admit: func(ctx context.Context, _ Application) (Admission, error) {
		close(inside)
		<-ctx.Done()
		close(left)
		return Admission{}, ctx.Err()
	}}
	stop := serve(t, address, identity(s, pairOf(t, s, nodeLeaf("node1", GroupServers))), d)
	connect(t, tokenFor(t, s, address)) // stays open
	c, answered := connect(t, tokenFor(t, s, address)), make(chan error, 1)
	go func() {
		_, err := c.Admit(t.Context(), Application{})
		answered <- err
	}()
	wait(t, inside)
	stop()
	wait(t, left)
	if err := wait(t, answered); err == nil {
		t.Error("admitted by a server that has ended")
	}
	if _, _, err := Dial(t.Context(), tokenFor(t, s, address)); !errors.Is(err, ErrNoServer) {
		t.Errorf("it still answers: %v", err)
	}
	serve(t, address, identity(s, pairOf(t, s, nodeLeaf("node1", GroupServers))), d) // the address is free again
}

// wait is long enough for a busy machine, and ends.
func wait[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(30 * time.Second):
		t.Fatal("nothing has happened for half a minute")
	}
	return v
}

func TestServeAddressInUse(t *testing.T) {
	t.Parallel()
	r := run(t, &desk{})
	err := Serve(t.Context(), r.at.String(), identity(r.store, tls.Certificate{}), &desk{}, slog.New(slog.DiscardHandler), func() { t.Error("listens") })
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.HasPrefix(err.Error(), "listen for nodes: ") {
		t.Errorf("%v", err)
	}
}

// While the authority for nodes is rotated, who has what of the new one only and who knows the old one only find each other;
// afterwards nobody is taken for what the old one signed.
func TestNodesMeetWhileTheirAuthorityIsRotated(t *testing.T) {
	t.Parallel()
	s, address := store(t, time.Now()), freeAddress(t)
	old := trusted(s)()
	before := pairOf(t, s, nodeLeaf("node3", GroupAgents))
	token := tokenFor(t, s, address)
	next, err := s.NewSuccessor(pki.NodeCA)
	if err != nil {
		t.Fatal(err)
	}
	set := func(trusted, cross []byte) {
		t.Helper()
		all := s.Authorities()
		all[pki.NodeCA], all[pki.NodeCA+".cross"] = trusted, cross
		if _, err := s.SetAuthorities(all, map[string][]byte{pki.NodeCA: next.Key}); err != nil {
			t.Fatal(err)
		}
	}
	var shown atomic.Pointer[tls.Certificate] // by the server
	id := identity(s, tls.Certificate{})
	id.Pair = func() (tls.Certificate, error) { return *shown.Load(), nil }
	show := func() {
		pair := pairOf(t, s, nodeLeaf("node1", GroupServers))
		shown.Store(&pair)
	}
	serve(t, address, id, &desk{})
	ask := func(pair tls.Certificate, authorities []*x509.Certificate) error {
		c, _, err := DialNode(t.Context(), []netip.AddrPort{address}, pair, authorities)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Authorities(t.Context())
		return err
	}
	set(slices.Concat(next.Cert, s.Authority(pki.NodeCA).PEM()), next.Cross)
	after := pairOf(t, s, nodeLeaf("node4", GroupAgents))
	show()
	connect(t, token)
	for name, err := range map[string]error{
		"old to both": ask(before, old), "new to both, knows the old": ask(after, old), "new to both": ask(after, trusted(s)()),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	set(next.Cert, next.Cross)
	if err := ask(before, old); !errors.Is(err, ErrNoIdentity) {
		t.Errorf("the old one's certificate once it is not trusted: %v", err)
	}
	if err := ask(after, old); err != nil {
		t.Errorf("the new one's: %v", err)
	}
	if _, _, err := Dial(t.Context(), token); !errors.Is(err, ErrImpostor) {
		t.Errorf("a token of before: %v", err)
	}
	set(next.Cert, nil)
	show()
	if err := ask(after, old); !errors.Is(err, ErrImpostor) {
		t.Errorf("who trusts the old one still: %v", err)
	}
	if err := ask(after, trusted(s)()); err != nil {
		t.Errorf("at the end: %v", err)
	}
}
