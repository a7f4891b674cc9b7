package dashboard

import (
	"context"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/component"
	"islet/tui/screen"
)

// past is what happened to a component of a node, as that tells it.
type past struct {
	*board
	asking[[]component.Event]
	node, name string
	scroll     scroll
	width      int
}

func newPast(b *board, node, name string) *past {
	p := &past{board: b, node: node, name: name}
	p.asking = asking[[]component.Event]{board: b, question: func(ctx context.Context) ([]component.Event, error) { return b.machine(node).Events(ctx) }}
	return p
}

// Title implements screen.Page.
func (p *past) Title() string { return p.on(p.node, p.name) }

// SetSize implements screen.Page.
func (p *past) SetSize(width, height int) { p.width, p.scroll.height = width, height }

// Keys implements screen.Page.
func (p *past) Keys() []key.Binding { return []key.Binding{keyLog, keyJump} }

// Command implements screen.Commander.
func (p *past) Command() screen.Command { return far(p.node, "component", "events") }

// Update implements screen.Page.
func (p *past) Update(msg tea.Msg) tea.Cmd {
	k, ok := msg.(tea.KeyPressMsg)
	if !ok {
		return p.receive(msg)
	}
	if cmd, is := away(k); is {
		return cmd
	}
	if k.String() == "l" {
		return screen.Push(newLog(p.board, p.node, p.name))
	}
	p.scroll.update(k)
	return nil
}

// View implements screen.Page.
func (p *past) View() string {
	s := &sheet{ctx: p.ctx, width: p.width}
	p.say(s)
	var mine []component.Event
	for _, e := range p.answer {
		if e.Component == p.name {
			mine = append(mine, e)
		}
	}
	if !p.answered.IsZero() {
		s.head(p.ctx.T("What happened, the newest first"))
		s.add(layOut(p.ctx, eventColumns(false), eventRows(p.board, mine, false), p.width, -1)...)
	}
	return p.scroll.view(p.ctx, s.lines)
}
