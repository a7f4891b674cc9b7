package balancer

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestFailedDialTriesTheNextServer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		lost   func(t *testing.T) netip.AddrPort
		reason string
	}{
		{"refused", func(t *testing.T) netip.AddrPort {
			s := newServer(t)
			s.kill()
			return s.AddrPort
		}, "connection refused"},
		{"no answer", blackHole, "i/o timeout"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			lost, b := test.lost(t), newServer(t)
			r := balance(t, Options{Check: good, DialTimeout: 100 * time.Millisecond}, lost, b.AddrPort)
			// The second goes to the lost one, which has the fewest, unless the first did.
			for range 5 {
				if c := r.connect(t); c.server != b.AddrPort || !c.alive(t) {
					t.Errorf("connected to %s", c.server)
				}
			}
			if s := r.server(lost); s.Healthy || s.Connections != 0 {
				t.Errorf("lost server: %+v", s)
			}
			if r.log.count("unhealthy", lost.String(), test.reason) != 1 || r.log.count("unhealthy") != 1 {
				t.Errorf("log: %s", r.log.lines())
			}
			r.checkAll(t.Context())
			if !r.server(lost).Healthy {
				t.Error("a check that passes does not make it healthy again")
			}
		})
	}
}

func TestNoneHealthyTriesAll(t *testing.T) {
	t.Parallel()
	a, b, c := newServer(t), newServer(t), newServer(t)
	v := new(verdicts)
	v.set(map[netip.AddrPort]error{a.AddrPort: syscall.ECONNREFUSED, b.AddrPort: syscall.ECONNREFUSED, c.AddrPort: syscall.ECONNREFUSED})
	r := balance(t, Options{Check: v.check}, a.AddrPort, b.AddrPort, c.AddrPort)
	a.kill()
	c.kill()
	for range 5 {
		if got := r.connect(t); got.server != b.AddrPort || !got.alive(t) {
			t.Errorf("connected to %s, want %s", got.server, b.AddrPort)
		}
	}
	if err := r.Ready(); err == nil {
		t.Error("a dial made a server healthy that fails its check")
	}
	b.kill()
	if c, err := r.tryConnect(t); err == nil {
		t.Errorf("connected to %s, which was killed", c.server)
	}
}

func TestDialsCountAsConnections(t *testing.T) {
	t.Parallel()
	a, b := newServer(t), newServer(t)
	r := newBalancer(Options{Check: good}, a.AddrPort, b.AddrPort)
	first, second := r.pick(nil), r.pick(nil)
	if first == second {
		t.Errorf("two dials at once both go to %s", first.address)
	}
	r.dialed(t.Context(), first, nil, nil, syscall.ECONNREFUSED)
	if got := r.pick(nil); got != first {
		t.Error("a dial that failed still counts")
	}

	conns := make([]net.Conn, 2)
	for i := range conns {
		var err error
		if conns[i], err = net.Dial("tcp", a.String()); err != nil {
			t.Fatal(err)
		}
	}
	l := r.dialed(t.Context(), second, conns[0], conns[1], nil)
	if second.dialing != 0 || len(second.links) != 1 {
		t.Errorf("%d dials and %d links, want one link", second.dialing, len(second.links))
	}
	if n := second.closeLinks() + second.closeLinks(); n != 1 {
		t.Errorf("%v was closed %d times", l, n)
	}
}

func TestServerThatLeavesDuringTheDial(t *testing.T) {
	t.Parallel()
	a := newServer(t)
	r := newBalancer(Options{Check: good}, a.AddrPort)
	s := r.pick(nil)
	remote, err := net.Dial("tcp", a.String())
	if err != nil {
		t.Fatal(err)
	}
	r.SetServers(nil)
	if l := r.dialed(t.Context(), s, nil, remote, nil); l != nil {
		t.Error("linked to a server that left")
	}
	if _, err := remote.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection is open: %v", err)
	}
}

// TestHalfClose has one side send all it has and end, and the other answer after that, both ways round.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	question, answer := bytes.Repeat([]byte("question"), 1<<17), bytes.Repeat([]byte("answer"), 1<<17)
	ask := func(conn *net.TCPConn) ([]byte, error) {
		_, sent := conn.Write(question)
		sent = errors.Join(sent, conn.CloseWrite())
		got, err := io.ReadAll(conn)
		return got, errors.Join(sent, err, conn.Close())
	}
	reply := func(conn *net.TCPConn) ([]byte, error) {
		got, err := io.ReadAll(conn)
		_, sent := conn.Write(answer)
		return got, errors.Join(err, sent, conn.Close())
	}
	tests := []struct {
		name           string
		client, server func(conn *net.TCPConn) ([]byte, error)
		toClient       []byte
		toServer       []byte
	}{
		{"client ends first", ask, reply, answer, question},
		{"server ends first", reply, ask, question, answer},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			listener := listen(t)
			r := balance(t, Options{Check: good}, addressOf(listener))
			var server sync.WaitGroup
			defer server.Wait()
			server.Go(func() {
				conn, err := listener.AcceptTCP()
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := test.server(conn); err != nil || !bytes.Equal(got, test.toServer) {
					t.Errorf("server got %d bytes, want %d: %v", len(got), len(test.toServer), err)
				}
			})
			conn, err := net.Dial("tcp", r.address)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := test.client(conn.(*net.TCPConn)); err != nil || !bytes.Equal(got, test.toClient) {
				t.Errorf("client got %d bytes, want %d: %v", len(got), len(test.toClient), err)
			}
			eventually(t, "the link is gone", func() bool { return r.Snapshot()[0].Connections == 0 })
		})
	}
}

func TestTooManyConnectionsWait(t *testing.T) {
	t.Parallel()
	r := newBalancer(Options{Check: good}, newServer(t).AddrPort)
	r.slots = make(chan struct{}, 1)
	r.start(t, listen(t))
	first := r.connect(t)
	eventually(t, "it is told", func() bool { return r.log.count("have to wait", "too many connections") == 1 })
	time.AfterFunc(10*time.Millisecond, func() { first.Close() })
	if second := r.connect(t); !second.alive(t) {
		t.Error("the second client was not served after the first had left")
	}
	if n := r.log.count("have to wait"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// flaky is a listener that returns each of the errors once first.
type flaky struct {
	net.Listener
	errs chan error
}

func (f flaky) Accept() (net.Conn, error) {
	select {
	case err := <-f.errs:
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
	default:
		return f.Listener.Accept()
	}
}

func TestAcceptErrors(t *testing.T) {
	t.Parallel()
	listener := flaky{listen(t), make(chan error, 2)}
	listener.errs <- syscall.EMFILE
	r := newBalancer(Options{Check: good}, newServer(t).AddrPort).start(t, listener)
	if !r.connect(t).alive(t) {
		t.Error("not served after a shortage of file descriptors")
	}
	if r.log.count("have to wait", "too many open files") != 1 {
		t.Errorf("log: %s", r.log.lines())
	}

	listener = flaky{listen(t), make(chan error, 1)}
	listener.errs <- syscall.EINVAL
	if err := newBalancer(Options{Check: good}).run(t.Context(), listener, func() {}); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a listener that broke: %v", err)
	}
}

// TestEverythingAtOnce is for the race detector: servers come, go and fail while clients connect.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	a, b, c := newServer(t), newServer(t), newServer(t)
	v := new(verdicts)
	r := balance(t, Options{Check: v.check, Interval: time.Millisecond}, a.AddrPort)
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 25 {
				if c, err := r.tryConnect(t); err == nil {
					c.alive(t)
					c.Close()
				}
				_, _ = r.Ready(), r.Snapshot()
			}
		})
	}
	for i := range 50 {
		v.set(map[netip.AddrPort]error{[]*apiServer{a, b, c}[i%3].AddrPort: syscall.ECONNREFUSED})
		r.SetServers([][]netip.AddrPort{{a.AddrPort}, {b.AddrPort, a.AddrPort}, {c.AddrPort, b.AddrPort}, nil}[i%4])
		time.Sleep(time.Millisecond)
	}
	clients.Wait()
	r.SetServers([]netip.AddrPort{a.AddrPort})
	v.set(nil)
	eventually(t, "a serves", func() bool {
		c, err := r.tryConnect(t)
		return err == nil && c.alive(t) && r.Ready() == nil
	})
}
