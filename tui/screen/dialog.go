package screen

import (
	"strings"

	"charm.land/bubbles/v2/key"
	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"islet/tui/theme"
)

// program is what commands are shown as.
const program = "appliance"

// Line is a command as it is typed, with what a shell would take apart in quotes.
func (c Command) Line() string {
	words := []string{program}
	for _, a := range c.Args {
		if a == "" || strings.ContainsAny(a, " \t\n'\"\\$`*?[]{}()<>|&;#~!") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// box draws lines in a frame in the middle of the room.
func (c *Context) box(title string, lines []string, width, height int) string {
	t := c.Theme
	inner := min(72, width-6)
	var wrapped []string
	for _, l := range lines {
		wrapped = append(wrapped, theme.Wrap(l, inner)...)
	}
	if room := height - 4; len(wrapped) > room && room > 0 {
		wrapped = append(wrapped[:room-1], t.Ellipsis())
	}
	content := append([]string{t.Say(theme.Strong, t.Cut(title, inner)), ""}, wrapped...)
	for i, l := range content {
		content[i] = t.Pad(l, inner)
	}
	framed := lipgloss.NewStyle().Border(t.Border()).Padding(0, 1).Render(strings.Join(content, "\n"))
	return lipgloss.Place(width, height, lipgloss.Center, lipgloss.Center, framed)
}

// dialog is a page that says something until it is acknowledged.
type dialog struct {
	ctx           *Context
	title         string
	lines         func() []string
	width, height int
	keys          []key.Binding
	on            func(k string) tea.Cmd
}

func (d *dialog) Title() string             { return d.ctx.T(d.title) }
func (d *dialog) SetSize(width, height int) { d.width, d.height = width, height }
func (d *dialog) View() string              { return d.ctx.box(d.ctx.T(d.title), d.lines(), d.width, d.height) }
func (d *dialog) Keys() []key.Binding       { return d.keys }

func (d *dialog) Update(msg tea.Msg) tea.Cmd {
	k, ok := msg.(tea.KeyPressMsg)
	if !ok {
		return nil
	}
	if d.on != nil {
		if cmd := d.on(k.String()); cmd != nil {
			return cmd
		}
	}
	if k.String() == "enter" {
		return Pop()
	}
	return nil
}

var keyAcknowledge = key.NewBinding(key.WithKeys("enter"), key.WithHelp("Enter", "go on"))

// NewNotice says something until Enter or Esc. The texts are in the language of the screen already.
func NewNotice(ctx *Context, title string, lines ...string) Page {
	return &dialog{ctx: ctx, title: title, lines: func() []string { return lines }, keys: []key.Binding{keyAcknowledge}}
}

// NewError shows what failed, with the exit code of the command and where more is written, until it is acknowledged.
func NewError(ctx *Context, c Command, r Result) Page {
	var lines []string
	if out := strings.TrimSpace(r.Output); out != "" {
		lines = append(lines, strings.Split(out, "\n")...)
	} else if r.Err != nil {
		lines = append(lines, r.Err.Error())
	}
	lines = append(lines, "", ctx.T("Command: %s", c.Line()), ctx.T("Exit code: %d", r.Code), ctx.T("Log: journalctl -u appliance"))
	return NewNotice(ctx, "This did not work", lines...)
}

// NewCommand shows the command that does what a page does. On an emulator it goes into the clipboard, too.
func NewCommand(ctx *Context, c Command) Page {
	d := &dialog{ctx: ctx, title: "The same by command", keys: []key.Binding{keyAcknowledge}}
	kubectl := false
	copied := ""
	d.lines = func() []string {
		lines := []string{c.Line()}
		if kubectl {
			lines = append(lines, "", c.Kubectl)
		} else if c.Kubectl != "" {
			lines = append(lines, "", ctx.T("k shows the same by kubectl"))
		}
		if copied != "" {
			lines = append(lines, "", copied)
		}
		return lines
	}
	if c.Kubectl != "" {
		d.keys = append(d.keys, key.NewBinding(key.WithKeys("k"), key.WithHelp("k", "kubectl")))
	}
	d.keys = append(d.keys, key.NewBinding(key.WithKeys("y"), key.WithHelp("y", "copy")))
	d.on = func(k string) tea.Cmd {
		switch k {
		case "k":
			kubectl = c.Kubectl != "" && !kubectl
		case "y":
			copied = ctx.T("sent to the terminal's clipboard, where it has one")
			text := c.Line()
			if kubectl {
				text = c.Kubectl
			}
			return tea.SetClipboard(text)
		}
		return nil
	}
	return d
}

// newHelp lists all keys of a page.
func newHelp(ctx *Context, of Page) Page {
	lines := func() []string {
		var out []string
		line := func(k, what string) { out = append(out, ctx.Theme.Pad(k, 10)+ctx.T(what)) }
		for _, b := range of.Keys() {
			if h := b.Help(); h.Key != "" {
				line(h.Key, h.Desc)
			}
		}
		if _, ok := of.(Commander); ok {
			line("c", "the command that does the same")
		}
		line("q, Esc", "back")
		line("L", "language")
		line("Ctrl-L", "draw anew")
		return out
	}
	return &dialog{ctx: ctx, title: "Keys", lines: lines, keys: []key.Binding{keyAcknowledge}}
}

// Action is something that a page can do to the site, by a command of this program.
type Action struct {
	Title   string // in the language of the screen
	Command Command
	// Affects says what is touched, a line each. With Word a person must type that word first; without, Enter is enough.
	Affects []string
	Word    string
	// Done is called with what the command printed, where showing it is not enough.
	Done func(Result) tea.Cmd
}

// confirm asks before an action, and shows what it came to.
type confirm struct {
	ctx           *Context
	action        Action
	input         textinput.Model
	running       bool
	id            int
	width, height int
}

type ranMsg struct {
	id     int
	result Result
}

// NewConfirm asks whether an action is to be carried out. It shows the command in any case.
func NewConfirm(ctx *Context, a Action) Page {
	input := ctx.Input("", "", 100)
	input.Prompt = "> "
	return &confirm{ctx: ctx, action: a, input: input}
}

func (d *confirm) Title() string             { return d.action.Title }
func (d *confirm) SetSize(width, height int) { d.width, d.height = width, height }
func (d *confirm) Typing() bool              { return d.action.Word != "" && !d.running && d.ctx.Run != nil }
func (d *confirm) Keys() []key.Binding {
	keys := []key.Binding{key.NewBinding(key.WithKeys("esc"), key.WithHelp("Esc", "do nothing"))}
	if d.ctx.Run == nil { // who may only look
		return keys
	}
	return append([]key.Binding{key.NewBinding(key.WithKeys("enter"), key.WithHelp("Enter", "do it"))}, keys...)
}

func (d *confirm) Command() Command { return d.action.Command }

func (d *confirm) View() string {
	lines := append([]string{}, d.action.Affects...)
	lines = append(lines, "", d.ctx.T("Command: %s", d.action.Command.Line()), "")
	switch {
	case d.ctx.Run == nil:
		lines = append(lines, d.ctx.T("This screen may only look. Log in as root and run the command."))
	case d.running:
		lines = append(lines, d.ctx.T("running; Esc leaves it running"))
	case d.action.Word != "":
		lines = append(lines, d.ctx.T("Type %s to do it:", d.action.Word), d.input.View())
	default:
		lines = append(lines, d.ctx.T("Enter does it."))
	}
	return d.ctx.box(d.action.Title, lines, d.width, d.height)
}

func (d *confirm) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case ranMsg:
		if msg.id != d.id || !d.running {
			return nil
		}
		return d.finish(msg.result)
	case tea.KeyPressMsg:
		switch {
		case msg.String() == "esc":
			return Pop()
		case d.running || d.ctx.Run == nil:
			return nil
		case msg.String() == "enter":
			return d.run()
		}
	}
	var cmd tea.Cmd
	if d.Typing() {
		d.input, cmd = d.input.Update(msg)
	}
	return cmd
}

func (d *confirm) run() tea.Cmd {
	if d.action.Word != "" && strings.TrimSpace(d.input.Value()) != d.action.Word {
		return nil
	}
	d.id, d.running = d.ctx.NextID(), true
	id, run, args := d.id, d.ctx.Run, d.action.Command.Args
	return func() tea.Msg { return ranMsg{id, run(args)} }
}

func (d *confirm) finish(r Result) tea.Cmd {
	d.running = false
	if r.Err != nil {
		return Replace(NewError(d.ctx, d.action.Command, r))
	}
	if d.action.Done != nil {
		return tea.Sequence(Pop(), d.action.Done(r))
	}
	return Replace(NewNotice(d.ctx, d.action.Title, append(strings.Split(strings.TrimSpace(r.Output), "\n"), "", d.ctx.T("Done."))...))
}
