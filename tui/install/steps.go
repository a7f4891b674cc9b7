package install

import (
	"fmt"
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/wizard"
	"islet/tui/screen"
	"islet/tui/theme"
)

// steps lists all steps with their answers, to jump to one.
type steps struct {
	of            *questions
	at            int
	width, height int
}

func newSteps(q *questions) *steps {
	_, number, _ := q.step()
	return &steps{of: q, at: number}
}

// Title implements screen.Page.
func (s *steps) Title() string { return s.of.flow.ctx.T("All steps") }

// SetSize implements screen.Page.
func (s *steps) SetSize(width, height int) { s.width, s.height = width, height }

// Keys implements screen.Page.
func (s *steps) Keys() []key.Binding {
	return []key.Binding{key.NewBinding(key.WithKeys("enter"), key.WithHelp("Enter", "go there")), keyPick}
}

// Update implements screen.Page.
func (s *steps) Update(msg tea.Msg) tea.Cmd {
	k, ok := msg.(tea.KeyPressMsg)
	if !ok {
		return nil
	}
	all := s.of.wizard.Steps()
	s.at = min(s.at, len(all)-1)
	switch name := k.String(); {
	case name == "enter":
		return s.choose(all[s.at])
	case name == "up" || name == "k":
		s.at = (s.at + len(all) - 1) % len(all)
	case name == "down" || name == "j" || name == "tab":
		s.at = (s.at + 1) % len(all)
	case len(name) == 1 && name[0] >= '1' && int(name[0]-'1') < len(all):
		return s.choose(all[name[0]-'1'])
	}
	return nil
}

func (s *steps) choose(step wizard.Step) tea.Cmd {
	s.of.visit(step.Questions[0].ID)
	return screen.Pop()
}

// View implements screen.Page.
func (s *steps) View() string {
	ctx, t := s.of.flow.ctx, s.of.flow.ctx.Theme
	var lines []string
	for i, step := range s.of.wizard.Steps() {
		mark, tone := "  ", theme.Plain
		if i == s.at {
			mark, tone = t.Cursor()+" ", theme.Mark
		}
		lines = append(lines, t.Say(tone, t.Pad(fmt.Sprintf("%s%d  %s", mark, i+1, ctx.T(step.Title)), s.width)))
		var answers []string
		for _, o := range step.Questions {
			answers = append(answers, s.of.shown(o))
		}
		lines = append(lines, t.Say(theme.Dim, t.Cut("     "+strings.Join(answers, ", "), s.width)))
	}
	return t.Fit(lined(lines), s.width, s.height)
}
