package install

import (
	"strings"

	"charm.land/bubbles/v2/key"
	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/setup"
	"islet/tui/theme"
)

// saved is the word that says that the key is written down.
const saved = "saved"

// secret shows the recovery key until somebody says that it is kept.
type secret struct {
	run   *run
	key   setup.Key
	input textinput.Model
}

func newSecret(r *run, k setup.Key) *secret {
	return &secret{run: r, key: k, input: r.flow.ctx.Input("", "", len(saved)+5)}
}

func (s *secret) title() string { return s.run.flow.ctx.T("Recovery key") }

func (s *secret) keys() []key.Binding {
	return []key.Binding{key.NewBinding(key.WithKeys("enter"), key.WithHelp("Enter", "go on, once the word is there"))}
}

func (s *secret) press(msg tea.KeyPressMsg) tea.Cmd {
	switch msg.String() {
	case "enter":
		if strings.TrimSpace(s.input.Value()) == saved {
			return s.run.answer(nil)
		}
		return nil
	case "ctrl+c":
		return s.run.leave()
	}
	return s.edit(msg)
}

func (s *secret) edit(msg tea.Msg) tea.Cmd {
	s.input, _ = s.input.Update(msg)
	return nil
}

func (s *secret) view(width, height int) string {
	ctx, t := s.run.flow.ctx, s.run.flow.ctx.Theme
	lines := append([]string{}, theme.Wrap(ctx.T("This is the recovery key of site %s. It is shown this once and kept nowhere: write it down, and keep it away from this machine.", s.key.Site), width)...)
	lines = append(lines, theme.Wrap(ctx.T("Without it no backup can be restored; who has it can read all of them."), width)...)
	lines = append(lines, "")
	for rest := s.key.Secret; rest != ""; {
		n := min(len(rest), width-4)
		lines, rest = append(lines, "  "+t.Say(theme.Strong, rest[:n])), rest[n:]
	}
	lines = append(lines, "")
	lines = append(lines, indent("", ctx.T("Its public half, which is no secret:"), width)...)
	lines = append(lines, "  "+t.Cut(s.key.Recipient, width-2), "")
	lines = append(lines, indent("", ctx.T("Type %s and Enter when it is written down:", saved), width)...)
	s.input.SetWidth(20)
	return t.Fit(lined(append(lines, "> "+s.input.View())), width, height)
}
