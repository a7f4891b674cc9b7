package install

import (
	"slices"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/preflight"
	"islet/appliance/setup"
	"islet/tui/theme"
)

// checks shows what was found of the machine. A failure has to be put right first; a warning is read and gone on from.
type checks struct {
	run    *run
	report preflight.Report
	at     int // result that is explained
	top    int // first that is shown
}

func newChecks(r *run, report preflight.Report) *checks {
	c := &checks{run: r, report: report}
	c.report.Results = slices.Clone(report.Results)
	rank := map[preflight.Status]int{preflight.Failed: 0, preflight.Warned: 1, preflight.Info: 2, preflight.Passed: 3}
	slices.SortStableFunc(c.report.Results, func(a, b preflight.Result) int { return rank[a.Status] - rank[b.Status] })
	return c
}

func (c *checks) failed() bool { return c.report.Status == preflight.Failed }

func (c *checks) title() string { return c.run.flow.ctx.T("Checks of this machine") }

func (c *checks) keys() []key.Binding {
	all := []key.Binding{key.NewBinding(key.WithKeys("enter"), key.WithHelp("Enter", "go on"))}
	if c.failed() {
		all = nil
	}
	all = append(all, key.NewBinding(key.WithKeys("r"), key.WithHelp("r", "check again")), key.NewBinding(key.WithKeys("down"), key.WithHelp("j/k", "next, previous")))
	if c.run.flow.engine.Order == nil {
		all = append(all, key.NewBinding(key.WithKeys("esc"), key.WithHelp("Esc", "back to the answers")))
	}
	return append(all, key.NewBinding(key.WithKeys("q"), key.WithHelp("q", "leave")))
}

// question is the one whose answer a check is about.
var question = map[string]string{
	"node-name": "node.name", "node-address": "node.address", "address-stable": "node.address", "cluster-networks": "network.podCIDR",
	"virtual-address-network": "network.vip.api", "virtual-addresses": "network.vip.api",
}

func (c *checks) press(msg tea.KeyPressMsg) tea.Cmd {
	switch msg.String() {
	case "enter":
		if c.failed() {
			return nil
		}
		return c.run.answer(nil)
	case "r":
		return c.run.answer(setup.ErrAgain)
	case "down", "j", "tab":
		c.at = min(len(c.report.Results)-1, c.at+1)
	case "up", "k":
		c.at = max(0, c.at-1)
	case "esc", "<":
		if c.run.flow.engine.Order != nil {
			return nil
		}
		now := c.report.Results[c.at]
		if to := question[now.ID]; to != "" && now.Status != preflight.Passed {
			return c.run.back(to, c.run.flow.ctx.Say(now.Found)+"; "+c.run.flow.ctx.Say(now.Advice))
		}
		return c.run.back("", "")
	case "q", "ctrl+c":
		return c.run.leave()
	}
	return nil
}

func (c *checks) view(width, height int) string {
	ctx, t := c.run.flow.ctx, c.run.flow.ctx.Theme
	counts := map[preflight.Status]int{}
	label := 0
	for _, r := range c.report.Results {
		counts[r.Status]++
		label = max(label, theme.Width(ctx.T(r.Title)))
	}
	head := []string{ctx.T("%d fine, %d to know, %d warned of, %d failed", counts[preflight.Passed], counts[preflight.Info], counts[preflight.Warned], counts[preflight.Failed]), ""}
	switch {
	case c.failed():
		head[0] = t.Say(theme.Bad, ctx.T("This machine cannot run the platform as it is.")) + " " + head[0]
	case counts[preflight.Warned] > 0:
		head[0] = t.Say(theme.Warning, ctx.T("This machine can run the platform; read the warnings.")) + " " + head[0]
	default:
		head[0] = t.Say(theme.Good, ctx.T("This machine can run the platform.")) + " " + head[0]
	}
	head = append(theme.Wrap(head[0], width), "")
	foot := c.explained(width)
	room := max(1, height-len(head)-len(foot))
	if c.at < c.top {
		c.top = c.at
	}
	if c.at >= c.top+room {
		c.top = c.at - room + 1
	}
	lines := head
	label = min(label, width*4/10)
	for i := c.top; i < min(len(c.report.Results), c.top+room); i++ {
		r := c.report.Results[i]
		line := c.word(r.Status) + "  " + t.Pad(ctx.T(r.Title), label) + "  " + ctx.Say(r.Found)
		if i == c.at {
			line = t.Say(theme.Mark, t.Pad(plainWord(c, r.Status)+"  "+t.Pad(ctx.T(r.Title), label)+"  "+ctx.Say(r.Found), width))
		}
		lines = append(lines, line)
	}
	for len(lines) < len(head)+room {
		lines = append(lines, "")
	}
	return t.Fit(lined(append(lines, foot...)), width, height)
}

// explained is the check that is chosen, in full.
func (c *checks) explained(width int) []string {
	ctx := c.run.flow.ctx
	if len(c.report.Results) == 0 {
		return nil
	}
	r := c.report.Results[c.at]
	lines := append([]string{""}, indent("  ", ctx.T("%s (%s): %s", ctx.T(r.Title), r.ID, ctx.Say(r.Found)), width)...)
	if r.Advice != "" {
		lines = append(lines, indent("  -> ", ctx.Say(r.Advice), width)...)
	}
	return lines
}

const statusWidth = 5

func plainWord(c *checks, s preflight.Status) string {
	t, ctx := c.run.flow.ctx.Theme, c.run.flow.ctx
	switch s {
	case preflight.Failed:
		return t.Pad(ctx.T("FAIL"), statusWidth)
	case preflight.Warned:
		return t.Pad(ctx.T("warn"), statusWidth)
	case preflight.Info:
		return t.Pad(ctx.T("info"), statusWidth)
	case preflight.Passed:
	}
	return t.Pad(ctx.T("ok"), statusWidth)
}

func (c *checks) word(s preflight.Status) string {
	tone := map[preflight.Status]theme.Tone{preflight.Failed: theme.Bad, preflight.Warned: theme.Warning, preflight.Info: theme.Plain, preflight.Passed: theme.Good}[s]
	return c.run.flow.ctx.Theme.Say(tone, plainWord(c, s))
}
