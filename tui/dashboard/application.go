package dashboard

import (
	"fmt"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/paas/survey"
	"islet/tui/screen"
	"islet/tui/theme"
)

// application is one in an environment: how it is, what it consists of, and which orders made it so.
type application struct {
	*platform
	environment, name string
	scroll            scroll
	width             int
}

func newApplication(p *platform, environment, name string) *application {
	return &application{platform: p, environment: environment, name: name}
}

// Title implements screen.Page.
func (a *application) Title() string { return a.ctx.T("%s in %s", a.name, a.environment) }

// SetSize implements screen.Page.
func (a *application) SetSize(width, height int) { a.width, a.scroll.height = width, height }

// Return implements screen.Returner: something may have been done.
func (a *application) Return() tea.Cmd { return a.request() }

// Command implements screen.Commander.
func (a *application) Command() screen.Command {
	return screen.Command{Args: []string{"app", "show", a.environment, a.name}, Kubectl: "kubectl -n " + a.environment + " describe application " + a.name}
}

// Keys implements screen.Page.
func (a *application) Keys() []key.Binding {
	return []key.Binding{
		keyLog,
		key.NewBinding(key.WithKeys("o"), key.WithHelp("o", "orders")),
		key.NewBinding(key.WithKeys("N"), key.WithHelp("N", "new order")),
		key.NewBinding(key.WithKeys("V"), key.WithHelp("V", "make a release")),
		keyRestart,
		key.NewBinding(key.WithKeys("C"), key.WithHelp("C", "scale")),
		key.NewBinding(key.WithKeys("A"), key.WithHelp("A", "start")),
		key.NewBinding(key.WithKeys("Z"), key.WithHelp("Z", "stop")),
		keyJump,
	}
}

// Update implements screen.Page.
func (a *application) Update(msg tea.Msg) tea.Cmd {
	k, ok := msg.(tea.KeyPressMsg)
	if !ok {
		return nil
	}
	if cmd, is := away(k); is {
		return cmd
	}
	if a.scroll.update(k) {
		return nil
	}
	return a.act(k.String())
}

// act shows more of the application, or asks before it is changed.
func (a *application) act(k string) tea.Cmd {
	command := func(verb string) screen.Command {
		return screen.Command{Args: []string{"app", verb, a.environment, a.name}}
	}
	switch k {
	case "l":
		c := command("logs")
		c.Args = append(c.Args, "--lines", "1000")
		return screen.Push(newOutput(a.board, a.ctx.T("Log of %s", a.name), c))
	case "o":
		return screen.Push(newOrders(a.platform, a.environment, a.name))
	case "N":
		return newOrderForm(a.platform, a.environment, a.name, "")
	case "V":
		return screen.Push(newReleaseForm(a.platform, a.environment, a.name))
	case "C":
		return a.scale()
	case "R":
		return a.do(a.environment, a.name, screen.Action{Title: a.ctx.T("Restart %s", a.name), Command: command("restart"),
			Affects: []string{a.ctx.T("Its pods are replaced, each when the one before is ready: it goes on answering.")}})
	case "A":
		return a.do(a.environment, a.name, screen.Action{Title: a.ctx.T("Start %s", a.name), Command: command("start"),
			Affects: []string{a.ctx.T("It comes back with as many replicas as it had.")}})
	case "Z":
		return a.do(a.environment, a.name, screen.Action{Title: a.ctx.T("Stop %s", a.name), Command: command("stop"), Word: a.name,
			Affects: []string{a.ctx.T("All its pods end, and nobody answers. Its volumes, names and routes stay.")}})
	}
	return nil
}

// scale asks of which component there are to be how many replicas.
func (a *application) scale() tea.Cmd {
	app, ok := a.seen.Application(a.environment, a.name)
	if !ok || len(app.Components) == 0 {
		return nil
	}
	f := &form{board: a.board, title: a.ctx.T("Scale %s", a.name), intro: a.ctx.T("More replicas take more load and survive more; the environment says how few there may be.")}
	var components []choice
	for _, c := range app.Components {
		components = append(components, choice{value: c.Name})
	}
	component := f.choose(a.ctx.T("Component"), components, 0)
	number := f.ask(a.ctx.T("Replicas"), "", fmt.Sprint(max(1, app.Components[0].Wanted)))
	f.command = func() screen.Command {
		return screen.Command{Args: []string{"app", "scale", a.environment, a.name, component.value() + "=" + number.value()}}
	}
	f.done = func() tea.Cmd {
		return a.do(a.environment, a.name, screen.Action{Title: f.title, Command: f.command()})
	}
	f.at = 1
	return screen.Push(f)
}

// View implements screen.Page.
func (a *application) View() string {
	s := &sheet{ctx: a.ctx, width: a.width}
	a.band(s, a.environment)
	if !a.told(s) {
		return join(s.lines, "")
	}
	if app, ok := a.seen.Application(a.environment, a.name); ok {
		a.facts(s, app)
	} else {
		s.say(theme.Plain, "", a.ctx.T("%s is not in %s. N orders a release for it.", a.name, a.environment))
	}
	s.head(a.ctx.T("Orders, the newest first"))
	rows := orderRows(a.platform, a.environment, a.name)
	if len(rows) == 0 {
		s.add("  " + a.ctx.Theme.Say(theme.Dim, a.ctx.T("nothing")))
	} else {
		for i := range rows {
			rows[i].cells = rows[i].cells[1:] // all are in this environment
		}
		s.add(layOut(a.ctx, orderColumns(false), rows, a.width, -1)...)
	}
	return a.scroll.view(a.ctx, s.lines)
}

func (a *application) facts(s *sheet, app survey.Application) {
	s.field(a.ctx.T("State"), a.stateText(app), stateOfApp(app.State))
	release := app.Release
	if release == "" {
		release = a.ctx.T("none: it was applied as it is")
	}
	s.field(a.ctx.T("Release"), release, theme.Plain)
	if known := a.versions(); len(known) > 0 {
		s.field(a.ctx.T("Releases"), commas(known), theme.Plain)
	}
	for _, u := range app.URLs {
		s.field(a.ctx.T("Reached at"), u, theme.Plain)
	}
	a.sides(s, app)
	s.head(a.ctx.T("Components"))
	var rows []row
	for _, c := range app.Components {
		ready := cell{text: fmt.Sprintf("%d/%d", c.Ready, c.Wanted)}
		if c.Ready < c.Wanted {
			ready.tone = theme.Warning
		}
		rows = append(rows, row{c.Name, []cell{{text: c.Name}, ready, {text: fmt.Sprint(c.Updated)}, {text: c.Image}}})
	}
	s.add(layOut(a.ctx, replicaColumns(), rows, a.width, -1)...)
}

// mostVersions is how many releases the page of an application names.
const mostVersions = 8

// versions are the newest releases of the application that an order could bring here.
func (a *application) versions() []string {
	e, _ := a.seen.Environment(a.environment)
	var names []string
	for _, c := range a.releases(a.seen.Line(e.Tenant), a.name) {
		names = append(names, c.value)
	}
	if over := len(names) - mostVersions; over > 0 {
		return append(names[:mostVersions], a.ctx.Theme.Ellipsis())
	}
	return names
}

func replicaColumns() []column {
	return []column{{title: "COMPONENT", most: 20}, {title: "READY", right: true}, {title: "NEW", right: true}, {title: "IMAGE", flex: true}}
}
