// Package dashboard shows a site to the person in front of it: what is wrong now and what to do, the nodes and what they run,
// and how it came to this. It looks through the node daemon of its machine alone, so it works while Kubernetes is down, and
// it changes nothing but by the commands that it shows.
package dashboard

import (
	"context"
	"errors"
	"time"

	tea "charm.land/bubbletea/v2"

	"islet/appliance/api"
	"islet/appliance/component"
	"islet/appliance/metric"
	"islet/appliance/paas/survey"
	"islet/appliance/plan"
	"islet/appliance/tail"
	"islet/tui/screen"
)

// Source is the node daemon.
type Source interface {
	Site(ctx context.Context) ([]api.Report, error)
	Machine
	// At is a node of the site as it tells of itself, by way of the node API. Only a server may ask.
	At(node string) Machine
	Pods(ctx context.Context) ([]api.Pod, error)
	// Plans are the journals of what was done to this machine, the newest first.
	Plans(ctx context.Context) ([]plan.Journal, error)
	// Platform is what Kubernetes has of tenants, applications and orders. Only root on a server may ask.
	Platform(ctx context.Context) (survey.Survey, error)
}

// Machine is one node that is asked about itself.
type Machine interface {
	Events(ctx context.Context) ([]component.Event, error)
	History(ctx context.Context) (metric.History, error)
	Log(ctx context.Context, name string, lines int, mark string) (tail.Part, error)
}

const (
	pollEvery     = time.Second
	pollEverySlow = 2 * time.Second // on a serial line
	// askLimit is how long the daemon may take. It answers from its memory, so a longer wait means that something is wrong.
	askLimit = 3 * time.Second
	// refreshEvery is when events and the history are asked for again though no component has changed.
	refreshEvery = 10 * time.Second
)

// farLimit is how long another node may take: the daemon waits for it.
const farLimit = 6 * time.Second

// machine is the source of what a node tells of itself; the empty name is this one's.
func (b *board) machine(node string) Machine {
	if node == "" {
		return b.source
	}
	return b.source.At(node)
}

// on is a title with the node that it is about, where that is another one.
func (b *board) on(node, title string) string {
	if node == "" {
		return title
	}
	return b.ctx.T("%s, node %s", title, node)
}

// far is a command about a component or a node, as it is typed where another node is meant.
func far(node string, args ...string) screen.Command {
	if node != "" {
		args = append(args, "--node", node)
	}
	return screen.Command{Args: args}
}

// snapshot is what the daemon has said at one time; it is never changed, only replaced.
type snapshot struct {
	at      time.Time    // zero before the first
	site    []api.Report // the own node first; not empty where at is set
	events  []component.Event
	history metric.History
	// refreshed is when events and history were read.
	refreshed time.Time
}

// own is the status of the node that the dashboard runs on.
func (s snapshot) own() api.Status {
	if len(s.site) == 0 {
		return api.Status{}
	}
	return s.site[0].Status
}

// board is what all pages of the dashboard share.
type board struct {
	ctx    *screen.Context
	source Source
	now    snapshot // the newest
	// down is why the daemon did not answer when it was last asked; nil while it does. since is when that began.
	down  error
	since time.Time
	asked int // the id of the question that is waited for
	// later is tea.Tick; tests do not wait.
	later func(time.Duration, func(time.Time) tea.Msg) tea.Cmd
}

type (
	askMsg    struct{ id int }
	answerMsg struct {
		id       int
		snapshot snapshot
		err      error
	}
)

// every is the time between two questions.
func (b *board) every() time.Duration {
	if b.ctx.Profile.Slow() {
		return pollEverySlow
	}
	return pollEvery
}

// ask puts one question to the daemon. There is never more than one under way: the next one is put some time after the answer.
func (b *board) ask() tea.Cmd {
	b.asked = b.ctx.NextID()
	id, source, before, now := b.asked, b.source, b.now, b.ctx.Now()
	return func() tea.Msg {
		s, err := look(source, before, now)
		return answerMsg{id, s, err}
	}
}

// look asks for everything, and for what changes seldom only where it may have.
func look(source Source, before snapshot, now time.Time) (snapshot, error) {
	ctx, cancel := context.WithTimeout(context.Background(), askLimit)
	defer cancel()
	site, err := source.Site(ctx)
	if err != nil {
		return snapshot{}, err
	}
	if len(site) == 0 {
		return snapshot{}, errors.New("the daemon tells of no node, not even its own")
	}
	s := snapshot{at: now, site: site, events: before.events, history: before.history, refreshed: before.refreshed}
	if !changed(before, s) && now.Sub(before.refreshed) < refreshEvery {
		return s, nil
	}
	if s.events, err = source.Events(ctx); err != nil {
		return snapshot{}, err
	}
	if s.history, err = source.History(ctx); err != nil {
		return snapshot{}, err
	}
	s.refreshed = now
	return s, nil
}

// changed says whether a component of the own node has another state, and so whether there are new events.
func changed(before, after snapshot) bool {
	old, now := before.own().Components, after.own().Components
	if len(old) != len(now) {
		return true
	}
	for i, c := range now {
		if c.State != old[i].State || c.Reason != old[i].Reason || !c.Since.Equal(old[i].Since) {
			return true
		}
	}
	return false
}

// take puts an answer in place and says when to ask again. One that was not waited for is dropped.
func (b *board) take(msg answerMsg) tea.Cmd {
	if msg.id != b.asked {
		return nil
	}
	switch {
	case msg.err == nil:
		b.now, b.down = msg.snapshot, nil
		b.ctx.Name, b.ctx.Zone = b.now.own().Site, b.now.own().Zone
	case b.down == nil:
		b.down, b.since = msg.err, b.ctx.Now()
	default:
		b.down = msg.err
	}
	id := msg.id
	return b.later(b.every(), func(time.Time) tea.Msg { return askMsg{id} })
}

// known says whether the daemon has answered at all.
func (b *board) known() bool { return !b.now.at.IsZero() }
