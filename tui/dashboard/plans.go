package dashboard

import (
	"context"
	"slices"
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/plan"
	"islet/tui/screen"
	"islet/tui/theme"
)

// plansEvery is how often the journals are read while they are looked at, and at no other time.
const plansEvery = 2 * time.Second

// plans are what was done to this machine: installations, joins and restores.
type plans struct {
	*list
	all   []plan.Journal // the newest first
	asked time.Time      // when all was answered; zero before
	err   error
	id    int
	open  bool // drawn since the last question
}

type (
	plansMsg struct {
		id    int
		plans []plan.Journal
		err   error
		at    time.Time
	}
	plansAgainMsg struct{ id int }
)

func newPlans(b *board) *plans {
	p := &plans{}
	p.list = newList(b, []column{
		{title: "BEGUN"}, {title: "PLAN"}, {title: "STATE"}, {title: "TOOK", right: true}, {title: "STOPPED AT", flex: true}, {title: "VERSION", from: 120},
	}, p.planRows)
	p.list.open = func(id string) screen.Page { return newJournal(p, id) }
	p.twin = screen.Command{Args: []string{"plan", "list"}}
	p.more = []key.Binding{keyResume}
	p.act = p.resume
	return p
}

func (p *plans) planRows() []row {
	var rows []row
	for _, j := range p.all {
		at := "-"
		if i := j.At(); i >= 0 {
			at = string(j.Steps[i].Kind) + " " + j.Steps[i].Object
		}
		rows = append(rows, row{j.ID, []cell{
			{text: p.moment(j.Begun)}, {text: p.ctx.T(string(j.Kind))}, {p.ctx.T(string(j.State)), planTone(j.State)},
			{text: p.took(j.Begun, j.Ended, j.State)}, {text: at}, {text: j.Version},
		}})
	}
	return rows
}

func planTone(s plan.State) theme.Tone {
	switch s {
	case plan.Done:
		return theme.Good
	case plan.Running:
		return theme.Warning
	case plan.Failed, plan.Interrupted:
		return theme.Bad
	case plan.Pending, plan.Unchanged:
		return theme.Dim
	}
	return theme.Plain
}

// took is how long something took, or takes until now. Where nobody has noted its end nobody knows.
func (b *board) took(from, to time.Time, s plan.State) string {
	switch {
	case from.IsZero(), to.IsZero() && s != plan.Running:
		return "-"
	case to.IsZero():
		to = b.ctx.Now()
	}
	return span(max(0, to.Sub(from)))
}

// find is a journal as it was last read; false when it is not kept any more.
func (p *plans) find(id string) (plan.Journal, bool) {
	i := slices.IndexFunc(p.all, func(j plan.Journal) bool { return j.ID == id })
	if i < 0 {
		return plan.Journal{}, false
	}
	return p.all[i], true
}

var keyResume = key.NewBinding(key.WithKeys("U"), key.WithHelp("U", "go on with it"))

// resume goes on with a plan that is unfinished. The terminal is the command's until that ends, since it may ask.
func (p *plans) resume(id string, msg tea.KeyPressMsg) tea.Cmd {
	j, ok := p.find(id)
	if !ok || msg.String() != "U" {
		return nil
	}
	if len(j.Resume) == 0 {
		return screen.Push(screen.NewNotice(p.ctx, p.ctx.T("There is nothing to go on with"),
			p.ctx.T("Only the newest plan can go on, where it has failed or was interrupted.")))
	}
	command := screen.Command{Args: j.Resume}
	if p.ctx.Enter == nil {
		return screen.Push(screen.NewCommand(p.ctx, command))
	}
	return p.ctx.Enter(command.Args)
}

// show asks at once, and drops what an earlier question still brings.
func (p *plans) show() tea.Cmd { return p.request() }

func (p *plans) request() tea.Cmd {
	p.id, p.open = p.ctx.NextID(), false
	id, source, now := p.id, p.source, p.ctx.Now
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(context.Background(), askLimit)
		defer cancel()
		all, err := source.Plans(ctx)
		return plansMsg{id, all, err, now()}
	}
}

func (p *plans) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case plansMsg:
		if msg.id != p.id {
			return nil
		}
		if p.err = msg.err; msg.err == nil || len(msg.plans) > 0 {
			p.all, p.asked = msg.plans, msg.at
		}
		return p.again()
	case plansAgainMsg:
		switch {
		case msg.id != p.id:
		case p.open: // drawn since: somebody looks
			return p.request()
		default: // nothing is asked, but somebody may look again
			return p.again()
		}
	}
	return nil
}

func (p *plans) again() tea.Cmd {
	id := p.id
	return p.later(plansEvery, func(time.Time) tea.Msg { return plansAgainMsg{id} })
}

// view does not wait for the daemon: the journals are on the disk.
func (p *plans) view() string {
	p.open = true
	s := &sheet{ctx: p.ctx, width: p.table.width}
	p.banner(s)
	p.failed(s)
	if p.asked.IsZero() {
		return join(s.lines, "")
	}
	p.table.fill(p.planRows())
	return p.below(s)
}

// failed says why the journals cannot be read.
func (p *plans) failed(s *sheet) {
	if p.err != nil {
		s.say(theme.Warning, "", p.ctx.T("Not all journals can be read: %s", p.err))
	}
}
