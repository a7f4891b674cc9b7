package dashboard

import (
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"islet/appliance/paas/survey"
	"islet/appliance/paas/v1alpha1"
	"islet/tui/screen"
)

// newOrderForm asks which release is to come to which environment, and when. release is the one that is offered first; empty is
// the newest.
func newOrderForm(p *platform, environment, application, release string) tea.Cmd {
	e, _ := p.seen.Environment(environment)
	line := p.seen.Line(e.Tenant)
	known := p.releases(line, application)
	if len(known) == 0 {
		return screen.Push(screen.NewNotice(p.ctx, p.ctx.T("There is no release of %s", application),
			p.ctx.T("A release is made from the application in the first environment:"), "",
			screen.Command{Args: []string{"release", "create", line[0].Name, application, "VERSION", "--image", "IMAGE@DIGEST"}}.Line()))
	}
	f := &form{board: p.board, title: p.ctx.T("New order of %s", application),
		intro: p.ctx.T("An order brings a release into an environment, watches it there, and goes back by itself when it is not well.")}
	var places []choice
	for _, e := range line {
		places = append(places, choice{value: e.Name, shown: p.named(e)})
	}
	where := f.choose(p.ctx.T("Environment"), places, slices.IndexFunc(line, func(l survey.Environment) bool { return l.Name == environment }))
	which := f.choose(p.ctx.T("Release"), known, slices.IndexFunc(known, func(c choice) bool { return c.value == release }))
	who := f.choose(p.ctx.T("In the name of"), p.members(environment, v1alpha1.RoleOwner, v1alpha1.RoleDeployer), 0)
	how := f.choose(p.ctx.T("Strategy"), []choice{{"", p.ctx.T("Rolling")}, {"blue-green", p.ctx.T("BlueGreen")}, {"ab", p.ctx.T("AB")}}, 0)
	how.note = p.ctx.T("One pod after the other; all at once beside the old ones; or a part of the requests first.")
	well := f.choose(p.ctx.T("Watch it for"), choicesOf("10s", "1m", "5m", "30m", "1h", "12h"), 0)
	steps := f.ask(p.ctx.T("Steps"), p.ctx.T("Of AB: PERCENT:TIME of the requests, such as 10:5m 50:10m; empty is 50:30s."), "")
	start := f.ask(p.ctx.T("Not before"), p.ctx.T("Empty is as soon as it may; else a time such as 2026-11-22T22:00:00Z."), "")
	f.command = func() screen.Command {
		args := append([]string{"order", "create", where.value(), which.value(), "--verify", well.value()}, as(who)...)
		args = flagged(args, "--strategy", how.value())
		for step := range strings.FieldsSeq(steps.value()) {
			if how.value() == "ab" {
				args = append(args, "--step", step)
			}
		}
		return screen.Command{Args: flagged(args, "--start", start.value())}
	}
	f.done = func() tea.Cmd {
		c := f.command()
		c.Args = append(c.Args, "-o", "json")
		return p.do(where.value(), application, screen.Action{Title: f.title, Command: c, Affects: p.expect(where.value(), application, which.value()), Done: p.follow(c)})
	}
	return screen.Push(f)
}

// named is an environment with the word that nobody may overlook.
func (p *platform) named(e survey.Environment) string {
	if e.Prod() {
		return e.Name + " PROD"
	}
	return e.Name
}

// releases are those of an application in a line of environments, the newest first, with where each is known.
func (p *platform) releases(line []survey.Environment, application string) []choice {
	var out []choice
	for _, r := range p.seen.Releases {
		i := slices.IndexFunc(line, func(e survey.Environment) bool { return e.Name == r.Environment })
		if i < 0 || r.Application != application {
			continue
		}
		at := slices.IndexFunc(out, func(c choice) bool { return c.value == r.Name })
		if at < 0 {
			at = len(out)
			out = append(out, choice{r.Name, r.Name + ":"})
		}
		out[at].shown += " " + line[i].Short
	}
	return out
}

// expect says what an order will come to.
func (p *platform) expect(environment, application, release string) []string {
	now := p.ctx.T("nothing")
	if app, ok := p.seen.Application(environment, application); ok {
		now = running(app)
		if app.Release != "" {
			now = app.Release
		}
	}
	lines := []string{p.ctx.T("%s in %s: now %s, then %s", application, environment, now, release)}
	if e, _ := p.seen.Environment(environment); e.Approvals > 0 {
		lines = append(lines, p.ctx.T("%d must approve of it before anything changes.", int(e.Approvals)))
	}
	return lines
}

// newReleaseForm asks for a version of an application, made from what it is in an environment.
func newReleaseForm(p *platform, environment, application string) *form {
	f := &form{board: p.board, title: p.ctx.T("New release of %s", application),
		intro: p.ctx.T("A release is what %s is in %s now, with another image where one is named. It never changes, and nothing runs yet.", application, environment)}
	version := f.ask(p.ctx.T("Version"), p.ctx.T("Such as 1.2; a to z, 0 to 9, . and -"), "")
	image := f.ask(p.ctx.T("Image"), p.ctx.T("[COMPONENT=]IMAGE@DIGEST, as appliance image list has it; empty is the one that runs."), "")
	notes := f.ask(p.ctx.T("Notes"), p.ctx.T("For people; may be empty."), "")
	f.command = func() screen.Command {
		args := []string{"release", "create", environment, application, strings.TrimSpace(version.value())}
		return screen.Command{Args: flagged(flagged(args, "--image", image.value()), "--notes", notes.value())}
	}
	f.done = func() tea.Cmd { return f.make(version) }
	return f
}
