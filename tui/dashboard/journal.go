package dashboard

import (
	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/plan"
	"islet/tui/screen"
	"islet/tui/theme"
)

// journal is one plan with its steps. It shows what the list last read, and keeps that reading.
type journal struct {
	*plans
	name   string
	scroll scroll
	width  int
}

func newJournal(p *plans, id string) *journal { return &journal{plans: p, name: id} }

// Title implements screen.Page.
func (j *journal) Title() string { return j.ctx.T("Plan") }

// SetSize implements screen.Page.
func (j *journal) SetSize(width, height int) { j.width, j.scroll.height = width, height }

// Command implements screen.Commander.
func (j *journal) Command() screen.Command {
	return screen.Command{Args: []string{"plan", "show", j.name}}
}

// Keys implements screen.Page.
func (j *journal) Keys() []key.Binding { return []key.Binding{keyResume, keyJump} }

// Update implements screen.Page.
func (j *journal) Update(msg tea.Msg) tea.Cmd {
	k, ok := msg.(tea.KeyPressMsg)
	if !ok {
		return nil
	}
	if cmd, is := away(k); is {
		return cmd
	}
	if j.scroll.update(k) {
		return nil
	}
	return j.resume(j.name, k)
}

// View implements screen.Page.
func (j *journal) View() string {
	j.plans.open = true
	s := &sheet{ctx: j.ctx, width: j.width}
	j.failed(s)
	p, ok := j.find(j.name)
	if !ok {
		s.say(theme.Warning, "", j.ctx.T("%s is not known any more.", j.name))
		return j.scroll.view(j.ctx, s.lines)
	}
	s.field(j.ctx.T("Plan"), j.ctx.T(string(p.Kind))+", "+j.ctx.T("by version %s", p.Version), theme.Plain)
	s.field(j.ctx.T("State"), j.ctx.T(string(p.State)), planTone(p.State))
	s.field(j.ctx.T("Begun"), j.moment(p.Begun), theme.Plain)
	s.field(j.ctx.T("Took"), j.took(p.Begun, p.Ended, p.State), theme.Plain)
	j.stopped(s, p)
	s.head(j.ctx.T("Steps"))
	s.add(layOut(j.ctx, stepColumns(), j.stepRows(p), j.width, -1)...)
	return j.scroll.view(j.ctx, s.lines)
}

// stopped says what has ended a plan early, and how it goes on.
func (j *journal) stopped(s *sheet, p plan.Journal) {
	if p.Error != "" {
		s.field(j.ctx.T("Error"), p.Error, theme.Bad)
	}
	for _, a := range p.Advice {
		s.say(theme.Strong, "  ", j.ctx.T("next: %s", j.ctx.Say(a)))
	}
	if len(p.Resume) > 0 {
		s.field(j.ctx.T("Goes on with"), screen.Command{Args: p.Resume}.Line(), theme.Strong)
	}
}

func stepColumns() []column {
	return []column{{title: "STEP"}, {title: "STATE"}, {title: "TIME", from: 80}, {title: "TOOK", right: true}, {title: "WHAT", flex: true}}
}

func (j *journal) stepRows(p plan.Journal) []row {
	var rows []row
	for _, s := range p.Steps {
		what, at := s.Object+": "+j.ctx.T(s.Detail), "-"
		if s.Error != "" {
			what = s.Object + ": " + s.Error
		}
		if !s.Begun.IsZero() {
			at = j.moment(s.Begun)
		}
		rows = append(rows, row{string(s.Kind) + s.Object, []cell{
			{text: string(s.Kind)}, {j.ctx.T(string(s.State)), planTone(s.State)}, {text: at}, {text: j.took(s.Begun, s.Ended, s.State)}, {text: what},
		}})
	}
	return rows
}
