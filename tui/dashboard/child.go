package dashboard

import (
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/tail"
	"islet/tui/screen"
)

// output shows what a command of this program prints, such as the description of a pod.
type output struct {
	*board
	title   string
	command screen.Command
	pager   pager
	id      int
	loading bool
}

type outputMsg struct {
	id     int
	result screen.Result
}

func newOutput(b *board, title string, c screen.Command) *output {
	return &output{board: b, title: title, command: c, pager: pager{ctx: b.ctx, stay: true}}
}

// Title implements screen.Page.
func (o *output) Title() string { return o.title }

// SetSize implements screen.Page.
func (o *output) SetSize(width, height int) { o.pager.setSize(width, height) }

// Typing implements screen.Typing.
func (o *output) Typing() bool { return o.pager.typing }

// Command implements screen.Commander.
func (o *output) Command() screen.Command { return o.command }

// Keys implements screen.Page.
func (o *output) Keys() []key.Binding {
	return append([]key.Binding{key.NewBinding(key.WithKeys("r"), key.WithHelp("r", "read anew"))}, pagerKeys()...)
}

// Start implements screen.Starter.
func (o *output) Start() tea.Cmd {
	if o.ctx.Run == nil {
		o.pager.add(o.ctx.T("This screen may only look. Log in as root and run the command."), "", o.command.Line())
		return nil
	}
	o.id, o.loading = o.ctx.NextID(), true
	id, run, args := o.id, o.ctx.Run, o.command.Args
	return func() tea.Msg { return outputMsg{id, run(args)} }
}

// Update implements screen.Page.
func (o *output) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case outputMsg:
		if msg.id != o.id {
			return nil
		}
		o.loading, o.pager.lines = false, nil
		for line := range strings.Lines(msg.result.Output) {
			o.pager.add(tail.Printable(strings.ReplaceAll(line, "\t", "    ")))
		}
		if msg.result.Err != nil && len(o.pager.lines) == 0 {
			o.pager.add(msg.result.Err.Error())
		}
	case tea.KeyPressMsg:
		if !o.pager.typing && msg.String() == "r" {
			return o.Start()
		}
		o.pager.update(msg)
	}
	return nil
}

// View implements screen.Page.
func (o *output) View() string {
	if o.loading && len(o.pager.lines) == 0 {
		return o.ctx.T("running: %s", o.command.Line())
	}
	return o.pager.view()
}
