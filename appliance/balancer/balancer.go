// Package balancer passes a node's connections to the Kubernetes API on to the servers of its site, so
// that the loss of any one of them goes unnoticed.
package balancer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxConnections bounds what the node's own processes can take of the daemon: a connection costs up to
// six file descriptors. A node has a few dozen clients of the API.
const maxConnections = 1024

// keepAlive ends connections whose peer went without a word, within half a minute. The checks are
// quicker; this is for the time when no check passes.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

// Options say where to listen and how servers are judged.
type Options struct {
	Listen string // host:port
	// Check says whether a server is fit to serve, by an error that says why it is not. It is called
	// for several servers at once and must return when ctx ends.
	Check        func(ctx context.Context, server netip.AddrPort) error
	Interval     time.Duration // between checks of a server; 2 s when zero
	CheckTimeout time.Duration // of one check; 2 s when zero
	DialTimeout  time.Duration // of one attempt to reach a server; 2 s when zero
	Log          *slog.Logger  // required, as Listen and Check are
}

// Server is what is known of one server.
type Server struct {
	Address     netip.AddrPort
	Healthy     bool
	Reason      string    // why it is not healthy
	Since       time.Time // of the last change of Healthy, or the first verdict; until then, of joining the list
	Connections int       // open now
}

// Balancer accepts connections and passes them on. Its methods may be called at any time and from any
// goroutine, but Run not again before it returned.
type Balancer struct {
	options Options
	dialer  net.Dialer
	slots   chan struct{} // holds one value for each connection
	added   chan struct{} // asks for a round of checks before its time

	mu      sync.Mutex // guards servers and all that is in them
	servers []*server
}

// New makes a balancer. Nothing happens before Run.
func New(o Options, servers []netip.AddrPort) *Balancer {
	o.Interval = cmp.Or(o.Interval, 2*time.Second)
	o.CheckTimeout = cmp.Or(o.CheckTimeout, 2*time.Second)
	o.DialTimeout = cmp.Or(o.DialTimeout, 2*time.Second)
	b := &Balancer{
		options: o,
		dialer:  net.Dialer{Timeout: o.DialTimeout, KeepAliveConfig: keepAlive},
		slots:   make(chan struct{}, maxConnections),
		added:   make(chan struct{}, 1),
	}
	b.SetServers(servers)
	return b
}

// Run listens, calls listening, and balances until ctx is cancelled; it then closes every connection
// and returns nil. It fails when it cannot listen or accept. Nothing that it started is left when it returns.
func (b *Balancer) Run(ctx context.Context, listening func()) error {
	config := net.ListenConfig{KeepAliveConfig: keepAlive}
	listener, err := config.Listen(ctx, "tcp", b.options.Listen)
	if err != nil {
		return fmt.Errorf("listen for clients of the Kubernetes API: %w", err)
	}
	return b.run(ctx, listener, listening)
}

func (b *Balancer) run(ctx context.Context, listener net.Listener, listening func()) error {
	var work sync.WaitGroup
	defer work.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	work.Go(func() { b.watch(ctx) })
	work.Go(func() {
		<-ctx.Done()
		listener.Close()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, s := range b.servers {
			s.closeLinks()
		}
	})
	listening()
	err := b.accept(ctx, listener, &work)
	if ctx.Err() != nil {
		err = nil // the listener was closed on purpose
	}
	return err
}

// SetServers replaces the list of servers. Connections to those that left it are closed; what is known
// of those that stay is kept.
func (b *Balancer) SetServers(addresses []netip.AddrPort) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.servers
	b.servers = nil
	for _, address := range addresses {
		same := func(s *server) bool { return s.address == address }
		if slices.ContainsFunc(b.servers, same) {
			continue
		}
		if i := slices.IndexFunc(before, same); i >= 0 {
			b.servers = append(b.servers, before[i])
			continue
		}
		b.servers = append(b.servers, &server{
			address: address, reason: "not checked yet", since: time.Now(), links: make(map[*link]struct{}),
		})
		b.options.Log.Info("API server added", "server", address)
		select {
		case b.added <- struct{}{}:
		default: // asked for already
		}
	}
	for _, s := range before {
		if !slices.Contains(b.servers, s) {
			b.options.Log.Info("API server removed", "server", s.address, "closedConnections", s.closeLinks())
		}
	}
}

// Snapshot returns what is known of each server, in the order of the list.
func (b *Balancer) Snapshot() []Server {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Server, 0, len(b.servers))
	for _, s := range b.servers {
		out = append(out, Server{
			Address: s.address, Healthy: s.healthy, Reason: s.reason, Since: s.since, Connections: len(s.links),
		})
	}
	return out
}

// Ready returns nil if at least one server is healthy, else an error that names each and says why it is
// not.
func (b *Balancer) Ready() error {
	var why []string
	for _, s := range b.Snapshot() {
		if s.Healthy {
			return nil
		}
		why = append(why, fmt.Sprintf("%s: %s", s.Address, s.Reason))
	}
	if why == nil {
		return errors.New("no API server is known")
	}
	return fmt.Errorf("no API server is healthy: %s", strings.Join(why, "; "))
}
