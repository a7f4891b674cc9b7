package dashboard

import (
	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/tui/screen"
)

// nodeParts are the components of one node, to read their logs and events there.
type nodeParts struct {
	*list
	node string
}

func newParts(b *board, node string) *nodeParts {
	p := &nodeParts{node: node}
	p.list = newList(b, componentColumns(), func() []row {
		if i := b.index(node); i >= 0 {
			return componentRows(b, b.now.site[i].Status.Components)
		}
		return nil
	})
	p.list.open = func(name string) screen.Page { return newPast(b, node, name) }
	p.more = []key.Binding{keyLog}
	p.act = func(name string, msg tea.KeyPressMsg) tea.Cmd {
		if name == "" || msg.String() != "l" {
			return nil
		}
		return screen.Push(newLog(b, node, name))
	}
	return p
}

// Title implements screen.Page.
func (p *nodeParts) Title() string { return p.on(p.node, p.ctx.T("Components")) }

// SetSize implements screen.Page.
func (p *nodeParts) SetSize(width, height int) { p.setSize(width, height) }

// Typing implements screen.Typing.
func (p *nodeParts) Typing() bool { return p.typing() }

// Keys implements screen.Page.
func (p *nodeParts) Keys() []key.Binding { return append(p.keys(), keyJump) }

// Command implements screen.Commander.
func (p *nodeParts) Command() screen.Command {
	return screen.Command{Args: []string{"component", "events", "--node", p.node}, Kubectl: "kubectl describe node " + p.node}
}

// Update implements screen.Page.
func (p *nodeParts) Update(msg tea.Msg) tea.Cmd {
	k, ok := msg.(tea.KeyPressMsg)
	if !ok {
		return nil
	}
	if cmd, is := away(k); is && !p.typing() {
		return cmd
	}
	return p.key(k)
}

// View implements screen.Page.
func (p *nodeParts) View() string { return p.view() }
