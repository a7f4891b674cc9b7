package dashboard

import (
	"fmt"
	"slices"
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/component"
	"islet/tui/screen"
	"islet/tui/theme"
)

func newComponents(b *board) *list {
	l := newList(b, componentColumns(), func() []row { return componentRows(b, b.now.own().Components) })
	l.open = func(name string) screen.Page { return newPart(b, name) }
	l.twin = screen.Command{Args: []string{"status"}, Kubectl: "kubectl get --raw /readyz?verbose"}
	l.more = []key.Binding{keyRestart, keyLog}
	l.act = func(name string, msg tea.KeyPressMsg) tea.Cmd { return b.componentAction(name, msg) }
	return l
}

var (
	keyRestart = key.NewBinding(key.WithKeys("R"), key.WithHelp("R", "restart"))
	keyLog     = key.NewBinding(key.WithKeys("l"), key.WithHelp("l", "log"))
)

// componentAction shows the log of a component of this node, or asks before it is restarted.
func (b *board) componentAction(name string, msg tea.KeyPressMsg) tea.Cmd {
	switch {
	case name == "":
	case msg.String() == "l":
		return screen.Push(newLog(b, "", name))
	case msg.String() == "R":
		return screen.Push(screen.NewConfirm(b.ctx, screen.Action{
			Title: b.ctx.T("Restart %s", name), Word: name, Affects: b.affected(name),
			Command: screen.Command{Args: []string{"component", "restart", name}},
		}))
	}
	return nil
}

// affected says what a restart of a component of this node interrupts.
func (b *board) affected(name string) []string {
	lines := []string{b.ctx.T("%s stops and starts again. Pods go on.", name)}
	var needing []string
	for _, c := range b.now.own().Components {
		if slices.Contains(c.Needs, name) {
			needing = append(needing, c.Name)
		}
	}
	if len(needing) > 0 {
		lines = append(lines, b.ctx.T("These use it and lose it for a moment: %s", commas(needing)))
	}
	return lines
}

func commas(names []string) string { return strings.Join(names, ", ") }

// part is one component: how it is, and how it came to this.
type part struct {
	*board
	name   string
	scroll scroll
	width  int
}

func newPart(b *board, name string) *part { return &part{board: b, name: name} }

// Title implements screen.Page.
func (p *part) Title() string { return p.name }

// SetSize implements screen.Page.
func (p *part) SetSize(width, height int) { p.width, p.scroll.height = width, height }

// Command implements screen.Commander.
func (p *part) Command() screen.Command {
	return screen.Command{Args: []string{"component", "logs", p.name, "--follow"}}
}

// Keys implements screen.Page.
func (p *part) Keys() []key.Binding { return []key.Binding{keyLog, keyRestart, keyJump} }

// Update implements screen.Page.
func (p *part) Update(msg tea.Msg) tea.Cmd {
	k, ok := msg.(tea.KeyPressMsg)
	if !ok {
		return nil
	}
	if cmd, is := away(k); is {
		return cmd
	}
	if p.scroll.update(k) {
		return nil
	}
	return p.componentAction(p.name, k)
}

// View implements screen.Page.
func (p *part) View() string {
	s := &sheet{ctx: p.ctx, width: p.width}
	p.banner(s)
	for _, c := range p.now.own().Components {
		if c.Name != p.name {
			continue
		}
		s.field(p.ctx.T("State"), p.ctx.T("%s for %s", p.ctx.T(string(c.State)), p.age(c.Since)), stateTone(c.State))
		if c.Reason != "" {
			s.field(p.ctx.T("Reason"), p.ctx.Say(c.Reason), theme.Plain)
		}
		s.field(p.ctx.T("Restarts"), p.ctx.T("%d since the start, %d failures in a row", c.Restarts, c.Failures), theme.Plain)
		if c.PID > 0 {
			s.field(p.ctx.T("Process"), p.ctx.T("%d", c.PID), theme.Plain)
		}
		s.field(p.ctx.T("Needs"), orDash(commas(c.Needs)), theme.Plain)
	}
	s.head(p.ctx.T("What happened, the newest first"))
	var mine []component.Event
	for _, e := range p.now.events {
		if e.Component == p.name {
			mine = append(mine, e)
		}
	}
	s.add(layOut(p.ctx, eventColumns(false), eventRows(p.board, mine, false), p.width, -1)...)
	return p.scroll.view(p.ctx, s.lines)
}

func eventColumns(named bool) []column {
	columns := []column{{title: "TIME"}, {title: "COMPONENT", most: 24}, {title: "STATE"}, {title: "REASON", flex: true}}
	if !named {
		columns = slices.Delete(columns, 1, 2)
	}
	return columns
}

// eventRows are events, the newest first.
func eventRows(b *board, events []component.Event, named bool) []row {
	rows := make([]row, 0, len(events))
	for _, e := range slices.Backward(events) {
		cells := []cell{{text: b.moment(e.At)}, {text: e.Component}, {b.ctx.T(string(e.State)), stateTone(e.State)}, {text: b.ctx.Say(e.Reason)}}
		if !named {
			cells = slices.Delete(cells, 1, 2)
		}
		rows = append(rows, row{fmt.Sprint(e.At.UnixNano(), e.Component, e.State), cells})
	}
	return rows
}

func newEvents(b *board) *list {
	l := newList(b, eventColumns(true), func() []row { return eventRows(b, b.now.events, true) })
	l.twin = screen.Command{Args: []string{"component", "events"}, Kubectl: "kubectl get events -A --sort-by=.lastTimestamp"}
	return l
}
