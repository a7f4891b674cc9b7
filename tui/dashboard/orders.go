package dashboard

import (
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/paas/survey"
	"islet/appliance/paas/v1alpha1"
	"islet/tui/screen"
	"islet/tui/theme"
)

// orders are release orders with how far each has come: all, those of an environment, or those of an application in one.
type orders struct {
	*platform
	environment, application string // empty for all
	table                    table
}

func newOrders(p *platform, environment, application string) *orders {
	return &orders{platform: p, environment: environment, application: application, table: table{ctx: p.ctx, columns: orderColumns(true)}}
}

// Title implements screen.Page.
func (o *orders) Title() string {
	if o.application != "" {
		return o.ctx.T("Orders of %s", o.application)
	}
	return o.ctx.T("Orders")
}

// SetSize implements screen.Page.
func (o *orders) SetSize(width, height int) { o.table.width, o.table.height = width, height }

// Return implements screen.Returner: something may have been done.
func (o *orders) Return() tea.Cmd { return o.request() }

// Typing implements screen.Typing.
func (o *orders) Typing() bool { return o.table.typing }

// Command implements screen.Commander.
func (o *orders) Command() screen.Command {
	c := screen.Command{Args: []string{"order", "list"}, Kubectl: "kubectl get releaseorders -A"}
	if o.environment != "" {
		c.Args, c.Kubectl = append(c.Args, o.environment), "kubectl -n "+o.environment+" get releaseorders"
	}
	return c
}

// Keys implements screen.Page.
func (o *orders) Keys() []key.Binding {
	keys := []key.Binding{keyOpen}
	if o.application != "" {
		keys = append(keys, key.NewBinding(key.WithKeys("N"), key.WithHelp("N", "new order")))
	}
	return append(keys, keyFilter, keyJump)
}

// Update implements screen.Page.
func (o *orders) Update(msg tea.Msg) tea.Cmd {
	k, ok := msg.(tea.KeyPressMsg)
	if !ok {
		return nil
	}
	if cmd, is := away(k); is && !o.table.typing {
		return cmd
	}
	o.table.fill(orderRows(o.platform, o.environment, o.application))
	switch {
	case o.table.update(k):
	case k.String() == "N" && o.application != "":
		return newOrderForm(o.platform, o.environment, o.application, "")
	case k.String() == "enter" && o.table.selected() != "":
		environment, name, _ := strings.Cut(o.table.selected(), "/")
		return screen.Push(newOrder(o.platform, environment, name))
	}
	return nil
}

// View implements screen.Page.
func (o *orders) View() string {
	s := &sheet{ctx: o.ctx, width: o.table.width}
	if !o.told(s) {
		return join(s.lines, "")
	}
	if o.environment != "" {
		o.band(s, o.environment)
	}
	if o.seen.Older > 0 {
		s.say(theme.Dim, "", o.ctx.T("These are the newest; %d are older: appliance order list", o.seen.Older))
	}
	o.table.fill(orderRows(o.platform, o.environment, o.application))
	t := o.table
	t.height -= len(s.lines)
	text := t.view()
	o.table.top = t.top
	return join(s.lines, text)
}

func orderColumns(all bool) []column {
	columns := []column{{title: "ENVIRONMENT", most: 20}, {title: "ORDER", most: 24}, {title: "PHASE"}, {title: "SINCE", right: true}, {title: "BY", from: 100, most: 16}, {title: "WHY", flex: true}}
	if !all {
		columns = columns[1:]
	}
	return columns
}

// orderRows are the orders of an environment and application, the newest first. An empty environment means all, with a column for it.
func orderRows(p *platform, environment, application string) []row {
	var rows []row
	for _, o := range p.seen.Orders {
		if environment != "" && o.Environment != environment || application != "" && o.Application != application {
			continue
		}
		cells := []cell{{text: o.Environment}, {text: o.Name}, {p.phaseText(o), phaseTone(o.Phase)}, {text: p.age(o.Since)}, {text: o.Author}, {text: p.ctx.Say(why(o))}}
		rows = append(rows, row{o.Environment + "/" + o.Name, cells})
	}
	return rows
}

// why is the one cause of an order's phase.
func why(o survey.Order) string {
	if o.Failure != "" {
		return o.Failure
	}
	return o.Message
}

// phaseText is the phase, and that it is held up where it is.
func (p *platform) phaseText(o survey.Order) string {
	text := p.ctx.T(string(o.Phase))
	if o.Paused && !o.Phase.Ended() {
		text += ", " + p.ctx.T("paused")
	}
	return text
}

func phaseTone(phase v1alpha1.Phase) theme.Tone {
	switch phase {
	case v1alpha1.PhaseDone:
		return theme.Good
	case v1alpha1.PhaseRefused, v1alpha1.PhaseFailed, v1alpha1.PhaseRollingBack, v1alpha1.PhaseRolledBack:
		return theme.Bad
	case v1alpha1.PhasePending, v1alpha1.PhaseWaiting, v1alpha1.PhaseRunning, v1alpha1.PhaseVerifying:
		return theme.Warning
	case v1alpha1.PhaseAbandoned:
		return theme.Dim
	case v1alpha1.PhaseDraft, v1alpha1.PhaseChecked, v1alpha1.PhaseApproved:
	}
	return theme.Plain
}
