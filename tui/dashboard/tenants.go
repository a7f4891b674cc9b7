package dashboard

import (
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/paas/v1alpha1"
	"islet/tui/screen"
	"islet/tui/theme"
)

// tenants are those of the site, to choose one whose applications are shown.
type tenants struct {
	*applications
	table table
}

func newTenants(a *applications) *tenants {
	return &tenants{applications: a, table: table{ctx: a.ctx, columns: tenantColumns(), chosen: a.tenant}}
}

func tenantColumns() []column {
	return []column{{title: "TENANT", most: 20}, {title: "ENVIRONMENTS", most: 36}, {title: "MEMBERS", from: 100, most: 40}, {title: "STATE", flex: true}}
}

// Title implements screen.Page.
func (t *tenants) Title() string { return t.ctx.T("Tenants") }

// SetSize implements screen.Page.
func (t *tenants) SetSize(width, height int) { t.table.width, t.table.height = width, height }

// Return implements screen.Returner: one may have been made.
func (t *tenants) Return() tea.Cmd { return t.request() }

// Typing implements screen.Typing.
func (t *tenants) Typing() bool { return t.table.typing }

// Command implements screen.Commander.
func (t *tenants) Command() screen.Command {
	return screen.Command{Args: []string{"tenant", "list"}, Kubectl: "kubectl get tenants"}
}

// Keys implements screen.Page.
func (t *tenants) Keys() []key.Binding {
	return []key.Binding{
		key.NewBinding(key.WithKeys("enter"), key.WithHelp("Enter", "show")),
		key.NewBinding(key.WithKeys("N"), key.WithHelp("N", "new tenant")),
		key.NewBinding(key.WithKeys("E"), key.WithHelp("E", "new environment")),
		keyFilter, keyJump,
	}
}

// Update implements screen.Page.
func (t *tenants) Update(msg tea.Msg) tea.Cmd {
	k, ok := msg.(tea.KeyPressMsg)
	if !ok {
		return nil
	}
	if cmd, is := away(k); is && !t.table.typing {
		return cmd
	}
	t.table.fill(t.rows())
	if t.table.update(k) {
		return nil
	}
	chosen := t.table.selected()
	switch k.String() {
	case "N":
		return screen.Push(newTenantForm(t.platform))
	case "E":
		if chosen != "" {
			return screen.Push(newEnvironmentForm(t.platform, chosen))
		}
	case "enter":
		if chosen != "" {
			t.tenant, t.app, t.at = chosen, 0, 0
			return screen.Pop()
		}
	}
	return nil
}

// View implements screen.Page.
func (t *tenants) View() string {
	s := &sheet{ctx: t.ctx, width: t.table.width}
	if !t.told(s) {
		return join(s.lines, "")
	}
	t.table.fill(t.rows())
	shown := t.table
	shown.height -= len(s.lines)
	text := shown.view()
	t.table.top = shown.top
	return join(s.lines, text)
}

func (t *tenants) rows() []row {
	var rows []row
	for _, one := range t.seen.Tenants {
		var line, members []string
		for _, e := range t.seen.Line(one.Name) {
			line = append(line, e.Short)
		}
		for _, m := range one.Members {
			members = append(members, m.Name+" ("+t.ctx.T(string(m.Role))+")")
		}
		state := cell{t.ctx.T("ready"), theme.Good}
		if !one.Ready {
			state = cell{t.ctx.T("not-ready") + ": " + t.ctx.Say(one.Why), theme.Warning}
		}
		rows = append(rows, row{one.Name, []cell{{text: one.Name}, {text: orDash(commas(line))}, {text: orDash(commas(members))}, state}})
	}
	return rows
}

// newTenantForm asks for what a tenant needs.
func newTenantForm(p *platform) *form {
	f := &form{board: p.board, title: p.ctx.T("New tenant"), intro: p.ctx.T("A tenant is a team, customer or department. Others cannot see, reach or exhaust what it has.")}
	name := f.ask(p.ctx.T("Name"), p.ctx.T("At most 20 characters, a to z, 0 to 9 and -: it is part of host names."), "")
	owner := f.ask(p.ctx.T("Owner"), p.ctx.T("A user of the Kubernetes API, who may say who else is let in and approves of releases; may be empty."), "")
	deployer := f.ask(p.ctx.T("Deployer"), p.ctx.T("A user who may change what runs; may be empty. More members: appliance tenant set"), "")
	quota := f.ask(p.ctx.T("Quota"), p.ctx.T("What all its environments may use, such as cpu=8,memory=16Gi; empty is no bound."), "")
	f.command = func() screen.Command {
		args := []string{"tenant", "create", strings.TrimSpace(name.value())}
		for _, m := range [][2]string{{owner.value(), "owner"}, {deployer.value(), "deployer"}} {
			if m[0] != "" {
				args = append(args, "--member", "User:"+m[0]+"="+m[1])
			}
		}
		return screen.Command{Args: flagged(args, "--quota", quota.value())}
	}
	f.done = func() tea.Cmd { return f.make(name) }
	return f
}

// newEnvironmentForm asks for what an environment of a tenant needs.
func newEnvironmentForm(p *platform, tenant string) *form {
	f := &form{board: p.board, title: p.ctx.T("New environment of %s", tenant), intro: p.ctx.T("The class says how careful the platform is: prod has at least 2 replicas of everything, and asks for approval.")}
	class := f.choose(p.ctx.T("Class"), choicesOf(string(v1alpha1.ClassDev), string(v1alpha1.ClassTest), string(v1alpha1.ClassRelease), string(v1alpha1.ClassProd)), len(p.seen.Line(tenant)))
	name := f.ask(p.ctx.T("Name"), p.ctx.T("Empty is that of the class. It is part of host names."), "")
	quota := f.ask(p.ctx.T("Quota"), p.ctx.T("What may be used here, such as cpu=4,memory=8Gi; empty is no bound."), "")
	approvals := f.choose(p.ctx.T("Approvals"), append([]choice{{shown: p.ctx.T("as the class has it")}}, choicesOf("0", "1", "2", "3")...), 0)
	f.command = func() screen.Command {
		args := []string{"env", "create", tenant, class.value()}
		if n := strings.TrimSpace(name.value()); n != "" {
			args = []string{"env", "create", tenant, n, "--class", class.value()}
		}
		return screen.Command{Args: flagged(flagged(args, "--quota", quota.value()), "--approvals", approvals.value())}
	}
	f.done = func() tea.Cmd { return f.make(nil) }
	return f
}

// make asks before something new is made, once it has a name. needed is nil where it has one in any case.
func (f *form) make(needed *question) tea.Cmd {
	if needed != nil && strings.TrimSpace(needed.value()) == "" {
		return nil
	}
	return screen.Push(screen.NewConfirm(f.ctx, screen.Action{Title: f.title, Command: f.command(), Affects: []string{f.intro}, Done: f.leave()}))
}

// flagged adds a flag that has a value.
func flagged(args []string, flag, value string) []string {
	if value = strings.TrimSpace(value); value == "" {
		return args
	}
	return append(args, flag, value)
}
