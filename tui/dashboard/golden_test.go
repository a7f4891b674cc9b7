package dashboard

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"islet/appliance/api"
	"islet/tui/screen"
	"islet/tui/tuitest"
)

// sweep draws a tab of a site, with keys pressed, in every size.
func sweep(t *testing.T, source func() *site, at int, keys ...string) {
	t.Helper()
	tuitest.Sweep(t, func(ctx *screen.Context) screen.Page { return opened(t, ctx, source(), at, keys...) })
}

const (
	tabOverview = iota
	tabNodes
	tabComponents
	tabPods
	tabEvents
	tabHistory
	tabCertificates
	tabJoining
	tabPlans
	tabApplications
)

func TestOverview(t *testing.T)         { t.Parallel(); sweep(t, healthy, tabOverview) }
func TestOverviewTroubled(t *testing.T) { t.Parallel(); sweep(t, troubled, tabOverview) }
func TestNodes(t *testing.T)            { t.Parallel(); sweep(t, troubled, tabNodes) }
func TestNode(t *testing.T)             { t.Parallel(); sweep(t, troubled, tabNodes, "enter") }
func TestDrain(t *testing.T)            { t.Parallel(); sweep(t, healthy, tabNodes, "down", "D") }
func TestRemove(t *testing.T)           { t.Parallel(); sweep(t, healthy, tabNodes, "down", "X") }
func TestComponents(t *testing.T)       { t.Parallel(); sweep(t, troubled, tabComponents) }
func TestComponent(t *testing.T) {
	t.Parallel()
	sweep(t, troubled, tabComponents, "down", "down", "down", "enter")
}
func TestNodeComponents(t *testing.T) {
	t.Parallel()
	sweep(t, troubled, tabNodes, "down", "o", "down")
}
func TestNodeHistory(t *testing.T) { t.Parallel(); sweep(t, troubled, tabNodes, "down", "enter", "h") }
func TestNodeComponent(t *testing.T) {
	t.Parallel()
	sweep(t, troubled, tabNodes, "down", "o", "down", "down", "down", "enter")
}
func TestRestart(t *testing.T) { t.Parallel(); sweep(t, healthy, tabComponents, "R") }
func TestLog(t *testing.T) {
	t.Parallel()
	sweep(t, healthy, tabComponents, "l", "/", "E", "0", "enter")
}
func TestPods(t *testing.T)         { t.Parallel(); sweep(t, troubled, tabPods, "/", "w", "e", "b", "enter") }
func TestPod(t *testing.T)          { t.Parallel(); sweep(t, healthy, tabPods, "enter") }
func TestEvents(t *testing.T)       { t.Parallel(); sweep(t, troubled, tabEvents) }
func TestHistory(t *testing.T)      { t.Parallel(); sweep(t, healthy, tabHistory) }
func TestHistoryDay(t *testing.T)   { t.Parallel(); sweep(t, healthy, tabHistory, "d") }
func TestCertificates(t *testing.T) { t.Parallel(); sweep(t, healthy, tabCertificates) }
func TestJoining(t *testing.T)      { t.Parallel(); sweep(t, healthy, tabJoining) }
func TestApprove(t *testing.T)      { t.Parallel(); sweep(t, healthy, tabJoining, "A") }
func TestTokenForm(t *testing.T)    { t.Parallel(); sweep(t, healthy, tabJoining, "T", "down", "4") }

func TestPlans(t *testing.T) { t.Parallel(); sweep(t, healthy, tabPlans) }
func TestPlan(t *testing.T)  { t.Parallel(); sweep(t, healthy, tabPlans, "enter") }

func TestToken(t *testing.T) {
	t.Parallel()
	tuitest.Sweep(t, func(ctx *screen.Context) screen.Page {
		d := opened(t, ctx, healthy(), tabJoining).(*Dashboard)
		p := newTokenPage(d.board, "h3x0c9ja", sampleToken, tuitest.Now.Add(24*time.Hour))
		settle(p, p.Start())
		return p
	})
}

// The daemon is stopped under the dashboard: what was known stays, with its age.
func TestDaemonDown(t *testing.T) {
	t.Parallel()
	tuitest.Sweep(t, func(ctx *screen.Context) screen.Page {
		s := healthy()
		d := opened(t, ctx, s, tabOverview).(*Dashboard)
		stop(d, s, 90*time.Second)
		return d
	})
}

func TestDaemonDownFromTheBeginning(t *testing.T) {
	t.Parallel()
	tuitest.Sweep(t, func(ctx *screen.Context) screen.Page {
		return opened(t, ctx, &site{down: unreachable()}, tabNodes)
	})
}

func TestKubernetesDown(t *testing.T) {
	t.Parallel()
	tuitest.Sweep(t, func(ctx *screen.Context) screen.Page {
		s := healthy()
		s.kube = errors.New("dial tcp 127.0.0.1:6443: connect: connection refused")
		return opened(t, ctx, s, tabPods)
	})
}

func unreachable() error {
	return fmt.Errorf("%w on /run/appliance/api.sock: dial unix: connect: no such file or directory", api.ErrUnreachable)
}

// stop lets the daemon of a site fall silent, and time pass.
func stop(d *Dashboard, s *site, passed time.Duration) {
	ctx := d.board.ctx
	s.down = unreachable()
	now := ctx.Now()
	settle(d, d.board.ask())
	ctx.Now = func() time.Time { return now.Add(passed) }
	settle(d, d.board.ask())
}
