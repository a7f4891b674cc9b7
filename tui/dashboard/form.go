package dashboard

import (
	"slices"

	"charm.land/bubbles/v2/key"
	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"

	"islet/tui/screen"
	"islet/tui/theme"
)

// question is one line of a form: something to choose from, or a text to type.
type question struct {
	label   string // in the language of the screen
	choices []choice
	chosen  int
	text    *textinput.Model // nil where there are choices
	note    string           // beside the answer while the cursor is there
}

// choice is what may be answered; shown is what a person reads, the value where it is empty.
type choice struct{ value, shown string }

func choicesOf(values ...string) []choice {
	var out []choice
	for _, v := range values {
		out = append(out, choice{value: v})
	}
	return out
}

// value is the answer.
func (q *question) value() string {
	switch {
	case q.text != nil:
		return q.text.Value()
	case len(q.choices) == 0:
		return ""
	}
	return q.choices[q.chosen].value
}

// form asks for what a command needs, and shows that command as it grows.
type form struct {
	*board
	title, intro string // in the language of the screen
	questions    []*question
	at           int
	command      func() screen.Command
	// done is called on Enter: it asks before the command is carried out.
	done  func() tea.Cmd
	width int
}

// choose adds a question with answers to choose from.
func (f *form) choose(label string, choices []choice, chosen int) *question {
	q := &question{label: label, choices: choices, chosen: max(0, min(chosen, len(choices)-1))}
	f.questions = append(f.questions, q)
	return q
}

// ask adds a question whose answer is typed.
func (f *form) ask(label, note, value string) *question {
	in := f.ctx.Input("", value, 200)
	in.Blur()
	q := &question{label: label, text: &in, note: note}
	f.questions = append(f.questions, q)
	return q
}

// Title implements screen.Page.
func (f *form) Title() string { return f.title }

// SetSize implements screen.Page.
func (f *form) SetSize(width, _ int) { f.width = width }

// Typing implements screen.Typing.
func (f *form) Typing() bool { return f.questions[f.at].text != nil }

// Start implements screen.Starter.
func (f *form) Start() tea.Cmd { return f.move(0) }

// Command implements screen.Commander.
func (f *form) Command() screen.Command { return f.command() }

// Keys implements screen.Page.
func (f *form) Keys() []key.Binding {
	keys := []key.Binding{
		key.NewBinding(key.WithKeys("enter"), key.WithHelp("Enter", "go on")),
		key.NewBinding(key.WithKeys("tab"), key.WithHelp("Tab", "next field")),
	}
	if f.Typing() {
		return append(keys, key.NewBinding(key.WithKeys("esc"), key.WithHelp("Esc", "do nothing")))
	}
	return append(keys, key.NewBinding(key.WithKeys("left", "right"), key.WithHelp("h/l", "change")))
}

// move goes to another field.
func (f *form) move(by int) tea.Cmd {
	if q := f.questions[f.at]; q.text != nil {
		q.text.Blur()
	}
	f.at = (f.at + by + len(f.questions)) % len(f.questions)
	if q := f.questions[f.at]; q.text != nil {
		return q.text.Focus()
	}
	return nil
}

// Update implements screen.Page.
func (f *form) Update(msg tea.Msg) tea.Cmd {
	k, ok := msg.(tea.KeyPressMsg)
	if !ok {
		return nil
	}
	q := f.questions[f.at]
	switch name := k.String(); {
	case name == "enter":
		return f.done()
	case name == "up" || name == "shift+tab" || name == "k" && q.text == nil:
		return f.move(-1)
	case name == "down" || name == "tab" || name == "j" && q.text == nil:
		return f.move(1)
	case q.text != nil && name == "esc":
		return screen.Pop()
	case q.text != nil:
		var cmd tea.Cmd
		*q.text, cmd = q.text.Update(msg)
		return cmd
	case len(q.choices) == 0:
	case slices.Contains([]string{"right", "l", "space", " "}, name):
		q.chosen = (q.chosen + 1) % len(q.choices)
	case name == "left" || name == "h":
		q.chosen = (q.chosen + len(q.choices) - 1) % len(q.choices)
	}
	return nil
}

// View implements screen.Page.
func (f *form) View() string {
	t := f.ctx.Theme
	s := &sheet{ctx: f.ctx, width: f.width}
	s.say(theme.Plain, "", f.intro)
	s.add("")
	for i, q := range f.questions {
		before := "  "
		if i == f.at {
			before = t.Cursor() + " "
		}
		s.add(t.Cut(before+t.Pad(q.label, labelWidth)+" "+f.answer(q, i == f.at), f.width))
	}
	s.add("")
	if note := f.questions[f.at].note; note != "" {
		s.say(theme.Dim, "", note)
		s.add("")
	}
	s.say(theme.Dim, "", f.command().Line())
	return join(s.lines, "")
}

// answer is how an answer looks.
func (f *form) answer(q *question, here bool) string {
	if q.text != nil {
		if here {
			return q.text.View()
		}
		return q.text.Value()
	}
	text := f.ctx.T("none")
	if len(q.choices) > 0 {
		c := q.choices[q.chosen]
		if text = c.shown; text == "" {
			text = c.value
		}
	}
	if here {
		return f.ctx.Theme.Say(theme.Mark, " < "+text+" > ")
	}
	return " < " + text + " >"
}
