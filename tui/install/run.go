package install

import (
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/setup"
	"islet/appliance/wizard"
	"islet/tui/screen"
	"islet/tui/theme"
)

// run is the page of an order that is carried out. What it shows is the body of the moment: the checks, the plan, how it goes,
// the key, and how it ended.
type run struct {
	flow          *Flow
	order         wizard.Order
	session       *session
	state         state
	body          body
	stopping      bool // a person wants to leave in the middle
	width, height int
}

// body is what is drawn between the frame's lines.
type body interface {
	title() string
	view(width, height int) string
	keys() []key.Binding
	// press takes a key.
	press(tea.KeyPressMsg) tea.Cmd
}

// newsMsg says that there may be something new of a session.
type newsMsg struct{ of *session }

func newRun(f *Flow, o wizard.Order) *run {
	r := &run{flow: f, order: o}
	r.body = &course{r}
	return r
}

// Start implements screen.Starter.
func (r *run) Start() tea.Cmd {
	r.flow.mu.Lock()
	r.session = begin(r.flow.engine, r.order, r.flow.session, r.flow.ctx.Now)
	r.flow.session = r.session
	r.flow.mu.Unlock()
	r.take(state{})
	return r.listen()
}

// listen waits for news, but not for long: rates and times change by themselves.
func (r *run) listen() tea.Cmd {
	s := r.session
	return func() tea.Msg {
		select {
		case <-s.changed:
		case <-time.After(time.Second):
		}
		return newsMsg{s}
	}
}

// take shows what there is now.
func (r *run) take(st state) {
	before := r.state
	r.state = st
	switch {
	case st.question != nil && (before.question == nil || st.asked != before.asked):
		r.body = r.ask(st.question)
	case st.question != nil:
	case st.over && !before.over:
		r.body = r.end()
	case !st.over && before.question != nil:
		r.body = &course{r}
	}
	if st.node.Err == nil && st.node.Node.Site != "" {
		r.flow.ctx.Name, r.flow.ctx.Zone = st.node.Node.Site, st.node.Node.Zone
	}
}

// ask is how a question is put.
func (r *run) ask(q setup.Question) body {
	switch q := q.(type) {
	case setup.Checked:
		return newChecks(r, q.Report)
	case setup.Plan:
		return newReview(r, q)
	case setup.Key:
		return newSecret(r, q)
	case setup.Skew:
		return &skew{r, q}
	}
	return &course{r}
}

func (r *run) end() body {
	if err := r.session.err(); err != nil {
		return newFailed(r, r.flow.engine.Explain(err))
	}
	return &ready{r}
}

// Update implements screen.Page.
func (r *run) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case newsMsg:
		if msg.of != r.session {
			return nil
		}
		r.take(r.session.snapshot())
		if r.state.over {
			return nil
		}
		return r.listen()
	case tea.KeyPressMsg:
		return r.press(msg)
	case tea.PasteMsg:
		if s, ok := r.body.(*secret); ok {
			return s.edit(msg)
		}
	}
	return nil
}

func (r *run) press(msg tea.KeyPressMsg) tea.Cmd {
	if r.stopping {
		r.stopping = false
		if msg.String() == "y" {
			return screen.Quit()
		}
		return nil
	}
	return r.body.press(msg)
}

// answer goes on, or not, where something was asked.
func (r *run) answer(err error) tea.Cmd {
	s := r.session
	return func() tea.Msg {
		s.answer(err)
		return newsMsg{s}
	}
}

// back ends this try, of which nothing has been done yet, and returns to the questions.
func (r *run) back(to string, problem string) tea.Cmd {
	r.session.cancel()
	q := newQuestions(r.flow)
	if to != "" {
		q.visit(to)
		q.problem = []string{problem}
	} else {
		q.last()
	}
	return screen.Replace(q)
}

// again tries once more.
func (r *run) again() tea.Cmd {
	r.session.cancel()
	return screen.Replace(newRun(r.flow, r.order))
}

// leave asks whether to, where something has been done.
func (r *run) leave() tea.Cmd {
	if !r.state.began {
		return screen.Quit()
	}
	r.stopping = true
	return nil
}

// Title implements screen.Page.
func (r *run) Title() string { return r.body.title() }

// SetSize implements screen.Page.
func (r *run) SetSize(width, height int) { r.width, r.height = width, height }

// View implements screen.Page.
func (r *run) View() string {
	if !r.stopping {
		return r.body.view(r.width, r.height)
	}
	t := r.flow.ctx.Theme
	lines := []string{t.Say(theme.Strong, r.flow.ctx.T("Leave in the middle?")), ""}
	lines = append(lines, theme.Wrap(r.flow.ctx.T("What is done so far stays. Run appliance again to go on where it stopped."), r.width)...)
	if r.state.stage == setup.Starting {
		lines = append(lines, theme.Wrap(r.flow.ctx.T("The node goes on starting by itself."), r.width)...)
	}
	if !r.order.Join && !r.order.NoKey {
		lines = append(lines, theme.Wrap(r.flow.ctx.T("The recovery key has not been written down yet: the next run shows one."), r.width)...)
	}
	return t.Fit(lined(append(lines, "", r.flow.ctx.T("y leaves; any other key goes on"))), r.width, r.height)
}

// Keys implements screen.Page.
func (r *run) Keys() []key.Binding {
	if r.stopping {
		return []key.Binding{key.NewBinding(key.WithKeys("y"), key.WithHelp("y", "leave"))}
	}
	return r.body.keys()
}

// Keep implements screen.Keeper: only what a page offers leads away from it.
func (r *run) Keep() bool { return true }

// Typing implements screen.Typing.
func (r *run) Typing() bool {
	_, ok := r.body.(*secret)
	return ok || r.stopping
}

// Command implements screen.Commander.
func (r *run) Command() screen.Command {
	if r.order.Join {
		args := []string{"join", "--token", r.order.Token}
		if r.order.Name != "" {
			args = append(args, "--name", r.order.Name)
		}
		if r.order.Address != "" {
			args = append(args, "--address", r.order.Address)
		}
		return screen.Command{Args: args}
	}
	args := []string{"install", "--config", "site.yaml"}
	if r.order.NoKey {
		args = append(args, "--no-recovery-key")
	}
	return screen.Command{Args: args}
}
