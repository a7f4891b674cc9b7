package install

import (
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/tui/screen"
	"islet/tui/theme"
)

// failed stays until it is acknowledged: what, what to do, the code, and where more is written.
type failed struct {
	run *run
	why Failure
}

func newFailed(r *run, why Failure) *failed { return &failed{r, why} }

func (f *failed) title() string { return f.run.flow.ctx.T("This did not work") }

// answers says whether there are answers to go back to.
func (f *failed) answers() bool { return f.run.flow.engine.Order == nil }

func (f *failed) keys() []key.Binding {
	all := []key.Binding{key.NewBinding(key.WithKeys("r"), key.WithHelp("r", "try again"))}
	if f.answers() {
		all = append(all, key.NewBinding(key.WithKeys("b", "esc"), key.WithHelp("b", "back to the answers")))
	}
	return append(all, key.NewBinding(key.WithKeys("q"), key.WithHelp("q", "leave")))
}

func (f *failed) press(msg tea.KeyPressMsg) tea.Cmd {
	switch msg.String() {
	case "r":
		return f.run.again()
	case "b", "esc", "<":
		if f.answers() {
			return f.run.back("", "")
		}
	case "q", "ctrl+c":
		return screen.Quit()
	}
	return nil
}

func (f *failed) view(width, height int) string {
	ctx, t := f.run.flow.ctx, f.run.flow.ctx.Theme
	lines := []string{t.Say(theme.Bad, ctx.T("This did not work")), ""}
	for l := range strings.SplitSeq(f.why.Message, "\n") {
		lines = append(lines, indent("  ", ctx.Say(l), width)...)
	}
	lines = append(lines, "")
	for _, a := range f.why.Advice {
		lines = append(lines, indent("  -> ", ctx.Say(a), width)...)
	}
	foot := []string{"", ctx.T("Exit code: %d", f.why.Code)}
	if f.why.Log != "" {
		foot = append(foot, ctx.T("Log: %s", f.why.Log))
	}
	if f.run.state.began {
		foot = append(foot, theme.Wrap(ctx.T("What is done so far stays: the next try goes on where this one stopped."), width)...)
	}
	var notes []string
	for _, n := range f.run.state.notes {
		notes = append(notes, indent(t.Wait()+" ", n, width)...)
	}
	if room := height - len(lines) - len(foot); room < len(notes) {
		notes = notes[len(notes)-max(0, room):]
	}
	lines = append(lines, notes...)
	if len(lines)+len(foot) > height {
		lines = append(lines[:max(0, height-len(foot)-1)], t.Ellipsis())
	}
	return t.Fit(lined(append(lines, foot...)), width, height)
}

// ready is the end, and the beginning of something else.
type ready struct{ run *run }

func (e *ready) title() string { return e.run.flow.ctx.T("Ready") }

func (e *ready) keys() []key.Binding {
	return []key.Binding{key.NewBinding(key.WithKeys("enter"), key.WithHelp("Enter", "go on"))}
}

func (e *ready) press(msg tea.KeyPressMsg) tea.Cmd {
	switch msg.String() {
	case "enter":
		if after := e.run.flow.engine.After; after != nil {
			return after
		}
		return screen.Quit()
	case "q", "ctrl+c", "esc":
		return screen.Quit()
	}
	return nil
}

func (e *ready) view(width, height int) string {
	ctx, t, node := e.run.flow.ctx, e.run.flow.ctx.Theme, e.run.state.node.Node
	lines := []string{"", "  " + t.OK() + " " + t.Say(theme.Strong, ctx.T("The node is ready")), ""}
	row := func(label, value string) {
		if value != "" {
			lines = append(lines, "  "+t.Pad(ctx.T(label), 24)+"  "+value)
		}
	}
	row("Node", node.Node.Name)
	row("Address", node.Node.Address)
	row("Site", node.Site)
	row("Names of applications", "*."+node.Node.Domain)
	lines = append(lines, "")
	for _, next := range [][2]string{
		{"appliance", ctx.T("this node's dashboard")},
		{"appliance status", ctx.T("what runs, what is wrong, what to do")},
		{"appliance token create", ctx.T("lets one more machine join")},
	} {
		lines = append(lines, indent("  "+t.Pad(next[0], 24)+"  ", next[1], width)...)
	}
	return t.Fit(lined(lines), width, height)
}
