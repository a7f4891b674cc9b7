package dashboard

import (
	"context"
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/tail"
	"islet/tui/screen"
	"islet/tui/theme"
)

// firstLines of a log are read when it is opened.
const firstLines = 1000

// log follows the log of a component, of this node where no other is named.
type log struct {
	*board
	node  string
	name  string
	pager pager
	mark  string
	err   error
	id    int // of what is waited for
}

type (
	logMsg struct {
		id   int
		part tail.Part
		err  error
	}
	logAgainMsg struct{ id int }
)

func newLog(b *board, node, name string) *log {
	return &log{board: b, node: node, name: name, pager: pager{ctx: b.ctx}}
}

// Title implements screen.Page.
func (l *log) Title() string { return l.on(l.node, l.ctx.T("Log of %s", l.name)) }

// SetSize implements screen.Page.
func (l *log) SetSize(width, height int) { l.pager.setSize(width, height) }

// Typing implements screen.Typing.
func (l *log) Typing() bool { return l.pager.typing }

// Command implements screen.Commander.
func (l *log) Command() screen.Command {
	return far(l.node, "component", "logs", l.name, "--follow")
}

// pagerKeys are those of a text.
func pagerKeys() []key.Binding {
	return []key.Binding{
		key.NewBinding(key.WithKeys("/"), key.WithHelp("/", "search")),
		key.NewBinding(key.WithKeys("n", "N"), key.WithHelp("n/N", "next/previous")),
		key.NewBinding(key.WithKeys("f"), key.WithHelp("f", "follow")),
		key.NewBinding(key.WithKeys("left", "right"), key.WithHelp("h/l", "left/right")),
	}
}

// Keys implements screen.Page.
func (l *log) Keys() []key.Binding { return append(pagerKeys(), keyJump) }

// Start implements screen.Starter. Who may only look is not shown logs: nobody knows what is in them.
func (l *log) Start() tea.Cmd {
	if l.ctx.Run == nil {
		l.pager.add(l.ctx.T("This screen may only look. Log in as root and run the command."), "", l.Command().Line())
		return nil
	}
	return l.read()
}

func (l *log) read() tea.Cmd {
	l.id = l.ctx.NextID()
	id, source, name, mark := l.id, l.machine(l.node), l.name, l.mark
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(context.Background(), farLimit)
		defer cancel()
		part, err := source.Log(ctx, name, firstLines, mark)
		return logMsg{id, part, err}
	}
}

// Update implements screen.Page.
func (l *log) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case logMsg:
		if msg.id != l.id {
			return nil
		}
		if l.err = msg.err; msg.err == nil {
			l.pager.add(msg.part.Lines...)
			l.mark = msg.part.Mark
		}
		id := l.id
		return l.later(l.every(), func(time.Time) tea.Msg { return logAgainMsg{id} })
	case logAgainMsg:
		if msg.id == l.id {
			return l.read()
		}
	case tea.KeyPressMsg:
		if !l.pager.typing {
			if cmd, is := away(msg); is {
				return cmd
			}
		}
		l.pager.update(msg)
	}
	return nil
}

// View implements screen.Page.
func (l *log) View() string {
	if l.err == nil {
		return l.pager.view()
	}
	s := &sheet{ctx: l.ctx, width: l.pager.width}
	s.say(theme.Warning, "", l.ctx.T("The log cannot be read now: %s", l.err))
	p := l.pager
	p.setSize(p.width, p.height-len(s.lines))
	return join(s.lines, p.view())
}
