package dashboard

import (
	"slices"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/paas/survey"
	"islet/tui/screen"
	"islet/tui/theme"
)

// applications are a tenant's environments side by side: a line for each application, a column for each environment.
type applications struct {
	*platform
	tenant        string // shown
	app, at       int    // the cell with the cursor: application, environment
	top           int
	width, height int
}

func newApplications(b *board) *applications {
	return &applications{platform: &platform{board: b}}
}

func (a *applications) setSize(width, height int)  { a.width, a.height = width, height }
func (a *applications) show() tea.Cmd              { return a.request() }
func (a *applications) update(msg tea.Msg) tea.Cmd { return a.receive(msg) }
func (a *applications) typing() bool               { return false }

func (a *applications) command() screen.Command {
	return screen.Command{Args: []string{"app", "list"}, Kubectl: "kubectl get applications -A"}
}

func (a *applications) keys() []key.Binding {
	return []key.Binding{
		keyOpen,
		key.NewBinding(key.WithKeys("o"), key.WithHelp("o", "orders")),
		key.NewBinding(key.WithKeys("N"), key.WithHelp("N", "new order")),
		key.NewBinding(key.WithKeys("d"), key.WithHelp("d", "compare settings")),
		key.NewBinding(key.WithKeys("t"), key.WithHelp("t", "tenants")),
		key.NewBinding(key.WithKeys("left", "right"), key.WithHelp("h/l", "environment")),
	}
}

// line are the environments that are shown, and the names of what runs in any of them. A tenant that is not there any more gives
// way to the first.
func (a *applications) line() (line []survey.Environment, names []string) {
	if _, ok := a.seen.Tenant(a.tenant); !ok {
		a.tenant = ""
		if len(a.seen.Tenants) > 0 {
			a.tenant = a.seen.Tenants[0].Name
		}
	}
	line = a.seen.Line(a.tenant)
	for _, app := range a.seen.Applications {
		if slices.ContainsFunc(line, func(e survey.Environment) bool { return e.Name == app.Environment }) {
			names = append(names, app.Name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	a.at, a.app = max(0, min(a.at, len(line)-1)), max(0, min(a.app, len(names)-1))
	return line, names
}

func (a *applications) key(msg tea.KeyPressMsg) tea.Cmd {
	line, names := a.line()
	switch msg.String() {
	case "up", "k":
		a.app--
	case "down", "j":
		a.app++
	case "left", "h":
		a.at--
	case "right", "l":
		a.at++
	case "home", "<":
		a.app = 0
	case "end", ">":
		a.app = len(names)
	case "t":
		return screen.Push(newTenants(a))
	case "o":
		return screen.Push(newOrders(a.platform, "", ""))
	case "enter", "N", "d":
		if len(line) > 0 {
			return a.open(msg.String(), line, names)
		}
	}
	a.line()
	return nil
}

// open shows what the cursor is on.
func (a *applications) open(k string, line []survey.Environment, names []string) tea.Cmd {
	environment := line[a.at].Name
	switch {
	case k == "d" && len(line) > 1:
		left, right := line[max(0, a.at-1)].Name, line[max(1, a.at)].Name
		return screen.Push(newDifference(a.board, left, right))
	case k == "d" || len(names) == 0:
		return nil
	case k == "N":
		return newOrderForm(a.platform, environment, names[a.app], "")
	}
	return screen.Push(newApplication(a.platform, environment, names[a.app]))
}

// newDifference shows in which settings two environments differ.
func newDifference(b *board, left, right string) screen.Page {
	return newOutput(b, b.ctx.T("%s and %s", left, right), screen.Command{Args: []string{"config", "diff", left, right}})
}

func (a *applications) view() string {
	s := &sheet{ctx: a.ctx, width: a.width}
	if !a.told(s) {
		return join(s.lines, "")
	}
	line, names := a.line()
	switch {
	case a.tenant == "":
		s.say(theme.Plain, "", a.ctx.T("There is no tenant yet. A tenant is a team with environments of its own: t, then N, makes one."))
		return join(s.lines, "")
	case len(line) == 0:
		s.say(theme.Plain, "", a.ctx.T("Tenant %s has no environment yet: t, then E, makes one.", a.tenant))
		return join(s.lines, "")
	}
	s.add(a.ctx.Theme.Say(theme.Strong, a.ctx.T("Tenant %s", a.tenant)) + "  " + a.ctx.Theme.Say(theme.Dim, a.ctx.T("%d of %d", 1+slices.IndexFunc(a.seen.Tenants, func(t survey.Tenant) bool { return t.Name == a.tenant }), len(a.seen.Tenants))))
	s.add("")
	below := a.below(line, names)
	s.add(a.matrix(line, names, a.height-len(s.lines)-len(below))...)
	s.add(below...)
	return join(s.lines, "")
}

// below says more of what the cursor is on.
func (a *applications) below(line []survey.Environment, names []string) []string {
	s := &sheet{ctx: a.ctx, width: a.width, lines: []string{""}}
	if a.marked(line, names) {
		s.say(theme.Dim, "", a.ctx.T("* is not what is in the environment before."))
	}
	e := line[a.at]
	if !e.Ready {
		s.say(theme.Warning, a.ctx.Theme.Wait()+" ", a.ctx.T("%s is not ready: %s", e.Name, a.ctx.Say(e.Why)))
	}
	if len(names) == 0 {
		s.say(theme.Plain, "", a.ctx.T("Nothing runs here yet. The first version of an application comes from a file: appliance app apply -f FILE"))
		return s.lines
	}
	name := names[a.app]
	app, ok := a.seen.Application(e.Name, name)
	if !ok {
		s.say(theme.Plain, "", a.ctx.T("%s is not in %s. N orders a release for it.", name, e.Name))
		return s.lines
	}
	s.say(stateOfApp(app.State), "", a.ctx.T("%s in %s: %s", name, e.Name, a.stateText(app)))
	for _, o := range a.seen.Orders {
		if o.Environment == e.Name && o.Application == name && !o.Phase.Ended() {
			s.say(phaseTone(o.Phase), "", a.ctx.T("Order %s: %s. %s", o.Name, a.phaseText(o), a.ctx.Say(why(o))))
		}
	}
	return s.lines
}
