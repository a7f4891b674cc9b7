package install

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/component"
	"islet/appliance/install"
	"islet/appliance/progress"
	"islet/appliance/setup"
	"islet/tui/theme"
)

// course is how it goes: the steps with the rate of the one that copies, then every component and what it waits for.
type course struct{ run *run }

func (c *course) title() string {
	if c.run.state.began {
		return c.run.flow.ctx.T("Setting up")
	}
	return c.run.flow.ctx.T("Checks of this machine")
}

func (c *course) keys() []key.Binding {
	return []key.Binding{key.NewBinding(key.WithKeys("x"), key.WithHelp("x", "stop"))}
}

func (c *course) press(msg tea.KeyPressMsg) tea.Cmd {
	switch msg.String() {
	case "x", "q", "ctrl+c":
		return c.run.leave()
	case "esc", "<":
		if !c.run.state.began && c.run.flow.engine.Order == nil {
			return c.run.back("", "")
		}
	}
	return nil
}

func (c *course) view(width, height int) string {
	st, t := c.run.state, c.run.flow.ctx.Theme
	var lines []string
	switch {
	case st.waiting.IsZero() && st.plan != nil && st.began:
		lines = append(c.approval(width), c.steps(width)...) // what somebody has to do must not be cut
	case st.waiting.IsZero():
		lines = []string{"", "  " + c.stage()}
	default:
		lines = c.components(width, height-c.noteRoom(height))
	}
	if notes := c.notes(width, height); len(notes) > 0 {
		for len(lines) < height-len(notes) {
			lines = append(lines, "")
		}
		lines = append(lines[:min(len(lines), height-len(notes))], notes...)
	}
	return t.Fit(lined(lines), width, height)
}

// stage is what is done before there is a plan.
func (c *course) stage() string {
	ctx := c.run.flow.ctx
	spin := ctx.Theme.Spin(int(ctx.Now().Unix())) + " "
	switch c.run.state.stage {
	case setup.Asking:
		return spin + ctx.T("The site is asked whether it takes this machine.")
	case setup.Checking:
		return spin + ctx.T("This machine is checked. That takes a few seconds.")
	case setup.Planning:
		return spin + ctx.T("What is on this machine is compared with what is to be there.")
	case setup.Working, setup.Starting:
	}
	return spin + ctx.T("One moment.")
}

func (c *course) steps(width int) []string {
	st, ctx, t := c.run.state, c.run.flow.ctx, c.run.flow.ctx.Theme
	var lines []string
	for i, s := range st.plan.Steps {
		mark, word := " ", ctx.T("to do")
		switch {
		case i < len(st.ended) && s.Done:
			mark, word = t.OK(), ctx.T("was done")
		case i < len(st.ended) && st.ended[i].Err == nil:
			mark, word = t.OK(), ctx.T("done")
		case i < len(st.ended):
			mark, word = t.Fail(), ctx.T("failed")
		case i == len(st.ended):
			mark, word = t.Say(theme.Warning, t.Spin(int(ctx.Now().Unix()))), ctx.T("doing")
		}
		lines = append(lines, indent(mark+" "+t.Pad(word, 8)+"  ", s.Object+": "+ctx.T(s.Detail), width)...)
		if i == len(st.ended) {
			lines = append(lines, c.copied(s, width)...)
		}
	}
	return lines
}

// copied is how far the step is that is being done.
func (c *course) copied(s install.Step, width int) []string {
	p, ctx, t := c.run.state.progress, c.run.flow.ctx, c.run.flow.ctx.Theme
	const margin = "             "
	if p.What == "" || p.Total <= 0 {
		return nil
	}
	took := ctx.Now().Sub(c.run.state.since)
	share := float64(p.Done) / float64(p.Total)
	text := ctx.T("%s of %s", fmt.Sprintf("%d%%", int(share*100)), progress.Bytes(p.Total))
	if took > 0 && p.Done > 0 {
		text += ctx.T(", %s/s", progress.Bytes(int64(float64(p.Done)/took.Seconds())))
		if left := time.Duration(float64(took) * (1 - share) / share).Round(time.Second); left > 0 {
			text += ctx.T(", %s left", left)
		}
	}
	if p.Done >= p.Total && s.Kind == install.KindExecutable {
		text = ctx.T("%s copied; it is read back and compared with its signature", progress.Bytes(p.Total))
	}
	return append(indent(margin, text, width), margin+t.Gauge(share, max(10, min(40, width-len(margin)-2))))
}

// approval is what somebody else has to do.
func (c *course) approval(width int) []string {
	a, ctx := c.run.state.approval, c.run.flow.ctx
	if a == nil {
		return nil
	}
	lines := indent("  ", ctx.T("Somebody has to approve of this machine. On a server:"), width)
	lines = append(lines, "", "    appliance node approve "+a.Node, "")
	lines = append(lines, indent("  ", ctx.T("It must show the same words there:"), width)...)
	lines = append(append(lines, ""), indent("    ", ctx.Theme.Say(theme.Strong, a.Words), width)...)
	return append(lines, "")
}

// components are all that the node runs, those that are not ready first.
func (c *course) components(width, height int) []string {
	st, ctx, t := c.run.state, c.run.flow.ctx, c.run.flow.ctx.Theme
	waited := ctx.Now().Sub(st.waiting).Round(time.Second)
	if st.node.Err != nil || len(st.node.Node.Components) == 0 {
		return append([]string{"", "  " + t.Spin(int(ctx.Now().Unix())) + " " + ctx.T("The node daemon does not answer yet (%s).", waited), ""}, c.howToStart(width)...)
	}
	all := slices.Clone(st.node.Node.Components)
	slices.SortStableFunc(all, func(a, b component.Status) int {
		return map[bool]int{true: 1, false: 0}[a.IsReady()] - map[bool]int{true: 1, false: 0}[b.IsReady()]
	})
	name, ready := 0, 0
	for _, s := range all {
		name = max(name, theme.Width(s.Name))
		if s.IsReady() {
			ready++
		}
	}
	lines := []string{ctx.T("%d of %d components are ready, after %s", ready, len(all), waited), t.Gauge(float64(ready)/float64(len(all)), min(60, width)), ""}
	for i, s := range all {
		if len(lines) == height-1 && i < len(all)-1 {
			return append(lines, ctx.T("and %d more", len(all)-i))
		}
		lines = append(lines, c.component(s, min(name, 24), width))
	}
	return lines
}

func (c *course) component(s component.Status, name, width int) string {
	ctx, t := c.run.flow.ctx, c.run.flow.ctx.Theme
	mark := t.Wait()
	switch {
	case s.State == component.Ready:
		mark = t.OK()
	case s.Failures > 0:
		mark = t.Fail()
	}
	since := ""
	if !s.Since.IsZero() && !s.IsReady() {
		since = max(0, ctx.Now().Sub(s.Since)).Round(time.Second).String()
	}
	said := ctx.T(string(s.State))
	if on, waits := strings.CutPrefix(s.Reason, "waiting for "); waits {
		said = ctx.T("waiting for %s", on)
	} else if s.Reason != "" && !s.IsReady() {
		said += ": " + ctx.Say(s.Reason)
	}
	line := fmt.Sprintf("%s %s  %s", mark, t.Pad(s.Name, name), said)
	return t.Pad(line, width-9) + " " + t.Right(since, 8)
}

// howToStart is for a machine on which nothing starts the node.
func (c *course) howToStart(width int) []string {
	start, ctx := c.run.state.start, c.run.flow.ctx
	switch {
	case start == nil:
		return nil
	case start.Systemd:
		return indent("  ", ctx.T("Start it with: %s", "systemctl start appliance"), width)
	}
	return append(indent("  ", ctx.T("systemd does not run here. Let your service manager run, and restart, as root:"), width), "", "    "+start.Program+" server")
}

// notes are the newest of what there was to be told.
func (c *course) notes(width, height int) []string {
	var lines []string
	for _, n := range c.run.state.notes {
		lines = append(lines, indent(c.run.flow.ctx.Theme.Wait()+" ", n, width)...)
	}
	room := c.noteRoom(height)
	if len(lines) > room {
		lines = lines[len(lines)-room:]
	}
	return lines
}

// noteRoom is how many lines they get.
func (c *course) noteRoom(height int) int {
	if len(c.run.state.notes) == 0 {
		return 0
	}
	return height / 4
}
