package dashboard

import (
	"fmt"
	"slices"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/paas/survey"
	"islet/appliance/paas/v1alpha1"
	"islet/tui/screen"
	"islet/tui/theme"
)

// order is a release order while it is carried out, and how it went.
type order struct {
	*platform
	environment, name string
	scroll            scroll
	width             int
}

func newOrder(p *platform, environment, name string) *order {
	return &order{platform: p, environment: environment, name: name}
}

// Title implements screen.Page.
func (o *order) Title() string { return o.ctx.T("Order %s in %s", o.name, o.environment) }

// SetSize implements screen.Page.
func (o *order) SetSize(width, height int) { o.width, o.scroll.height = width, height }

// Start implements screen.Starter: it may have been made just now.
func (o *order) Start() tea.Cmd { return o.request() }

// Return implements screen.Returner: something may have been said to it.
func (o *order) Return() tea.Cmd { return o.request() }

// Command implements screen.Commander.
func (o *order) Command() screen.Command {
	return screen.Command{Args: []string{"order", "show", o.environment, o.name}, Kubectl: "kubectl -n " + o.environment + " describe releaseorder " + o.name}
}

// Keys implements screen.Page: what can be done about the order as it is.
func (o *order) Keys() []key.Binding {
	var keys []key.Binding
	found, ok := o.seen.Order(o.environment, o.name)
	switch {
	case !ok:
	case found.Phase == v1alpha1.PhaseDone:
		keys = append(keys, key.NewBinding(key.WithKeys("M"), key.WithHelp("M", "promote")), key.NewBinding(key.WithKeys("B"), key.WithHelp("B", "roll back")))
	case !found.Phase.Ended():
		if !found.Phase.Active() {
			keys = append(keys, key.NewBinding(key.WithKeys("A"), key.WithHelp("A", "approve")), key.NewBinding(key.WithKeys("X"), key.WithHelp("X", "refuse")))
		}
		if found.Paused {
			keys = append(keys, key.NewBinding(key.WithKeys("U"), key.WithHelp("U", "go on with it")))
		} else {
			keys = append(keys, key.NewBinding(key.WithKeys("P"), key.WithHelp("P", "pause")))
		}
		keys = append(keys, key.NewBinding(key.WithKeys("D"), key.WithHelp("D", "give up")))
	}
	return append(keys, keyJump)
}

// Update implements screen.Page.
func (o *order) Update(msg tea.Msg) tea.Cmd {
	k, ok := msg.(tea.KeyPressMsg)
	if !ok {
		return nil
	}
	if cmd, is := away(k); is {
		return cmd
	}
	if o.scroll.update(k) {
		return nil
	}
	found, ok := o.seen.Order(o.environment, o.name)
	if !ok || !slices.ContainsFunc(o.Keys(), func(b key.Binding) bool { return key.Matches(k, b) }) {
		return nil
	}
	return o.act(k.String(), found)
}

// View implements screen.Page.
func (o *order) View() string {
	s := &sheet{ctx: o.ctx, width: o.width}
	o.band(s, o.environment)
	if !o.told(s) {
		return join(s.lines, "")
	}
	found, ok := o.seen.Order(o.environment, o.name)
	if !ok {
		s.say(theme.Warning, "", o.ctx.T("%s is not known any more.", o.name))
		return join(s.lines, "")
	}
	o.facts(s, found)
	s.head(o.ctx.T("What happened, the newest first"))
	var rows []row
	for i, e := range slices.Backward(found.History) {
		rows = append(rows, row{fmt.Sprint(i), []cell{{text: o.moment(e.At.Time)}, {o.ctx.T(string(e.Phase)), phaseTone(e.Phase)}, {text: o.ctx.Say(e.Message)}}})
	}
	s.add(layOut(o.ctx, phaseColumns(), rows, o.width, -1)...)
	return o.scroll.view(o.ctx, s.lines)
}

func phaseColumns() []column {
	return []column{{title: "TIME"}, {title: "PHASE"}, {title: "WHY", flex: true}}
}

func (o *order) facts(s *sheet, found survey.Order) {
	s.field(o.ctx.T("Phase"), o.ctx.T("%s for %s", o.phaseText(found), o.age(found.Since)), phaseTone(found.Phase))
	for _, line := range [][2]string{
		{o.ctx.T("Why"), o.ctx.Say(found.Message)}, {o.ctx.T("Failed"), o.ctx.Say(found.Failure)}, {o.ctx.T("Release"), found.Release}, {o.ctx.T("Before it"), found.Previous},
		{o.ctx.T("Undoes"), found.RollbackOf}, {o.ctx.T("Made by"), found.Author}, {o.ctx.T("Strategy"), o.strategy(found)},
	} {
		if line[1] != "" && (line[1] != found.Message || line[1] != found.Failure) {
			s.field(line[0], line[1], theme.Plain)
		}
	}
	o.opinions(s, found)
	app, ok := o.seen.Application(o.environment, found.Application)
	if !ok || !found.Phase.Active() {
		return
	}
	s.field(o.ctx.T("Application"), o.stateText(app), stateOfApp(app.State))
	for _, c := range app.Components {
		s.field("  "+c.Name, o.ctx.T("%d of %d are new, %d answer", c.Updated, c.Wanted, c.Ready), theme.Plain)
	}
	o.sides(s, app)
}

// opinions says who has agreed, and how many still must.
func (o *order) opinions(s *sheet, found survey.Order) {
	if r := found.Refusal; r != nil {
		s.field(o.ctx.T("Refused by"), opinion(*r), theme.Bad)
	}
	for _, a := range found.Approvals {
		s.field(o.ctx.T("Approved by"), opinion(a), theme.Plain)
	}
	if missing := o.missing(found); missing > 0 && !found.Phase.Ended() {
		s.field(o.ctx.T("Approvals"), o.ctx.T("%d missing, by others than %s", missing, found.Author), theme.Warning)
	}
}

func opinion(said v1alpha1.Opinion) string {
	if said.Comment == "" {
		return said.By
	}
	return said.By + ": " + said.Comment
}

// missing is how many more must agree to an order. One that goes back needs nobody.
func (o *order) missing(found survey.Order) int {
	e, ok := o.seen.Environment(o.environment)
	if !ok || found.RollbackOf != "" {
		return 0
	}
	missing := int(e.Approvals)
	for _, a := range found.Approvals {
		if a.By != found.Author {
			missing--
		}
	}
	return max(0, missing)
}
