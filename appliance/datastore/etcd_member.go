package datastore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"islet/appliance/component"
)

// EtcdMemberName is this server's part in the etcd cluster, in the supervisor.
const EtcdMemberName = "etcd-member"

const (
	promoteInterval  = 2 * time.Second
	maintainInterval = time.Minute
)

// EtcdMember returns the unit that is ready once this server has a vote, which it sees to. After that it keeps the
// database small.
func EtcdMember(p Params) component.Unit {
	return component.Unit{New: func() component.Component { return &etcdMember{params: p, health: askHealth} }}
}

// errNoVote ends a run: what needs the vote waits for the next one.
var errNoVote = errors.New("this server has no vote in the datastore any more")

type etcdMember struct {
	params  Params
	health  func(ctx context.Context, path string) error // asks etcd
	waiting atomic.Pointer[string]                       // why it has no vote
	failed  atomic.Pointer[error]                        // of the last maintenance
}

// Name implements component.Component.
func (m *etcdMember) Name() string { return EtcdMemberName }

// Needs implements component.Component.
func (m *etcdMember) Needs() []string { return []string{EtcdName} }

// WaitingFor implements component.Waiter.
func (m *etcdMember) WaitingFor() string {
	if why := m.waiting.Load(); why != nil {
		return *why
	}
	return ""
}

// Check implements component.Checker.
func (m *etcdMember) Check(context.Context) error {
	if err := m.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Run implements component.Component.
func (m *etcdMember) Run(ctx context.Context, ready func()) error {
	if err := m.params.recovered(ctx); err != nil {
		return err
	}
	m.awaitVote(ctx)
	if ctx.Err() == nil {
		ready()
	}
	for ctx.Err() == nil {
		err := m.maintain(ctx)
		if errors.Is(err, errNoVote) {
			return err
		}
		m.failed.Store(&err)
		select {
		case <-ctx.Done():
		case <-time.After(maintainInterval):
		}
	}
	return nil
}

// awaitVote promotes members that have caught up until this one is among them.
func (m *etcdMember) awaitVote(ctx context.Context) {
	for {
		// Whether it has a vote is in the log: until etcd has read that as far as the leader has written it, a member that was
		// just added takes itself for a voter.
		if m.health(ctx, readyPath) == nil {
			learner := m.health(ctx, votePath) != nil
			m.params.Etcd.Standby(learner)
			if !learner || ctx.Err() != nil {
				return
			}
			m.promote(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(promoteInterval):
		}
	}
}

// promote asks the other servers: this one, without a vote, is not asked for anything.
func (m *etcdMember) promote(ctx context.Context) {
	p := m.params
	done, err := tool[Promotion](ctx, p, p.otherMembers(), "promote")
	why := done.Waiting
	if err != nil {
		why = "a vote: " + err.Error()
	}
	if len(done.Promoted) > 0 {
		p.Log.Info("members of the datastore promoted", "members", done.Promoted, "voters", done.Voters)
	}
	m.waiting.Store(&why)
}

const (
	// readyPath is well once etcd has a leader and has read its log. A member without a vote may be as ready as it gets.
	readyPath = "/readyz?verbose&exclude=non_learner"
	votePath  = "/readyz/non_learner"
)

// etcdReady says whether etcd answers and has a leader.
func etcdReady(ctx context.Context) error { return askHealth(ctx, readyPath) }

// askHealth returns nil if etcd's health endpoint of that path says that all is well.
func askHealth(ctx context.Context, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", MetricsPort, path), nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	said, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10)) // the status says enough
	return fmt.Errorf("etcd: %s: %s", response.Status, failures(string(said)))
}

// failures are the lines of a verbose answer that say what is wrong: those that begin with [-].
func failures(verbose string) string {
	var out []string
	for line := range strings.Lines(verbose) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "[-]"); ok {
			out = append(out, text)
		}
	}
	if out == nil {
		return strings.TrimSpace(verbose)
	}
	return strings.Join(out, "; ")
}
