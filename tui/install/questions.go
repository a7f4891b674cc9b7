package install

import (
	"errors"
	"slices"
	"strings"

	"charm.land/bubbles/v2/key"
	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/config"
	"islet/appliance/host"
	"islet/appliance/wizard"
	"islet/tui/screen"
)

// The keys of the questions. Each has one that is a single byte and no letter, so that it works while typing.
var (
	keyNext  = key.NewBinding(key.WithKeys("enter"), key.WithHelp("Enter", "next"))
	keyBack  = key.NewBinding(key.WithKeys("esc", "shift+tab", "<"), key.WithHelp("Esc", "back"))
	keySteps = key.NewBinding(key.WithKeys("ctrl+g"), key.WithHelp("^G", "all steps"))
	keyLook  = key.NewBinding(key.WithKeys("ctrl+r"), key.WithHelp("^R", "look at the machine again"))
	keyPick  = key.NewBinding(key.WithKeys("up", "down"), key.WithHelp("1-9", "choose"))
)

// questions puts the wizard's questions, those of a step at a time.
type questions struct {
	flow          *Flow
	wizard        *wizard.Wizard
	steps         []wizard.Step // that apply after the answers so far: working them out takes too long for each key
	id            string        // of the question that has the focus
	input         textinput.Model
	option        int // that is chosen, of a question that has options
	problem       []string
	leaving       bool
	width, height int
}

// lookedMsg is what the machine is like now.
type lookedMsg struct{ facts host.Facts }

// maxAnswer is more than the longest token.
const maxAnswer = 1000

func newQuestions(f *Flow) *questions {
	q := &questions{flow: f, wizard: f.engine.Wizard, steps: f.engine.Wizard.Steps()}
	q.visit(q.list()[0].ID)
	return q
}

// list is all questions that apply, in their order.
func (q *questions) list() []wizard.Question {
	var all []wizard.Question
	for _, s := range q.steps {
		all = append(all, s.Questions...)
	}
	return all
}

// place is where the question with the focus is. One that applies no more gives it to the first.
func (q *questions) place() (all []wizard.Question, at int) {
	all = q.list()
	return all, max(0, slices.IndexFunc(all, func(o wizard.Question) bool { return o.ID == q.id }))
}

// step is the one that is shown: its number from 0, and how many there are.
func (q *questions) step() (s wizard.Step, number, of int) {
	for i, s := range q.steps {
		if slices.ContainsFunc(s.Questions, func(o wizard.Question) bool { return o.ID == q.id }) {
			return s, i, len(q.steps)
		}
	}
	return q.steps[0], 0, len(q.steps)
}

// visit gives the focus to a question.
func (q *questions) visit(id string) {
	q.id, q.problem = id, nil
	all, at := q.place()
	now := all[at]
	q.id = now.ID
	answered := q.wizard.Answered(now.ID)
	placeholder := now.Value
	if answered != "" {
		placeholder = ""
	}
	q.input = q.flow.ctx.Input(placeholder, answered, maxAnswer)
	q.option = max(0, slices.IndexFunc(now.Options, func(o wizard.Option) bool { return o.Value == now.Value }))
}

// last gives it to the last one, as when coming back from what follows.
func (q *questions) last() {
	all := q.list()
	q.visit(all[len(all)-1].ID)
}

// Title implements screen.Page.
func (q *questions) Title() string { return q.flow.ctx.T("Setting up") }

// SetSize implements screen.Page.
func (q *questions) SetSize(width, height int) { q.width, q.height = width, height }

// Keep implements screen.Keeper: Esc goes to the question before.
func (q *questions) Keep() bool { return true }

// Typing implements screen.Typing.
func (q *questions) Typing() bool {
	all, at := q.place()
	return q.leaving || len(all[at].Options) == 0
}

// Keys implements screen.Page.
func (q *questions) Keys() []key.Binding {
	if q.leaving {
		return []key.Binding{key.NewBinding(key.WithKeys("y"), key.WithHelp("y", "leave"))}
	}
	if q.Typing() {
		return []key.Binding{keyNext, keyBack, keySteps, key.NewBinding(key.WithKeys("ctrl+c"), key.WithHelp("^C", "leave")), keyLook}
	}
	return []key.Binding{keyNext, keyPick, keyBack, keySteps, key.NewBinding(key.WithKeys("q"), key.WithHelp("q", "leave")), keyLook}
}

// Update implements screen.Page.
func (q *questions) Update(msg tea.Msg) tea.Cmd {
	if looked, ok := msg.(lookedMsg); ok {
		q.wizard.Look(looked.facts)
		q.steps = q.wizard.Steps()
		q.visit(q.id)
		return nil
	}
	k, ok := msg.(tea.KeyPressMsg)
	switch {
	case !ok:
		return q.edit(msg)
	case q.leaving:
		if q.leaving = false; k.String() == "y" {
			return screen.Quit()
		}
		return nil
	case k.String() == "ctrl+c":
		return screen.Quit() // nothing has been changed
	case key.Matches(k, keyNext), k.String() == "tab":
		return q.next()
	case key.Matches(k, keyBack):
		return q.back()
	case key.Matches(k, keyLook) && q.flow.engine.Look != nil:
		_ = q.commit()
		look := q.flow.engine.Look
		return func() tea.Msg { return lookedMsg{look()} }
	case key.Matches(k, keySteps):
		_ = q.commit()
		return screen.Push(newSteps(q))
	case q.Typing() && k.String() == "up":
		return q.back()
	case q.Typing() && k.String() == "down":
		return q.next()
	case q.Typing():
		return q.edit(msg)
	}
	return q.choose(k.String())
}

// edit gives what is typed or pasted to the line.
func (q *questions) edit(msg tea.Msg) tea.Cmd {
	if _, pasted := msg.(tea.PasteMsg); pasted || q.Typing() {
		q.input, _ = q.input.Update(msg)
	}
	return nil
}

func (q *questions) choose(k string) tea.Cmd {
	all, at := q.place()
	options := len(all[at].Options)
	switch {
	case k == "up" || k == "k":
		q.option = (q.option + options - 1) % options
	case k == "down" || k == "j":
		q.option = (q.option + 1) % options
	case k == "q":
		q.leaving = true
	case len(k) == 1 && k[0] >= '1' && int(k[0]-'1') < options:
		q.option = int(k[0] - '1')
	}
	return nil
}

// commit gives the wizard the answer that is on the screen. What follows without an answer is none.
func (q *questions) commit() error {
	all, at := q.place()
	text := strings.TrimSpace(q.input.Value())
	if now := all[at]; len(now.Options) > 0 {
		if text = now.Options[q.option].Value; text == now.Value && q.wizard.Answered(q.id) == "" {
			text = ""
		}
	}
	if text == q.wizard.Answered(q.id) && len(q.wizard.Problems(q.id)) == 0 {
		return nil
	}
	err := q.wizard.Answer(q.id, text)
	q.steps = q.wizard.Steps()
	return err
}

// next takes the answer and goes on, after the last question to the checks.
func (q *questions) next() tea.Cmd {
	if err := q.commit(); err != nil {
		q.problem = q.explain(err)
		return nil
	}
	all, at := q.place()
	if at+1 < len(all) {
		q.visit(all[at+1].ID)
		return nil
	}
	if wrong := q.wizard.Problems(); len(wrong) > 0 {
		field, _, _ := strings.Cut(wrong[0].Path, "[")
		q.visit(field)
		q.problem = q.explain(wrong[:1])
		return nil
	}
	return q.flow.order()
}

// back goes to the question before, and keeps an answer that is right.
func (q *questions) back() tea.Cmd {
	_ = q.commit()
	all, at := q.place()
	switch {
	case at > 0:
		q.visit(all[at-1].ID)
	case q.flow.ctx.Profile.Wide:
		return screen.Replace(newLanguage(q.flow))
	}
	return nil
}

// explain is what is wrong, a line each.
func (q *questions) explain(err error) []string {
	ctx := q.flow.ctx
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		return []string{ctx.Say(err.Error()), collectHint(ctx, q.id)}
	}
	var lines []string
	for _, p := range problems {
		line := ctx.Say(p.Message)
		if p.Advice != "" {
			line += "; " + ctx.Say(p.Advice)
		}
		lines = append(lines, line)
	}
	return lines
}

// collectHint says what to do about a token that is none.
func collectHint(ctx *screen.Context, id string) string {
	if id != wizard.Token {
		return ""
	}
	return ctx.T("Compare it group by group with what appliance token create printed.")
}
