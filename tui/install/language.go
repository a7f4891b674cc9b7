package install

import (
	"fmt"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/tui/message"
	"islet/tui/screen"
	"islet/tui/theme"
)

// language is the first question where the terminal can show both. It is asked in all of them.
type language struct {
	flow          *Flow
	width, height int
}

func newLanguage(f *Flow) *language { return &language{flow: f} }

// Title implements screen.Page.
func (l *language) Title() string { return l.flow.ctx.T("Language") }

// SetSize implements screen.Page.
func (l *language) SetSize(width, height int) { l.width, l.height = width, height }

// Keys implements screen.Page.
func (l *language) Keys() []key.Binding {
	return []key.Binding{keyNext, key.NewBinding(key.WithKeys("up", "down", "1", "2", "tab"), key.WithHelp("1-2", "choose"))}
}

// Update implements screen.Page.
func (l *language) Update(msg tea.Msg) tea.Cmd {
	k, ok := msg.(tea.KeyPressMsg)
	if !ok {
		return nil
	}
	langs := message.Langs()
	at := 0
	for i, lang := range langs {
		if lang == l.flow.ctx.Lang {
			at = i
		}
	}
	switch k.String() {
	case "enter":
		return screen.Replace(newQuestions(l.flow))
	case "up", "k":
		at = (at + len(langs) - 1) % len(langs)
	case "down", "j", "tab":
		at = (at + 1) % len(langs)
	case "1", "2":
		at = int(k.String()[0] - '1')
	}
	l.flow.ctx.Lang = l.flow.ctx.Profile.Speak(langs[at])
	return nil
}

// View implements screen.Page.
func (l *language) View() string {
	t := l.flow.ctx.Theme
	lines := []string{""}
	for _, lang := range message.Langs() {
		lines = append(lines, "  "+t.Say(theme.Strong, lang.T("Language")))
	}
	lines = append(lines, "")
	for i, lang := range message.Langs() {
		line := fmt.Sprintf("  %d  %s", i+1, lang.Name())
		if lang == l.flow.ctx.Lang {
			line = t.Say(theme.Mark, t.Pad(fmt.Sprintf("%s %d  %s", t.Cursor(), i+1, lang.Name()), min(40, l.width)))
		}
		lines = append(lines, line)
	}
	lines = append(lines, "", "  "+l.flow.ctx.T("It can be changed at any time: L"))
	return t.Fit(lined(lines), l.width, l.height)
}
