package dashboard

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"

	"islet/appliance/paas/survey"
	"islet/tui/screen"
	"islet/tui/theme"
)

// platformEvery is how often Kubernetes is asked for tenants, applications and orders while they are looked at, and at no other time.
const platformEvery = 3 * time.Second

// platform is what all pages about tenants, applications and orders look at.
type platform struct {
	*board
	seen  survey.Survey
	asked time.Time // when seen was answered; zero before
	err   error
	id    int
	open  bool // drawn since the last question
}

type (
	platformMsg struct {
		id     int
		survey survey.Survey
		err    error
		at     time.Time
	}
	platformAgainMsg struct{ id int }
)

// request asks at once, and drops what an earlier question still brings. Who may only look is told of no tenant.
func (p *platform) request() tea.Cmd {
	if p.ctx.Run == nil {
		return nil
	}
	p.id, p.open = p.ctx.NextID(), false
	id, source, now := p.id, p.source, p.ctx.Now
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(context.Background(), 2*askLimit)
		defer cancel()
		seen, err := source.Platform(ctx)
		return platformMsg{id, seen, err, now()}
	}
}

// receive puts an answer in place. While nobody looks the clock goes on, and nothing is asked.
func (p *platform) receive(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case platformMsg:
		if msg.id != p.id {
			return nil
		}
		if p.err = msg.err; msg.err == nil {
			p.seen, p.asked = msg.survey, msg.at
		}
		return p.again()
	case platformAgainMsg:
		switch {
		case msg.id != p.id:
		case p.open:
			return p.request()
		default:
			return p.again()
		}
	}
	return nil
}

func (p *platform) again() tea.Cmd {
	id := p.id
	return p.later(platformEvery, func(time.Time) tea.Msg { return platformAgainMsg{id} })
}

// told begins a page with what there is to say of the answer, and says whether there is one.
func (p *platform) told(s *sheet) bool {
	p.open = true
	t := p.ctx.Theme
	switch {
	case p.ctx.Run == nil:
		s.say(theme.Warning, "", p.ctx.T("This screen may only look. Log in as root and run the command."))
		return false
	case p.err != nil:
		s.say(theme.Bad, t.Fail()+" ", p.ctx.T("Kubernetes does not tell of its applications: %s", p.err))
		if p.asked.IsZero() {
			s.say(theme.Plain, "  ", p.ctx.T("What runs goes on without it. See the components for what is wrong."))
			return false
		}
		s.say(theme.Warning, "  ", p.ctx.T("What follows is %s old.", p.age(p.asked)))
		s.add("")
	case p.asked.IsZero():
		s.add(p.ctx.T("asking Kubernetes"))
		return false
	}
	return true
}

// do asks before a command is carried out. What is done in prod always wants a word; word is empty where it does not elsewhere.
func (p *platform) do(environment, name string, a screen.Action) tea.Cmd {
	if e, ok := p.seen.Environment(environment); ok && e.Prod() {
		a.Affects = append([]string{p.ctx.T("This is PROD: %s", environment)}, a.Affects...)
		if a.Word == "" {
			a.Word = name
		}
	}
	return screen.Push(screen.NewConfirm(p.ctx, a))
}

// band is the first line of a page about an environment; one of prod cannot be mistaken.
func (p *platform) band(s *sheet, environment string) {
	e, ok := p.seen.Environment(environment)
	switch {
	case !ok:
	case e.Prod():
		s.add(p.ctx.Theme.Say(theme.Prod, p.ctx.Theme.Pad(" "+p.ctx.T("PROD: %s", environment), s.width)))
	default:
		s.add(p.ctx.Theme.Say(theme.Dim, p.ctx.T("%s, of class %s", environment, string(e.Class))))
	}
}
