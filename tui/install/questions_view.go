package install

import (
	"fmt"
	"strings"

	"islet/appliance/wizard"
	"islet/tui/theme"
)

// View implements screen.Page: the step, what is known, its questions, and the help of the one with the focus.
func (q *questions) View() string {
	ctx, t := q.flow.ctx, q.flow.ctx.Theme
	if q.leaving {
		return t.Fit(lined([]string{"", t.Say(theme.Strong, ctx.T("Leave? Nothing has been changed.")), "", ctx.T("y leaves; any other key goes on")}), q.width, q.height)
	}
	step, number, of := q.step()
	head := []string{t.Say(theme.Strong, ctx.T("Step %d of %d: %s", number+1, of, ctx.T(step.Title))), ""}
	body := q.rows(step)
	var foot []string
	for _, p := range q.problem {
		if p != "" {
			foot = append(foot, indent("  "+t.Fail()+" ", p, q.width)...)
		}
	}
	foot = append(foot, "")
	foot = append(foot, indent("  ", q.help(step), q.width)...)
	room := q.height - len(head) - len(body) - len(foot)
	facts := q.facts(step, number)
	if len(facts) > room { // what is asked matters more
		facts = facts[:max(0, room)]
	}
	return t.Fit(lined(append(append(append(head, facts...), body...), foot...)), q.width, q.height)
}

// facts are what is known already; on the first screen who vouches for the file, too.
func (q *questions) facts(step wizard.Step, number int) []string {
	texts := step.Facts
	if number == 0 {
		texts = append([]wizard.Text{q.flow.engine.Trust.Text()}, texts...)
	}
	var lines []string
	for _, f := range texts {
		lines = append(lines, indent("  ", q.say(f), q.width)...)
	}
	if len(lines) > 0 {
		lines = append(lines, "")
	}
	return lines
}

// say is a text of the wizard in the language of the screen. What its arguments say may be known, too.
func (q *questions) say(text wizard.Text) string {
	return text.In(func(format string, args ...any) string { return q.flow.ctx.T(format, args...) })
}

func (q *questions) help(step wizard.Step) string {
	var said []string
	for _, o := range step.Questions {
		if o.ID == q.id {
			for _, text := range o.Help {
				said = append(said, q.say(text))
			}
		}
	}
	return strings.Join(said, " ")
}

// rows are a step's questions, a line each; the one with the focus has its options below it.
func (q *questions) rows(step wizard.Step) []string {
	ctx := q.flow.ctx
	label := 0
	for _, o := range step.Questions {
		label = max(label, theme.Width(ctx.T(o.Label)))
	}
	label = min(label, (q.width-4)*6/10)
	var lines []string
	for _, o := range step.Questions {
		if o.ID == q.id {
			lines = append(lines, q.focused(o, label)...)
		} else {
			lines = append(lines, "  "+ctx.Theme.Pad(ctx.T(o.Label), label)+"  "+q.shown(o))
		}
	}
	return lines
}

// shown is an answer in a word or two.
func (q *questions) shown(o wizard.Question) string {
	for _, option := range o.Options {
		if option.Value == o.Value {
			said := q.say(option.Label)
			if end := strings.IndexAny(said, ":："); end > 0 {
				said = said[:end]
			}
			return said
		}
	}
	if o.Value == "" {
		return q.flow.ctx.T("none")
	}
	return o.Value
}

func (q *questions) focused(o wizard.Question, label int) []string {
	ctx, t := q.flow.ctx, q.flow.ctx.Theme
	mark := t.Say(theme.Strong, t.Cursor()) + " "
	name := ctx.T(o.Label)
	if len(o.Options) == 0 {
		room := q.width - label - 5
		q.input.SetWidth(room - 1)
		lines := []string{mark + t.Say(theme.Strong, t.Pad(name, label)) + "  " + q.input.View()}
		if value := q.input.Value(); theme.Width(value) >= room { // all of it, to be compared with what it was copied from
			lines = append(lines, indent("    ", value, q.width)...)
		}
		return lines
	}
	lines := []string{mark + t.Say(theme.Strong, name)}
	for i, option := range o.Options {
		chosen := "   "
		if i == q.option {
			chosen = " " + t.Cursor() + " "
		}
		wrapped := indent(fmt.Sprintf("  %s%d  ", chosen, i+1), q.say(option.Label), q.width)
		if i == q.option {
			for n, line := range wrapped {
				wrapped[n] = t.Say(theme.Mark, t.Pad(line, q.width))
			}
		}
		lines = append(lines, wrapped...)
	}
	return lines
}
