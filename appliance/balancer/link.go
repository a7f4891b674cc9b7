package balancer

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// link is a client's connection and the one to a server that it is passed on to.
type link struct {
	server         *server
	client, remote *net.TCPConn
}

// accept gives each connection a goroutine in work until ctx is cancelled.
func (b *Balancer) accept(ctx context.Context, listener net.Listener, work *sync.WaitGroup) error {
	var warned time.Time
	warn := func(reason string) {
		if time.Since(warned) > time.Minute { // a node short of something is short of it many times a second
			warned = time.Now()
			b.options.Log.Warn("clients of the API have to wait", "reason", reason)
		}
	}
	for {
		if len(b.slots) == cap(b.slots) {
			warn("too many connections")
		}
		select {
		case <-ctx.Done():
			return nil
		case b.slots <- struct{}{}:
		}
		client, err := listener.Accept()
		if err == nil {
			work.Go(func() {
				defer func() { <-b.slots }()
				b.serve(ctx, client)
			})
			continue
		}
		<-b.slots
		var errno syscall.Errno
		if !errors.As(err, &errno) || !errno.Temporary() {
			return err
		}
		warn(err.Error()) // out of file descriptors: the connections that are open go on
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (b *Balancer) serve(ctx context.Context, client net.Conn) {
	defer client.Close()
	l := b.connect(ctx, client)
	if l == nil {
		return
	}
	l.run()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(l.server.links, l)
}

// connect links client to the first server that can be reached. It returns nil when none can, or when
// ctx is cancelled.
func (b *Balancer) connect(ctx context.Context, client net.Conn) *link {
	tried := make(map[*server]bool)
	for ctx.Err() == nil {
		s := b.pick(tried)
		if s == nil {
			return nil
		}
		tried[s] = true
		remote, err := b.dialer.DialContext(ctx, "tcp", s.address.String())
		if l := b.dialed(ctx, s, client, remote, err); l != nil {
			return l
		}
	}
	return nil
}

// pick returns the best of the servers that were not tried: a healthy one with the fewest connections.
// An unhealthy one comes last but does come, for the opinion of it may be stale. Ties go to any, so that
// the nodes of a site spread over its servers. The caller dials and then calls dialed.
func (b *Balancer) pick(tried map[*server]bool) *server {
	b.mu.Lock()
	defer b.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(b.servers), func(s *server) bool { return tried[s] })
	if len(left) == 0 {
		return nil
	}
	rand.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
	best := slices.MinFunc(left, func(x, y *server) int {
		if x.healthy != y.healthy {
			if x.healthy {
				return -1
			}
			return 1
		}
		return cmp.Compare(len(x.links)+x.dialing, len(y.links)+y.dialing)
	})
	best.dialing++
	return best
}

// dialed takes note of the outcome of a dial. It returns nil when the next server is to be tried.
func (b *Balancer) dialed(ctx context.Context, s *server, client, remote net.Conn, err error) *link {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.dialing--
	if err != nil {
		if ctx.Err() == nil { // else it is no fault of the server
			b.judge(s, err)
		}
		return nil
	}
	// Under the mutex, so that whoever closes the links of a server that left, or all at the end, has
	// closed this one too.
	if ctx.Err() != nil || !slices.Contains(b.servers, s) {
		remote.Close()
		return nil
	}
	l := &link{server: s, client: client.(*net.TCPConn), remote: remote.(*net.TCPConn)}
	s.links[l] = struct{}{}
	return l
}

// run passes bytes both ways until both sides are done, one fails, or the link is closed.
func (l *link) run() {
	defer l.close()
	var other sync.WaitGroup
	defer other.Wait()
	other.Go(func() { l.pass(l.remote, l.client) })
	l.pass(l.client, l.remote)
}

// pass copies one way, in the kernel. The end of src is passed on alone, as the other way may still be
// in use; a failure ends both.
func (l *link) pass(dst, src *net.TCPConn) {
	_, err := io.Copy(dst, src)
	if err == nil {
		err = dst.CloseWrite()
	}
	if err != nil {
		l.close()
	}
}

func (l *link) close() {
	for _, conn := range []net.Conn{l.client, l.remote} {
		conn.Close()
	}
}
