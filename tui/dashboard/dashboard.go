package dashboard

import (
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/tui/screen"
	"islet/tui/theme"
)

// tab is one of the dashboard's own pages. Its methods are those of a screen.Page.
type tab interface {
	setSize(width, height int)
	// show is called when the tab comes to the front; what it asks for is carried out.
	show() tea.Cmd
	update(msg tea.Msg) tea.Cmd
	// key is called for a key that is not the dashboard's own.
	key(msg tea.KeyPressMsg) tea.Cmd
	view() string
	keys() []key.Binding
	command() screen.Command
	typing() bool
}

// entry is a tab in the bar: how it is called, and the letter that leads there after g.
type entry struct {
	name, short string // English
	letter      string
	tab         tab
}

// Dashboard is the first page, which holds the others that can be jumped to.
type Dashboard struct {
	board         *board
	entries       []entry
	at            int
	jumping       bool // g was pressed
	width, height int
}

// New returns a dashboard that looks through source. The context's Name and Zone follow what it sees.
func New(ctx *screen.Context, source Source) *Dashboard {
	b := &board{ctx: ctx, source: source, later: tea.Tick}
	return &Dashboard{board: b, entries: []entry{
		{"Overview", "Site", "o", newOverview(b)},
		{"Nodes", "Nodes", "n", newNodes(b)},
		{"Components", "Parts", "c", newComponents(b)},
		{"Pods", "Pods", "p", newPods(b)},
		{"Events", "Events", "e", newEvents(b)},
		{"History", "History", "h", newHistory(b)},
		{"Certificates", "Certs", "t", newCertificates(b)},
		{"Joining", "Join", "j", newJoining(b)},
		{"Plans", "Plans", "l", newPlans(b)},
		{"Applications", "Apps", "a", newApplications(b)},
	}}
}

func (d *Dashboard) front() tab { return d.entries[d.at].tab }

// Title implements screen.Page.
func (d *Dashboard) Title() string { return d.board.ctx.T(d.entries[d.at].name) }

// Start implements screen.Starter.
func (d *Dashboard) Start() tea.Cmd { return d.board.ask() }

// SetSize implements screen.Page. The bar takes one line, and another one what there is too little of it for.
func (d *Dashboard) SetSize(width, height int) {
	d.width, d.height = width, height
	for _, e := range d.entries {
		e.tab.setSize(width, max(0, height-1))
	}
}

// Typing implements screen.Typing: after g, too, a letter is none of the frame's.
func (d *Dashboard) Typing() bool { return d.jumping || d.front().typing() }

// Command implements screen.Commander.
func (d *Dashboard) Command() screen.Command { return d.front().command() }

var keyJump = key.NewBinding(key.WithKeys("1", "2", "3", "4", "5", "6", "7", "8", "9", "0"), key.WithHelp("0-9", "go to"))

// Keys implements screen.Page.
func (d *Dashboard) Keys() []key.Binding { return append(d.front().keys(), keyJump) }

// Update implements screen.Page.
func (d *Dashboard) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case askMsg:
		if msg.id != d.board.asked {
			return nil
		}
		return d.board.ask()
	case answerMsg:
		again := d.board.take(msg)
		return tea.Batch(again, d.front().update(msg))
	case jumpMsg:
		return d.jump(int(msg))
	case tea.KeyPressMsg:
		return d.key(msg)
	}
	var cmds []tea.Cmd
	for _, e := range d.entries { // what one has asked for may come when another is in front
		cmds = append(cmds, e.tab.update(msg))
	}
	return tea.Batch(cmds...)
}

func (d *Dashboard) key(msg tea.KeyPressMsg) tea.Cmd {
	if d.front().typing() {
		return d.front().key(msg)
	}
	if d.jumping {
		d.jumping = false
		for i, e := range d.entries {
			if e.letter == msg.String() {
				return d.jump(i)
			}
		}
		return nil
	}
	if i, ok := digit(msg, len(d.entries)); ok {
		return d.jump(i)
	}
	switch msg.String() {
	case "g":
		d.jumping = true
		return nil
	case "tab":
		return d.jump((d.at + 1) % len(d.entries))
	case "shift+tab":
		return d.jump((d.at + len(d.entries) - 1) % len(d.entries))
	}
	return d.front().key(msg)
}

func (d *Dashboard) jump(to int) tea.Cmd {
	d.at = to
	return d.front().show()
}

// jumpMsg brings a tab to the front.
type jumpMsg int

// digit is the tab that a key is the number of; 0 is that of the tenth, as on a keyboard.
func digit(msg tea.KeyPressMsg, tabs int) (int, bool) {
	k := msg.String()
	if len(k) != 1 || k[0] < '0' || k[0] > '9' {
		return 0, false
	}
	i := (int(k[0]-'0') + 9) % 10
	return i, i < tabs
}

// number is the key of a tab.
func number(tab int) string { return string(rune('0' + (tab+1)%10)) }

// tabs is how many there are; pages above the dashboard know their numbers, too.
const tabs = 10

// away leads from a page above the dashboard to a tab.
func away(msg tea.KeyPressMsg) (tea.Cmd, bool) {
	i, ok := digit(msg, tabs)
	if !ok {
		return nil, false
	}
	return tea.Sequence(screen.Home(), func() tea.Msg { return jumpMsg(i) }), true
}

// View implements screen.Page.
func (d *Dashboard) View() string { return d.bar() + "\n" + d.front().view() }

// bar names the tabs, as far as there is room for names.
func (d *Dashboard) bar() string {
	t := d.board.ctx.Theme
	for level := range 3 {
		var plain, drawn []string
		for i, e := range d.entries {
			text := number(i)
			switch {
			case level == 0:
				text += " " + d.board.ctx.T(e.name)
			case level == 1 || i == d.at:
				text += " " + d.board.ctx.T(e.short)
			}
			plain = append(plain, text)
			if i == d.at {
				text = t.Say(theme.Mark, text)
			}
			drawn = append(drawn, text)
		}
		gap := "  "
		if level == 1 {
			gap = " "
		}
		if theme.Width(strings.Join(plain, gap)) <= d.width || level == 2 {
			return strings.Join(drawn, gap)
		}
	}
	return ""
}
