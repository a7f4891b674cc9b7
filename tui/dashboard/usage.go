package dashboard

import (
	"context"
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/metric"
	"islet/tui/screen"
)

// usage is what another node has used, as that tells it.
type usage struct {
	asking[metric.History]
	name          string
	plots         *history
	width, height int
}

func newUsage(b *board, node string) *usage {
	u := &usage{name: node}
	u.asking = asking[metric.History]{board: b, question: func(ctx context.Context) (metric.History, error) { return b.machine(node).History(ctx) }}
	u.plots = &history{board: b, of: func() (string, metric.History) { return node, u.answer }}
	return u
}

// Title implements screen.Page.
func (u *usage) Title() string { return u.board.on(u.name, u.board.ctx.T("History")) }

// SetSize implements screen.Page.
func (u *usage) SetSize(width, height int) { u.width, u.height = width, height }

// Keys implements screen.Page.
func (u *usage) Keys() []key.Binding { return append(u.plots.keys(), keyJump) }

// Command implements screen.Commander.
func (u *usage) Command() screen.Command {
	c := far(u.name, "history")
	c.Kubectl = "kubectl top node " + u.name
	return c
}

// Update implements screen.Page.
func (u *usage) Update(msg tea.Msg) tea.Cmd {
	k, ok := msg.(tea.KeyPressMsg)
	if !ok {
		return u.receive(msg)
	}
	if cmd, is := away(k); is {
		return cmd
	}
	return u.plots.key(k)
}

// View implements screen.Page.
func (u *usage) View() string {
	s := &sheet{ctx: u.board.ctx, width: u.width}
	u.say(s)
	if u.answered.IsZero() {
		return strings.Join(s.lines, "\n")
	}
	u.plots.setSize(u.width, u.height-len(s.lines))
	text := u.plots.view()
	if len(s.lines) == 0 {
		return text
	}
	return join(s.lines, text)
}
