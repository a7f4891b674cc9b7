package install

import (
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/join"
	"islet/appliance/setup"
	"islet/tui/screen"
	"islet/tui/theme"
)

// skew asks whether the clock of a machine that joins is to be set to the site's.
type skew struct {
	run *run
	by  setup.Skew
}

func (s *skew) title() string { return s.run.flow.ctx.T("The time") }

func (s *skew) keys() []key.Binding {
	return []key.Binding{
		key.NewBinding(key.WithKeys("enter", "y"), key.WithHelp("Enter", "set the clock")),
		key.NewBinding(key.WithKeys("n"), key.WithHelp("n", "leave it as it is")),
		key.NewBinding(key.WithKeys("q"), key.WithHelp("q", "leave")),
	}
}

func (s *skew) press(msg tea.KeyPressMsg) tea.Cmd {
	switch msg.String() {
	case "enter", "y":
		return s.run.answer(nil)
	case "n":
		return s.run.answer(setup.ErrDecline)
	case "q", "ctrl+c":
		return screen.Quit()
	}
	return nil
}

func (s *skew) view(width, height int) string {
	ctx, t := s.run.flow.ctx, s.run.flow.ctx.Theme
	said := ctx.T("This machine's clock is %s behind the site's.", s.by.Ahead.Abs().Round(100*time.Millisecond))
	if s.by.Ahead < 0 {
		said = ctx.T("This machine's clock is %s ahead of the site's.", s.by.Ahead.Abs().Round(100*time.Millisecond))
	}
	lines := append([]string{}, indent(t.Wait()+" ", said, width)...)
	lines = append(lines, "")
	now := ctx.Now().UTC()
	lines = append(lines, "  "+t.Pad(ctx.T("here"), 16)+now.Format(time.DateTime)+" UTC", "  "+t.Pad(ctx.T("the site"), 16)+now.Add(s.by.Ahead).Format(time.DateTime)+" UTC", "")
	if s.by.Ahead.Abs() > join.SkewLimit {
		lines = append(lines, theme.Wrap(t.Say(theme.Bad, ctx.T("It is too far off to join: certificates that the site issues would not be valid here yet, or not any more.")), width)...)
	} else {
		lines = append(lines, theme.Wrap(ctx.T("It may stay as it is; events and logs of the machines cannot be put in order then."), width)...)
	}
	lines = append(lines, "", t.Say(theme.Strong, ctx.T("Enter sets this machine's clock to the site's, and that of its board.")))
	return t.Fit(lined(lines), width, height)
}
