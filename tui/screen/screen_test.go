package screen_test

import (
	"errors"
	"strings"
	"testing"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/tui/message"
	"islet/tui/screen"
	"islet/tui/tuitest"
)

// page says what it was told.
type page struct {
	title         string
	width, height int
	got           []tea.Msg
	command       screen.Command
}

func (p *page) Title() string            { return p.title }
func (p *page) SetSize(w, h int)         { p.width, p.height = w, h }
func (p *page) Update(m tea.Msg) tea.Cmd { p.got = append(p.got, m); return nil }
func (p *page) View() string             { return strings.Repeat(p.title+" ", 60) + strings.Repeat("\nline", 60) }
func (p *page) Command() screen.Command  { return p.command }
func (p *page) Keys() []key.Binding {
	return []key.Binding{key.NewBinding(key.WithKeys("x"), key.WithHelp("x", "do it"))}
}

func TestFrame(t *testing.T) {
	t.Parallel()
	tuitest.Sweep(t, func(*screen.Context) screen.Page { return &page{title: "Page"} })
}

func TestCommandDialog(t *testing.T) {
	t.Parallel()
	tuitest.Sweep(t, func(ctx *screen.Context) screen.Page {
		d := screen.NewCommand(ctx, screen.Command{Args: []string{"node", "drain", "node 2"}, Kubectl: "kubectl drain 'node 2'"})
		tuitest.Press(d, "k")
		return d
	})
}

func TestConfirmDialog(t *testing.T) {
	t.Parallel()
	tuitest.Sweep(t, func(ctx *screen.Context) screen.Page {
		return screen.NewConfirm(ctx, screen.Action{Title: "Remove node2", Command: screen.Command{Args: []string{"node", "remove", "node2"}}, Affects: []string{"node2: 12 pods", "the copy of the datastore that is on it"}, Word: "node2"})
	})
}

func TestErrorDialog(t *testing.T) {
	t.Parallel()
	tuitest.Sweep(t, func(ctx *screen.Context) screen.Page {
		return screen.NewError(ctx, screen.Command{Args: []string{"token", "create"}}, screen.Result{Output: "Error: the daemon does not answer\n", Code: 7, Err: errors.New("exit status 7")})
	})
}

// drive gives a message to a root and carries out what comes of it, until nothing does.
func drive(t *testing.T, r *screen.Root, msg tea.Msg) (quit bool) {
	t.Helper()
	_, cmd := r.Update(msg)
	for _, m := range tuitest.Run(cmd) {
		if _, ok := m.(tea.QuitMsg); ok {
			return true
		}
		quit = drive(t, r, m) || quit
	}
	return quit
}

func TestRoute(t *testing.T) {
	t.Parallel()
	ctx := tuitest.Context(tuitest.Profiles["unicode"])
	first, second := &page{title: "first"}, &page{title: "second"}
	r := screen.New(ctx, first)
	drive(t, r, tea.WindowSizeMsg{Width: 80, Height: 24})
	drive(t, r, screen.Push(second)())
	if second.width != 80 || second.height != 21 {
		t.Errorf("second has %d by %d", second.width, second.height)
	}
	if !strings.Contains(r.Render(), "second second") {
		t.Error("second is not shown")
	}
	if drive(t, r, tuitest.Key("q")) || !strings.Contains(r.Render(), "first first") {
		t.Error("q does not lead back")
	}
	if !drive(t, r, tuitest.Key("q")) {
		t.Error("q on the first page does not leave")
	}
	r.Resident = true
	if drive(t, r, tuitest.Key("q")) || drive(t, r, tuitest.Key("ctrl+c")) {
		t.Error("the console's own screen can be left")
	}
}

func TestSmallTerminalSaysSo(t *testing.T) {
	t.Parallel()
	ctx := tuitest.Context(tuitest.Profiles["ascii"])
	r := screen.New(ctx, &page{title: "first"})
	drive(t, r, tea.WindowSizeMsg{Width: 40, Height: 10})
	tuitest.Check(t, ctx.Profile, r.Render(), 40, 10)
	if !strings.Contains(r.Render(), "40 by 10") {
		t.Error(r.Render())
	}
}

func TestLanguage(t *testing.T) {
	t.Parallel()
	ctx := tuitest.Context(tuitest.Profiles["unicode"])
	r := screen.New(ctx, &page{title: "first"})
	drive(t, r, tea.WindowSizeMsg{Width: 80, Height: 24})
	drive(t, r, tuitest.Key("L"))
	if ctx.Lang != message.Chinese || !strings.Contains(r.Render(), "帮助") {
		t.Errorf("%s: %s", ctx.Lang, r.Render())
	}
	drive(t, r, tuitest.Key("L"))
	if ctx.Lang != message.English {
		t.Error(ctx.Lang)
	}
}

func TestConfirmWantsTheWord(t *testing.T) {
	t.Parallel()
	ctx := tuitest.Context(tuitest.Profiles["unicode"])
	var ran []string
	ctx.Run = func(args []string) screen.Result {
		ran = append(ran, strings.Join(args, " "))
		return screen.Result{Output: "node2 is removed"}
	}
	r := screen.New(ctx, &page{title: "first"})
	drive(t, r, tea.WindowSizeMsg{Width: 80, Height: 24})
	drive(t, r, screen.Push(screen.NewConfirm(ctx, screen.Action{Title: "Remove", Command: screen.Command{Args: []string{"node", "remove", "node2"}}, Word: "node2"}))())
	for _, k := range []string{"q", "enter", "backspace", "n", "o", "d", "e", "enter"} {
		drive(t, r, tuitest.Key(k))
	}
	if len(ran) != 0 {
		t.Fatalf("ran %q before the word was there", ran)
	}
	drive(t, r, tuitest.Key("2"))
	drive(t, r, tuitest.Key("enter"))
	if len(ran) != 1 || ran[0] != "node remove node2" || !strings.Contains(r.Render(), "node2 is removed") {
		t.Errorf("ran %q:\n%s", ran, r.Render())
	}
	drive(t, r, tuitest.Key("enter"))
	if !strings.Contains(r.Render(), "first first") {
		t.Error("the notice does not go away")
	}
}

func TestWhoMayOnlyLookIsOfferedNothing(t *testing.T) {
	t.Parallel()
	ctx := tuitest.Context(tuitest.Profiles["ascii"])
	ctx.Run = nil
	r := screen.New(ctx, screen.NewConfirm(ctx, screen.Action{Title: "Remove", Command: screen.Command{Args: []string{"node", "remove", "node2"}}}))
	drive(t, r, tea.WindowSizeMsg{Width: 80, Height: 24})
	drive(t, r, tuitest.Key("enter"))
	if drawn := r.Render(); strings.Contains(drawn, "do it") || !strings.Contains(drawn, "may only look") || !strings.Contains(drawn, "appliance node remove node2") {
		t.Error(drawn)
	}
}

func TestLineQuotes(t *testing.T) {
	t.Parallel()
	got := screen.Command{Args: []string{"a", "", "b c", "it's", "$x"}}.Line()
	if want := `appliance a '' 'b c' 'it'\''s' '$x'`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
