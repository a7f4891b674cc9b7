package serve

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"islet/appliance/registry/client"
	"islet/appliance/registry/content"
)

const (
	reconcileInterval = 15 * time.Second
	// pushLimit is how long a push waits for other servers to fetch it.
	pushLimit = 10 * time.Minute
)

// replicas keeps the content of the site's registries the same. A server that has something new tells the others, which
// fetch what they lack by digest; who was away is told again until it has answered.
type replicas struct {
	life  context.Context // of the process: what a push began goes on when its client has got its answer
	self  netip.AddrPort
	peers func() ([]netip.AddrPort, error)
	dial  func(netip.AddrPort) (*client.Client, error)
	every time.Duration
	store *content.Store
	log   *slog.Logger

	working sync.WaitGroup

	mu     sync.Mutex
	holds  map[string]map[netip.AddrPort]bool // which peers have fetched what a repository here holds now
	pulled map[netip.AddrPort]bool            // peers that were asked for all they have, since the start
}

func newReplicas(life context.Context, s Settings, store *content.Store, log *slog.Logger) *replicas {
	return &replicas{
		life: life, every: cmp.Or(s.reconcileEvery, reconcileInterval), self: s.Listen[0], peers: s.peers, dial: s.dial, store: store, log: log,
		holds: map[string]map[netip.AddrPort]bool{}, pulled: map[netip.AddrPort]bool{},
	}
}

// others lists the peers; that the list cannot be read is as if there were none, and is logged.
func (r *replicas) others() []netip.AddrPort {
	list, err := r.peers()
	if err != nil {
		r.log.Error("list of servers not readable", "error", err)
	}
	return slices.DeleteFunc(list, func(p netip.AddrPort) bool { return p == r.self })
}

// pushed spreads a change of a repository. It returns the number of servers that have it, this one included, as soon as one
// other server does, or none that can be reached is left to try. The rest goes on without the caller.
func (r *replicas) pushed(ctx context.Context, name string) int {
	r.mu.Lock()
	r.holds[name] = map[netip.AddrPort]bool{}
	r.mu.Unlock()
	peers := r.others()
	results := make(chan error, len(peers))
	for _, peer := range peers {
		r.working.Go(func() { //nolint:contextcheck // it goes on when the client has its answer
			working, cancel := context.WithTimeout(r.life, pushLimit)
			defer cancel()
			results <- r.tell(working, peer, name)
		})
	}
	for range peers {
		select {
		case err := <-results:
			if err == nil {
				return 2
			}
		case <-ctx.Done():
			return 1
		}
	}
	return 1
}

// tell lets a peer fetch what is new in a repository, and notes that it has it.
func (r *replicas) tell(ctx context.Context, peer netip.AddrPort, name string) error {
	before := r.mark(name)
	c, err := r.dial(peer)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Notify(ctx, client.Notice{From: r.self, Repository: name}); err != nil {
		r.log.Warn("push not replicated yet", "repository", name, "server", peer, "error", err)
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	before[peer] = true // of a push that came meanwhile, another map tells
	return nil
}

func (r *replicas) mark(name string) map[netip.AddrPort]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holds[name] == nil {
		r.holds[name] = map[netip.AddrPort]bool{}
	}
	return r.holds[name]
}

// alone lists the repositories whose latest state no other server has confirmed, of those that have been here since
// another server was known.
func (r *replicas) alone() []string {
	names := []string{}
	if len(r.others()) == 0 {
		return names
	}
	all := r.store.Repositories()
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range all {
		if len(r.holds[name]) == 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// run brings peers up to date that were away, or are new, until ctx is cancelled.
func (r *replicas) run(ctx context.Context) {
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	for {
		r.reconcile(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// reconcile takes from each peer what it has, once, and tells each what it has not confirmed.
func (r *replicas) reconcile(ctx context.Context) {
	for _, peer := range r.others() {
		if !r.wasPulled(peer) {
			if err := r.pullAll(ctx, peer); err != nil {
				r.log.Debug("server not asked for its images", "server", peer, "error", err)
				continue
			}
		}
		for _, name := range slices.Sorted(maps.Keys(r.store.Repositories())) {
			if ctx.Err() != nil || !r.lacks(peer, name) {
				continue
			}
			if r.tell(ctx, peer, name) != nil {
				break // it is away, or full: the next round tries again
			}
		}
	}
}

func (r *replicas) wasPulled(peer netip.AddrPort) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pulled[peer]
}

func (r *replicas) lacks(peer netip.AddrPort, name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.holds[name][peer]
}
