package balancer

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// hosts gives each server an address of its own, so that a port that was closed is not taken again by
// another test.
var hosts atomic.Uint32

func listen(t *testing.T) *net.TCPListener {
	t.Helper()
	host := hosts.Add(1)
	listener, err := net.Listen("tcp", fmt.Sprintf("127.1.%d.%d:0", host>>8, host&0xff))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener.(*net.TCPListener)
}

func addressOf(listener net.Listener) netip.AddrPort {
	return listener.Addr().(*net.TCPAddr).AddrPort()
}

// apiServer stands for an API server: it says its address, then sends every line back.
type apiServer struct {
	netip.AddrPort
	listener net.Listener
	hangs    atomic.Bool // reads lines, answers none

	mu    sync.Mutex
	conns []net.Conn
}

func newServer(t *testing.T) *apiServer {
	t.Helper()
	s := &apiServer{listener: listen(t)}
	s.AddrPort = addressOf(s.listener)
	go func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			go s.serve(conn)
		}
	}()
	t.Cleanup(s.kill)
	return s
}

func (s *apiServer) serve(conn net.Conn) {
	fmt.Fprintln(conn, s.AddrPort)
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if !s.hangs.Load() {
			fmt.Fprintln(conn, lines.Text())
		}
	}
	conn.Close()
}

// kill ends the server as the end of its process would.
func (s *apiServer) kill() {
	s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.conns {
		conn.Close()
	}
}

// blackHole is a server that does not even answer to a dial, as a machine that lost its power: its
// backlog is full, so the kernel drops what else arrives.
func blackHole(t *testing.T) netip.AddrPort {
	t.Helper()
	listener := listen(t)
	raw, err := listener.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) }), err); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if conn, err := net.DialTimeout("tcp", listener.Addr().String(), 50*time.Millisecond); err == nil {
		conn.Close()
		t.Fatal("the backlog is not full")
	}
	return addressOf(listener)
}

// verdicts are what checks say; those that are not set are good.
type verdicts struct {
	mu sync.Mutex
	of map[netip.AddrPort]error
}

func (v *verdicts) set(of map[netip.AddrPort]error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.of = of
}

func (v *verdicts) check(_ context.Context, server netip.AddrPort) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.of[server]
}

func good(context.Context, netip.AddrPort) error { return nil }

// ping is a check that sends a line and waits for it to come back.
func ping(ctx context.Context, server netip.AddrPort) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", server.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	fmt.Fprintln(conn, "ping")
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if lines.Text() == "ping" {
			return nil
		}
	}
	return errors.Join(errors.New("hung up"), ctx.Err())
}

// output collects a log.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) lines() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Collect(strings.Lines(o.text.String()))
}

// count returns how many lines hold all of the words.
func (o *output) count(words ...string) int {
	n := 0
	for _, line := range o.lines() {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			n++
		}
	}
	return n
}

// running is a balancer that serves.
type running struct {
	*Balancer
	address string
	log     *output
	stop    func() error // may be called again
}

// newBalancer makes a balancer that checks its servers when they are added, and again only when a test
// says so or sets an interval.
func newBalancer(o Options, servers ...netip.AddrPort) *running {
	o.Interval = cmp.Or(o.Interval, time.Hour)
	r := &running{log: new(output)}
	o.Log = slog.New(slog.NewTextHandler(r.log, nil))
	r.Balancer = New(o, servers)
	return r
}

func (r *running) start(t *testing.T, listener net.Listener) *running {
	t.Helper()
	r.address = listener.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	listening, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- r.run(ctx, listener, func() { close(listening) }) }()
	<-listening
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return r
}

// balance starts a balancer and waits for its first round of checks.
func balance(t *testing.T, o Options, servers ...netip.AddrPort) *running {
	t.Helper()
	r := newBalancer(o, servers...).start(t, listen(t))
	eventually(t, "every server is checked", func() bool {
		return !slices.ContainsFunc(r.Snapshot(), func(s Server) bool { return s.Reason == "not checked yet" })
	})
	return r
}

func (r *running) server(address netip.AddrPort) Server {
	all := r.Snapshot()
	return all[slices.IndexFunc(all, func(s Server) bool { return s.Address == address })]
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never came true: %s", what)
		}
	}
}

// client is a connection through the balancer.
type client struct {
	net.Conn
	lines  *bufio.Reader
	server netip.AddrPort // that it ended up with
}

// connect fails the test unless a server answers.
func (r *running) connect(t *testing.T) *client {
	t.Helper()
	c, err := r.tryConnect(t)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (r *running) tryConnect(t *testing.T) (*client, error) {
	t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { conn.Close() })
	c := &client{Conn: conn, lines: bufio.NewReader(conn)}
	greeting, err := c.read()
	if err == nil {
		c.server, err = netip.ParseAddrPort(greeting)
	}
	return c, err
}

func (c *client) read() (string, error) {
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	line, err := c.lines.ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

// alive says whether the server still answers; a connection that is neither that nor closed fails the
// test.
func (c *client) alive(t *testing.T) bool {
	t.Helper()
	fmt.Fprintln(c, "still there?")
	line, err := c.read()
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("%s neither answers nor hangs up", c.server)
	}
	return err == nil && line == "still there?"
}

func TestSpreadsConnections(t *testing.T) {
	t.Parallel()
	r := balance(t, Options{Check: good}, newServer(t).AddrPort, newServer(t).AddrPort, newServer(t).AddrPort)
	for range 9 {
		r.connect(t)
	}
	for _, s := range r.Snapshot() {
		if s.Connections != 3 {
			t.Errorf("%s has %d connections, want 3", s.Address, s.Connections)
		}
	}
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	a, b := newServer(t), newServer(t)
	v := new(verdicts)
	v.set(map[netip.AddrPort]error{b.AddrPort: syscall.ECONNREFUSED})
	r := newBalancer(Options{Check: v.check}, b.AddrPort, a.AddrPort)
	for i, s := range r.Snapshot() {
		if s.Healthy || s.Reason != "not checked yet" || s.Since.Before(begun) || s.Connections != 0 {
			t.Errorf("server %d before any check: %+v", i, s)
		}
	}
	joined := r.server(a.AddrPort).Since
	r.start(t, listen(t))
	eventually(t, "both are judged", func() bool { return r.log.count("healthy") == 2 })
	c := r.connect(t)
	got := r.Snapshot()
	if !got[1].Since.After(joined) {
		t.Errorf("healthy since %s, joined %s", got[1].Since, joined)
	}
	got[0].Since, got[1].Since = time.Time{}, time.Time{}
	want := []Server{
		{Address: b.AddrPort, Reason: syscall.ECONNREFUSED.Error()},
		{Address: a.AddrPort, Healthy: true, Connections: 1},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	since := r.server(a.AddrPort).Since
	r.checkAll(t.Context())
	if got := r.server(a.AddrPort).Since; !got.Equal(since) {
		t.Errorf("since moved from %s to %s without a change", since, got)
	}
	c.Close()
	eventually(t, "the closed connection is forgotten", func() bool { return r.server(a.AddrPort).Connections == 0 })
}

func TestReady(t *testing.T) {
	t.Parallel()
	one, two := netip.MustParseAddrPort("192.0.2.1:6443"), netip.MustParseAddrPort("192.0.2.2:6443")
	broken := errors.New("etcd has no leader")
	tests := []struct {
		name    string
		servers []netip.AddrPort
		rounds  int
		verdict map[netip.AddrPort]error
		want    string
	}{
		{"no server", nil, 1, nil, "no API server is known"},
		{"not checked", []netip.AddrPort{one}, 0, nil, "no API server is healthy: 192.0.2.1:6443: not checked yet"},
		{"failed once", []netip.AddrPort{one}, 1, map[netip.AddrPort]error{one: broken},
			"no API server is healthy: 192.0.2.1:6443: etcd has no leader"},
		{"all fail", []netip.AddrPort{one, two}, 2, map[netip.AddrPort]error{one: broken, two: context.DeadlineExceeded},
			"no API server is healthy: 192.0.2.1:6443: etcd has no leader; 192.0.2.2:6443: no answer within 2s"},
		{"one fails", []netip.AddrPort{one, two}, 2, map[netip.AddrPort]error{one: broken}, "<nil>"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			v := new(verdicts)
			v.set(test.verdict)
			r := newBalancer(Options{Check: v.check}, test.servers...)
			for range test.rounds {
				r.checkAll(t.Context())
			}
			if got := fmt.Sprint(r.Ready()); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestSetServers(t *testing.T) {
	t.Parallel()
	a, b, c := newServer(t), newServer(t), newServer(t)
	r := newBalancer(Options{Check: good})
	r.SetServers([]netip.AddrPort{a.AddrPort, b.AddrPort})
	r.start(t, listen(t))
	eventually(t, "a and b are healthy", func() bool { return r.log.count("is healthy") == 2 })
	clients := map[netip.AddrPort]*client{}
	for range 2 {
		client := r.connect(t)
		clients[client.server] = client
	}

	r.SetServers([]netip.AddrPort{c.AddrPort, b.AddrPort, c.AddrPort})
	if clients[a.AddrPort].alive(t) {
		t.Error("a connection to a server that left the list is open")
	}
	if !clients[b.AddrPort].alive(t) {
		t.Error("a connection to a server that stayed was closed")
	}
	eventually(t, "c is healthy", func() bool { return r.server(c.AddrPort).Healthy })
	if got := r.connect(t).server; got != c.AddrPort {
		t.Errorf("a new connection went to %s, want the new server %s", got, c.AddrPort)
	}
	var order []netip.AddrPort
	for _, s := range r.Snapshot() {
		order = append(order, s.Address)
	}
	if want := []netip.AddrPort{c.AddrPort, b.AddrPort}; !slices.Equal(order, want) {
		t.Errorf("list is %v, want %v", order, want)
	}
	r.SetServers(order) // no news

	r.SetServers(nil)
	if clients[b.AddrPort].alive(t) {
		t.Error("a connection is open though there are no servers")
	}
	if c, err := r.tryConnect(t); err == nil {
		t.Errorf("connected to %s though there are no servers", c.server)
	}
	for _, s := range []*apiServer{a, b, c} {
		for _, change := range []string{"added", "is healthy", "removed"} {
			if n := r.log.count(change, s.String()); n != 1 {
				t.Errorf("%q of %s was logged %d times", change, s.AddrPort, n)
			}
		}
	}
	if n := len(r.log.lines()); n != 9 {
		t.Errorf("%d lines were logged: %s", n, r.log.lines())
	}
}

// goroutines returns those that are in this package's code.
func goroutines() []string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return slices.DeleteFunc(strings.Split(string(stacks), "\n\n"), func(stack string) bool {
		return !strings.Contains(stack, "balancer.(*Balancer)") && !strings.Contains(stack, "balancer.(*link)")
	})
}

// Not parallel: it counts goroutines.
func TestRunEndsEverything(t *testing.T) {
	checking := make(chan struct{}, 10)
	endless := func(ctx context.Context, _ netip.AddrPort) error {
		checking <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	a, b := newServer(t), newServer(t)
	r := newBalancer(Options{Check: endless, CheckTimeout: time.Hour, DialTimeout: time.Hour}, a.AddrPort, b.AddrPort).start(t, listen(t))
	<-checking
	<-checking
	clients := []*client{r.connect(t), r.connect(t), r.connect(t)}
	r.SetServers([]netip.AddrPort{a.AddrPort, b.AddrPort, blackHole(t)})
	waiting, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	eventually(t, "a dial hangs", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.servers[2].dialing == 1
	})
	if len(goroutines()) < 10 {
		t.Errorf("these are not all:\n%s", strings.Join(goroutines(), "\n\n"))
	}

	if err := r.stop(); err != nil {
		t.Errorf("run: %v", err)
	}
	for _, c := range clients {
		if c.alive(t) {
			t.Error("a connection is open")
		}
	}
	if _, err := waiting.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the client that waited for a dial got %v", err)
	}
	for _, s := range r.Snapshot() {
		if s.Connections != 0 || s.Reason != "not checked yet" {
			t.Errorf("the end was held against a server: %+v", s)
		}
	}
	if _, err := net.Dial("tcp", r.address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial after the end: %v", err)
	}
	// The last instructions of a goroutine come after it is no longer waited for.
	eventually(t, "no goroutine is left", func() bool { return len(goroutines()) == 0 })
}

func TestRun(t *testing.T) {
	t.Parallel()
	var taken net.Listener = listen(t)
	r := newBalancer(Options{Listen: taken.Addr().String(), Check: good})
	err := r.Run(t.Context(), func() { t.Error("said to be listening") })
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "listen for clients") {
		t.Errorf("run on an address that is taken: %v", err)
	}

	taken.Close()
	s := newServer(t)
	r.SetServers([]netip.AddrPort{s.AddrPort})
	r.address = taken.Addr().String()
	for range 2 { // one after the other is fine
		ctx, cancel := context.WithCancel(t.Context())
		err = r.Run(ctx, func() {
			defer cancel()
			c, err := net.Dial("tcp", r.address)
			if err != nil {
				t.Errorf("said to be listening, but: %v", err)
				return
			}
			c.Close()
		})
		if err != nil {
			t.Errorf("run: %v", err)
		}
	}
}
