package dashboard

import (
	"islet/appliance/paas/survey"
	"islet/appliance/paas/v1alpha1"
	"islet/tui/theme"
)

// strategy is how the release takes its place, and at which step that is; empty is one pod after the other.
func (o *order) strategy(found survey.Order) string {
	if found.Strategy == nil || found.Strategy.Kind == "" {
		return ""
	}
	text := o.ctx.T(found.Strategy.Kind)
	if steps := len(found.Strategy.Steps); steps > 0 && found.Step > 0 && found.Phase.Active() {
		text += ", " + o.ctx.T("step %d of %d", int(found.Step), steps)
	}
	return text
}

// sides shows which part of the requests each of two releases gets that run beside each other.
func (p *platform) sides(s *sheet, app survey.Application) {
	b := app.Beside
	if b == nil {
		return
	}
	s.head(p.ctx.T("Two releases beside each other"))
	const bar = 20
	for _, side := range []struct {
		release, ready string
		weight         int32
		state          v1alpha1.State
	}{{app.Release, app.Ready, 100 - b.Weight, app.State}, {b.Release, b.Ready, b.Weight, b.State}} {
		share := float64(side.weight) / 100
		s.say(stateOfApp(side.state), "  "+p.ctx.Theme.Pad(side.release, labelWidth)+" "+p.ctx.Theme.Gauge(share, bar)+" ",
			p.ctx.T("%s of the requests, %s", percent(share), p.ctx.T(string(side.state))+" "+side.ready))
	}
	if b.Message != "" {
		s.say(theme.Warning, "  ", b.Release+": "+p.ctx.Say(b.Message))
	}
}
