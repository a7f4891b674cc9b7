package dashboard

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"

	"islet/tui/theme"
)

// asking is a question that a page puts again and again while it is there.
type asking[T any] struct {
	board    *board
	question func(context.Context) (T, error)
	answer   T
	answered time.Time // zero before the first answer
	err      error
	id       int
	barred   bool // who looks may not ask
}

type (
	toldMsg[T any] struct {
		id     int
		answer T
		err    error
		at     time.Time
	}
	tellAgainMsg struct{ id int }
)

// tellEvery is the time between two questions to a node about what changes slowly.
const tellEvery = 5 * time.Second

// Start implements screen.Starter. Who may only look is told of this machine alone.
func (a *asking[T]) Start() tea.Cmd {
	if a.barred = a.board.ctx.Run == nil; a.barred {
		return nil
	}
	a.id = a.board.ctx.NextID()
	id, question, now := a.id, a.question, a.board.ctx.Now
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(context.Background(), farLimit)
		defer cancel()
		answer, err := question(ctx)
		return toldMsg[T]{id, answer, err, now()}
	}
}

// receive puts an answer in place, and asks again later.
func (a *asking[T]) receive(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case toldMsg[T]:
		if msg.id != a.id {
			return nil
		}
		if a.err = msg.err; msg.err == nil {
			a.answer, a.answered = msg.answer, msg.at
		}
		id := a.id
		return a.board.later(tellEvery, func(time.Time) tea.Msg { return tellAgainMsg{id} })
	case tellAgainMsg:
		if msg.id == a.id {
			return a.Start()
		}
	}
	return nil
}

// say tells why there is no answer, or an old one.
func (a *asking[T]) say(s *sheet) {
	ctx := a.board.ctx
	switch {
	case a.barred:
		s.say(theme.Warning, "", ctx.T("This screen may only look. Log in as root and run the command."))
	case a.err != nil:
		s.say(theme.Bad, ctx.Theme.Fail()+" ", ctx.T("The node does not answer: %s", a.err))
		if !a.answered.IsZero() {
			s.say(theme.Warning, "  ", ctx.T("What follows is %s old.", a.board.age(a.answered)))
		}
	case a.answered.IsZero():
		s.add(ctx.T("asking the node"))
	}
}
