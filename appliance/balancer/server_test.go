package balancer

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestChecksMoveClients(t *testing.T) {
	t.Parallel()
	const names = "abc"
	slow := context.DeadlineExceeded
	refused := fmt.Errorf("get /readyz: %w", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)})
	type round map[rune]error // those that are not named pass
	tests := []struct {
		name              string
		rounds            []round
		unhealthy, closed string
	}{
		{"all pass", []round{{}}, "", ""},
		{"one slow answer", []round{{'a': slow}}, "", ""},
		{"slow now and then", []round{{'a': slow}, {}, {'a': slow}, {}}, "", ""},
		{"slow twice in a row", []round{{'a': slow}, {'a': slow}}, "a", "a"},
		{"refused once", []round{{'b': refused}}, "b", "b"},
		{"slow, then refused", []round{{'b': slow}, {'b': refused}}, "b", "b"},
		{"two of three", []round{{'a': refused, 'c': slow}, {'a': refused, 'c': slow}}, "ac", "ac"},
		{"refused, then back", []round{{'a': refused}, {}}, "", "a"},
		{"refused, then slow", []round{{'a': refused}, {'a': slow}}, "a", "a"},
		{"all refuse", []round{{'a': refused, 'b': refused, 'c': refused}}, "abc", ""},
		{"all are slow", []round{{'a': slow, 'b': slow, 'c': slow}, {'a': slow, 'b': slow, 'c': slow}}, "abc", ""},
		{"nowhere that is known to be better", []round{{'a': refused, 'b': slow, 'c': slow}}, "a", ""},
		{"better is known a round later", []round{{'a': refused, 'b': slow, 'c': slow}, {'a': refused, 'b': slow}}, "ab", "ab"},
		{"all refuse, then one is back", []round{{'a': refused, 'b': refused, 'c': refused}, {'a': refused, 'b': slow}}, "ab", "ab"},
		{"all refuse, then all are back", []round{{'a': refused, 'b': refused, 'c': refused}, {}}, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var servers []netip.AddrPort
			byName := map[rune]netip.AddrPort{}
			for _, name := range names {
				byName[name] = newServer(t).AddrPort
				servers = append(servers, byName[name])
			}
			v := new(verdicts)
			r := balance(t, Options{Check: v.check}, servers...)
			clients := map[netip.AddrPort]*client{}
			for range servers {
				c := r.connect(t)
				clients[c.server] = c
			}
			for _, round := range test.rounds {
				of := map[netip.AddrPort]error{}
				for name, err := range round {
					of[byName[name]] = err
				}
				v.set(of)
				r.checkAll(t.Context())
			}
			var unhealthy, closed strings.Builder
			for _, name := range names {
				if !r.server(byName[name]).Healthy {
					unhealthy.WriteRune(name)
				}
				if !clients[byName[name]].alive(t) {
					closed.WriteRune(name)
				}
			}
			if unhealthy.String() != test.unhealthy || closed.String() != test.closed {
				t.Errorf("unhealthy %q, closed %q; want %q, %q", &unhealthy, &closed, test.unhealthy, test.closed)
			}
		})
	}
}

func TestHealthIsLoggedOncePerChange(t *testing.T) {
	t.Parallel()
	a, b := newServer(t), newServer(t)
	v := new(verdicts)
	r := balance(t, Options{Check: v.check}, a.AddrPort, b.AddrPort)
	r.connect(t)
	r.connect(t)
	for _, verdict := range []error{syscall.ECONNREFUSED, syscall.ECONNREFUSED, context.DeadlineExceeded, nil, nil} {
		v.set(map[netip.AddrPort]error{a.AddrPort: verdict})
		r.checkAll(t.Context())
		r.connect(t)
	}
	var got []string
	for _, line := range r.log.lines() {
		if line, ok := strings.CutSuffix(line, "\n"); ok && strings.Contains(line, a.String()) {
			_, line, _ = strings.Cut(line, " ") // the time
			got = append(got, strings.ReplaceAll(line, a.String(), "A"))
		}
	}
	want := []string{
		`level=INFO msg="API server added" server=A`,
		`level=INFO msg="API server is healthy" server=A`,
		`level=WARN msg="API server is unhealthy" server=A reason="connection refused"`,
		`level=INFO msg="connections to an API server closed" server=A reason="connection refused" closedConnections=1`,
		`level=INFO msg="API server is healthy" server=A`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("log\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestKilledServer(t *testing.T) {
	t.Parallel()
	servers := []*apiServer{newServer(t), newServer(t), newServer(t)}
	r := balance(t, Options{Check: ping, Interval: 10 * time.Millisecond}, servers[0].AddrPort, servers[1].AddrPort, servers[2].AddrPort)
	for _, victim := range servers[:2] {
		var c *client
		eventually(t, "a client is with the victim", func() bool {
			c = r.connect(t)
			return c.server == victim.AddrPort
		})
		victim.kill()
		if c.alive(t) {
			t.Error("the connection outlived its server")
		}
		for range 10 {
			if c := r.connect(t); c.server == victim.AddrPort || !c.alive(t) {
				t.Errorf("a new connection is with %s, which was killed", c.server)
			}
		}
		eventually(t, "the victim is unhealthy", func() bool { return strings.Contains(r.server(victim.AddrPort).Reason, "refused") })
	}
}

func TestHangingServer(t *testing.T) {
	t.Parallel()
	a, b := newServer(t), newServer(t)
	r := balance(t, Options{Check: ping, Interval: 10 * time.Millisecond, CheckTimeout: 100 * time.Millisecond}, a.AddrPort, b.AddrPort)
	var c *client
	eventually(t, "a client is with a", func() bool {
		c = r.connect(t)
		return c.server == a.AddrPort
	})
	a.hangs.Store(true)
	if c.alive(t) {
		t.Error("a hanging server answered")
	}
	eventually(t, "new connections go to b", func() bool { return r.connect(t).server == b.AddrPort })
	eventually(t, "the reason is told", func() bool { return r.server(a.AddrPort).Reason == "no answer within 100ms" })
	a.hangs.Store(false)
	eventually(t, "a is back", func() bool { return r.connect(t).server == a.AddrPort })
}

func TestServerThatLeftIsNotLogged(t *testing.T) {
	t.Parallel()
	a := newServer(t)
	var r *running
	r = newBalancer(Options{Check: func(context.Context, netip.AddrPort) error {
		r.SetServers(nil)
		return syscall.ECONNREFUSED
	}}, a.AddrPort)
	r.checkAll(t.Context())
	if n := r.log.count("unhealthy"); n != 0 {
		t.Errorf("logged: %s", r.log.lines())
	}
}
