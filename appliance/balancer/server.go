package balancer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"
)

// maxStrikes is how many failed checks in a row make a server unhealthy: one slow answer is no reason to
// move its clients.
const maxStrikes = 2

// server is guarded by the balancer's mutex, but for address.
type server struct {
	address netip.AddrPort
	healthy bool
	judged  bool // false until healthy is more than a first guess
	strikes int  // checks failed in a row
	reason  string
	since   time.Time
	dialing int // connections on their way
	links   map[*link]struct{}
}

// closeLinks closes what is open and returns how many that were.
func (s *server) closeLinks() int {
	n := len(s.links)
	for l := range s.links {
		l.close()
	}
	clear(s.links) // who runs one may be a while in noticing
	return n
}

// watch checks all servers at every interval, and at once when one was added, until ctx is cancelled.
func (b *Balancer) watch(ctx context.Context) {
	tick := time.NewTicker(b.options.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.added:
		case <-tick.C:
		}
		b.checkAll(ctx)
	}
}

// checkAll asks all servers at once and acts on the answers together: were each acted on as it comes,
// the first of several to fail would have its connections moved to the next one.
func (b *Balancer) checkAll(ctx context.Context) {
	b.mu.Lock()
	servers := b.servers // SetServers makes a new slice, and the addresses never change
	b.mu.Unlock()
	var checks sync.WaitGroup
	for _, s := range servers {
		checks.Go(func() {
			err := b.check(ctx, s.address)
			if ctx.Err() == nil {
				b.checked(s, err)
			}
		})
	}
	checks.Wait()
	b.evict()
}

func (b *Balancer) check(ctx context.Context, address netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, b.options.CheckTimeout)
	defer cancel()
	err := b.options.Check(ctx, address)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %s", b.options.CheckTimeout)
	}
	return err
}

// checked takes note of the outcome of a check.
func (b *Balancer) checked(s *server, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		s.strikes = 0
		b.judge(s, nil)
		return
	}
	s.strikes++
	if errors.Is(err, syscall.ECONNREFUSED) {
		s.strikes = max(s.strikes, maxStrikes) // nobody listens: there is no benefit of the doubt
	}
	if s.strikes >= maxStrikes {
		b.judge(s, err)
	} else if !s.healthy {
		s.reason = err.Error()
	}
}

// judge sets what is thought of a server, and logs it if that is news. b.mu is held.
func (b *Balancer) judge(s *server, err error) {
	news := !s.judged || s.healthy != (err == nil)
	s.judged, s.healthy, s.reason = true, err == nil, ""
	if err != nil {
		s.reason = err.Error()
	}
	if !news {
		return
	}
	s.since = time.Now()
	switch {
	case !slices.Contains(b.servers, s): // left the list while it was being asked
	case s.healthy:
		b.options.Log.Info("API server is healthy", "server", s.address)
	default:
		b.options.Log.Warn("API server is unhealthy", "server", s.address, "reason", s.reason)
	}
}

// evict closes the connections to servers that failed their checks, since clients that keep one open
// would hang on it for minutes. It closes none unless another server passed its last check: with
// nowhere better to go, it may be the checks that are wrong.
func (b *Balancer) evict() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.ContainsFunc(b.servers, func(s *server) bool { return s.healthy && s.strikes == 0 }) {
		return
	}
	for _, s := range b.servers {
		if s.strikes < maxStrikes || len(s.links) == 0 {
			continue
		}
		b.options.Log.Info("connections to an API server closed", "server", s.address, "reason", s.reason, "closedConnections", s.closeLinks())
	}
}
