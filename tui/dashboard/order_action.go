package dashboard

import (
	"encoding/json"
	"slices"

	tea "charm.land/bubbletea/v2"

	"islet/appliance/paas/survey"
	"islet/appliance/paas/v1alpha1"
	"islet/tui/screen"
)

// administrator is whom the API takes a command for that is not run in the name of somebody else.
const administrator = "islet:admin"

// act does what a key of the order's page stands for, after asking.
func (o *order) act(k string, found survey.Order) tea.Cmd {
	a := screen.Action{Command: screen.Command{Args: []string{"order", "", o.environment, o.name}}}
	switch k {
	case "A":
		return o.say(found, "approve", o.ctx.T("Approve %s", o.name), o.ctx.T("Who approves says that %s may come to %s. Nobody approves of an order of their own.", found.Release, o.environment), false)
	case "X":
		return o.say(found, "refuse", o.ctx.T("Refuse %s", o.name), o.ctx.T("A refusal is for good: the release then needs another order."), true)
	case "P":
		a.Title, a.Command.Args[1] = o.ctx.T("Pause %s", o.name), "pause"
		a.Affects = []string{o.ctx.T("It goes no further. Pods that are new stay so, and the others stay as they were.")}
	case "U":
		a.Title, a.Command.Args[1] = o.ctx.T("Go on with %s", o.name), "resume"
		a.Affects = []string{o.ctx.T("It goes on from where it is.")}
	case "D":
		a.Title, a.Command.Args[1], a.Word = o.ctx.T("Give %s up", o.name), "abandon", o.name
		a.Affects = []string{o.ctx.T("It ends for good. If it has begun, %s goes back to what was there before.", found.Application)}
	case "B":
		return o.rollBack(found)
	case "M":
		return o.promote(found)
	default:
		return nil
	}
	return o.do(o.environment, o.name, a)
}

// say asks who says something of an order, and what.
func (o *order) say(found survey.Order, verb, title, intro string, final bool) tea.Cmd {
	f := &form{board: o.board, title: title, intro: intro}
	who := f.choose(o.ctx.T("In the name of"), o.speakers(found), 0)
	comment := f.ask(o.ctx.T("Comment"), o.ctx.T("It stays with the order."), "")
	f.command = func() screen.Command {
		args := append([]string{"order", verb, o.environment, o.name}, as(who)...)
		if text := comment.value(); text != "" {
			args = append(args, "--comment", text)
		}
		return screen.Command{Args: args}
	}
	f.done = func() tea.Cmd {
		a := screen.Action{Title: title, Command: f.command(), Affects: []string{intro}, Done: f.leave()}
		if final {
			a.Word = o.name
		}
		return o.do(o.environment, o.name, a)
	}
	return screen.Push(f)
}

// leave shows what an action came to, and leaves the form that it was asked in.
func (f *form) leave() func(screen.Result) tea.Cmd {
	return func(r screen.Result) tea.Cmd {
		return screen.Replace(screen.NewNotice(f.ctx, f.title, r.Output, f.ctx.T("Done.")))
	}
}

// as is the flag for somebody else's name.
func as(who *question) []string {
	if name := who.value(); name != "" {
		return []string{"--as", name}
	}
	return nil
}

// speakers are those who may judge an order, first who has not made it and not spoken: owners of the tenant and the administrator.
func (o *order) speakers(found survey.Order) []choice {
	all := o.members(o.environment, v1alpha1.RoleOwner)
	spoken := func(c choice) int {
		name := c.value
		if name == "" {
			name = administrator
		}
		if name == found.Author || slices.ContainsFunc(found.Approvals, func(a v1alpha1.Opinion) bool { return a.By == name }) {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(all, func(a, b choice) int { return spoken(a) - spoken(b) })
	return all
}

// members are the users of an environment's tenant with one of the roles, after the administrator of the site.
func (p *platform) members(environment string, roles ...v1alpha1.Role) []choice {
	out := []choice{{shown: p.ctx.T("the site's administrator")}}
	e, _ := p.seen.Environment(environment)
	t, _ := p.seen.Tenant(e.Tenant)
	for _, m := range t.Members {
		if m.Kind == "User" && slices.Contains(roles, m.Role) {
			out = append(out, choice{m.Name, m.Name + ", " + p.ctx.T(string(m.Role))})
		}
	}
	return out
}

// rollBack goes back to the release that was there before the order.
func (o *order) rollBack(found survey.Order) tea.Cmd {
	if found.Previous == "" {
		return screen.Push(screen.NewNotice(o.ctx, o.ctx.T("There is nothing to go back to"), o.ctx.T("No release was there before this order.")))
	}
	command := screen.Command{Args: []string{"order", "rollback", o.environment, o.name, "-o", "json"}}
	return o.do(o.environment, o.name, screen.Action{
		Title: o.ctx.T("Roll %s back", o.name), Command: command, Word: o.name, Done: o.follow(command),
		Affects: []string{o.ctx.T("A new order brings %s back to %s. It needs no approval, and no freeze holds it up.", found.Previous, o.environment)},
	})
}

// promote orders the same release for the next environment of the line.
func (o *order) promote(found survey.Order) tea.Cmd {
	e, _ := o.seen.Environment(o.environment)
	line := o.seen.Line(e.Tenant)
	at := slices.IndexFunc(line, func(l survey.Environment) bool { return l.Name == e.Name })
	if at < 0 || at+1 >= len(line) {
		return screen.Push(screen.NewNotice(o.ctx, o.ctx.T("There is no next environment"), o.ctx.T("%s is the last one of its line.", o.environment)))
	}
	return newOrderForm(o.platform, line[at+1].Name, found.Application, found.Release)
}

// follow shows the order that a command has made instead of the page that it was asked on.
func (p *platform) follow(command screen.Command) func(screen.Result) tea.Cmd {
	return func(r screen.Result) tea.Cmd {
		var made struct{ Environment, Name string }
		if err := json.Unmarshal([]byte(r.Output), &made); err != nil {
			return screen.Push(screen.NewError(p.ctx, command, screen.Result{Output: r.Output, Err: err}))
		}
		return screen.Replace(newOrder(p, made.Environment, made.Name))
	}
}
