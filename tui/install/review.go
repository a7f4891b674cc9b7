package install

import (
	"fmt"
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/install"
	"islet/appliance/setup"
	"islet/tui/theme"
)

// review shows what will be done, and the answer file: nothing has been changed so far.
type review struct {
	run  *run
	plan setup.Plan
	top  int
	over int // lines that are below what is shown
}

func newReview(r *run, p setup.Plan) *review { return &review{run: r, plan: p} }

func (v *review) title() string { return v.run.flow.ctx.T("What will be done") }

func (v *review) keys() []key.Binding {
	all := []key.Binding{key.NewBinding(key.WithKeys("enter"), key.WithHelp("Enter", "do it"))}
	if v.run.flow.engine.Order == nil {
		all = append(all, key.NewBinding(key.WithKeys("esc"), key.WithHelp("Esc", "back to the answers")))
	}
	if v.over > 0 || v.top > 0 {
		all = append(all, key.NewBinding(key.WithKeys("down"), key.WithHelp("j/k", "down, up")))
	}
	return append(all, key.NewBinding(key.WithKeys("c"), key.WithHelp("c", "command")), key.NewBinding(key.WithKeys("q"), key.WithHelp("q", "leave")))
}

func (v *review) press(msg tea.KeyPressMsg) tea.Cmd {
	switch msg.String() {
	case "enter":
		return v.run.answer(nil)
	case "down", "j":
		v.top += min(1, v.over)
	case "up", "k":
		v.top = max(0, v.top-1)
	case "pgdown", "space", " ":
		v.top += min(10, v.over)
	case "esc", "<":
		if v.run.flow.engine.Order == nil {
			return v.run.back("", "")
		}
	case "q", "ctrl+c":
		return v.run.leave()
	}
	return nil
}

func (v *review) view(width, height int) string {
	ctx, t := v.run.flow.ctx, v.run.flow.ctx.Theme
	said := ctx.T("Nothing has been changed so far. Enter does this:")
	if v.run.flow.engine.Order != nil {
		said = ctx.T("An installation was interrupted. Enter goes on with it:")
	}
	head := append(theme.Wrap(said, width), "")
	var lines []string
	for _, s := range v.plan.Steps {
		lines = append(lines, v.step(s, width)...)
	}
	for _, n := range v.run.state.notes {
		lines = append(lines, indent(t.Wait()+" ", n, width)...)
	}
	lines = append(lines, "", t.Say(theme.Strong, ctx.T("The answer file:")), "")
	for l := range strings.SplitSeq(strings.TrimSpace(string(v.plan.Answers)), "\n") {
		lines = append(lines, "  "+l)
	}
	room := max(1, height-len(head)-1)
	v.over = max(0, len(lines)-room-v.top)
	shown := lines[min(v.top, len(lines)):min(len(lines), v.top+room)]
	out := append(head, shown...)
	if v.over > 0 {
		for len(out) < height-1 {
			out = append(out, "")
		}
		out = append(out, t.Say(theme.Dim, ctx.T("%d more lines below", v.over)))
	}
	return t.Fit(lined(out), width, height)
}

// step is one line of `appliance install --plan`.
func (v *review) step(s install.Step, width int) []string {
	ctx := v.run.flow.ctx
	detail := ctx.T(s.Detail)
	if s.Done {
		detail = ctx.T("unchanged")
	}
	return indent(fmt.Sprintf("%-10s  ", s.Kind), s.Object+": "+detail, width)
}
