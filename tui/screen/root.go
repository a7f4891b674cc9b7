package screen

import (
	"fmt"
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/tui/message"
	"islet/tui/term"
	"islet/tui/theme"
)

// The smallest size in which something useful can be shown. Below it the screen says so.
const (
	MinWidth  = 60
	MinHeight = 20
)

// frame is what the root takes of the height: the first line, a rule, and the line of keys.
const frame = 3

// Root is the one tea.Model.
type Root struct {
	ctx           *Context
	pages         []Page
	width, height int
	// Resident says that the program is the console's own: it cannot be left.
	Resident bool
	// Resize tells the kernel a size that the terminal has answered with.
	Resize func(width, height int)
}

// New returns a root that begins with one page.
func New(ctx *Context, first Page) *Root { return &Root{ctx: ctx, pages: []Page{first}} }

// Init implements tea.Model.
func (r *Root) Init() tea.Cmd { return start(r.top()) }

func start(p Page) tea.Cmd {
	if s, ok := p.(Starter); ok {
		return s.Start()
	}
	return nil
}

func (r *Root) top() Page { return r.pages[len(r.pages)-1] }

// Update implements tea.Model.
func (r *Root) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		r.resize(msg.Width, msg.Height)
		return r, nil
	case tea.CursorPositionMsg: // the answer to Ctrl-L
		if r.Resize != nil {
			r.Resize(msg.X+1, msg.Y+1)
		}
		r.resize(msg.X+1, msg.Y+1)
		return r, tea.ClearScreen
	case pushMsg:
		r.pages = append(r.pages, msg.page)
		r.resize(r.width, r.height)
		return r, start(msg.page)
	case popMsg:
		return r, r.pop()
	case replaceMsg:
		r.pages[len(r.pages)-1] = msg.page
		r.resize(r.width, r.height)
		return r, start(msg.page)
	case quitMsg:
		return r, r.quit()
	case tea.KeyPressMsg:
		if cmd, taken := r.key(msg); taken {
			return r, cmd
		}
		return r, r.top().Update(msg)
	}
	return r, r.all(msg)
}

// all tells every page: what one of them has asked for may come back after another was put above it.
func (r *Root) all(msg tea.Msg) tea.Cmd {
	var cmds []tea.Cmd
	for _, p := range r.pages {
		cmds = append(cmds, p.Update(msg))
	}
	return tea.Batch(cmds...)
}

func (r *Root) resize(width, height int) {
	r.width, r.height = width, height
	for _, p := range r.pages {
		p.SetSize(width, max(0, height-frame))
	}
}

func (r *Root) pop() tea.Cmd {
	if len(r.pages) == 1 {
		return r.quit()
	}
	r.pages = r.pages[:len(r.pages)-1]
	if p, ok := r.top().(Returner); ok {
		return p.Return()
	}
	return nil
}

func (r *Root) quit() tea.Cmd {
	if r.Resident {
		return nil
	}
	return tea.Quit
}

// The keys that mean the same everywhere. Each is a single byte, too: over a slow line an arrow may come as three.
var (
	keyBack     = key.NewBinding(key.WithKeys("esc"))
	keyQuit     = key.NewBinding(key.WithKeys("q"))
	keyEnd      = key.NewBinding(key.WithKeys("ctrl+c"))
	keyRedraw   = key.NewBinding(key.WithKeys("ctrl+l"))
	keyHelp     = key.NewBinding(key.WithKeys("?"))
	keyCommand  = key.NewBinding(key.WithKeys("c"))
	keyLanguage = key.NewBinding(key.WithKeys("L"))
)

// key takes a key that is the root's own.
func (r *Root) key(msg tea.KeyPressMsg) (tea.Cmd, bool) {
	typing, keep := false, false
	if p, ok := r.top().(Typing); ok {
		typing = p.Typing()
	}
	if p, ok := r.top().(Keeper); ok {
		keep = p.Keep()
	}
	switch {
	case key.Matches(msg, keyRedraw):
		if r.ctx.Profile.Kind == term.Emulator {
			return tea.ClearScreen, true
		}
		return tea.Batch(tea.ClearScreen, tea.Raw(term.Probe)), true
	case key.Matches(msg, keyEnd):
		switch {
		case keep: // the page may offer a way out of its own
			return nil, false
		case r.Resident:
			return nil, !typing
		}
		return tea.Quit, true
	case typing:
		return nil, false
	case key.Matches(msg, keyHelp):
		return Push(newHelp(r.ctx, r.top())), true
	case key.Matches(msg, keyLanguage):
		return r.speakNext(), true
	case key.Matches(msg, keyCommand):
		p, ok := r.top().(Commander)
		if !ok {
			return nil, false
		}
		return Push(NewCommand(r.ctx, p.Command())), true
	case key.Matches(msg, keyBack) && !keep:
		if len(r.pages) == 1 {
			return nil, false
		}
		return r.pop(), true
	case key.Matches(msg, keyQuit) && !keep:
		return r.pop(), true
	}
	return nil, false
}

// speakNext goes on to the next language that the terminal can show.
func (r *Root) speakNext() tea.Cmd {
	langs := message.Langs()
	for i, l := range langs {
		if l == r.ctx.Lang {
			r.ctx.Lang = r.ctx.Profile.Speak(langs[(i+1)%len(langs)])
			break
		}
	}
	r.resize(r.width, r.height)
	return r.all(LangMsg{})
}

// View implements tea.Model.
func (r *Root) View() tea.View {
	v := tea.NewView(r.Render())
	v.AltScreen = true
	v.DisableBracketedPasteMode = r.ctx.Profile.Kind != term.Emulator
	return v
}

// Render is the whole screen: exactly height lines of at most width cells.
func (r *Root) Render() string {
	if r.width <= 0 || r.height <= 0 {
		return ""
	}
	t := r.ctx.Theme
	if r.width < MinWidth || r.height < MinHeight {
		return t.Fit(r.ctx.T("This terminal is %d by %d; at least %d by %d are needed.", r.width, r.height, MinWidth, MinHeight), r.width, r.height)
	}
	rule := t.Say(theme.Dim, strings.Repeat(t.Rule(), r.width))
	return strings.Join([]string{r.header(), rule, t.Fit(r.top().View(), r.width, r.height-frame), r.footer()}, "\n")
}

// header is the first line: where one is, and of which site.
func (r *Root) header() string {
	t := r.ctx.Theme
	site := r.ctx.Name
	if r.ctx.Zone != "" {
		site += " (" + r.ctx.Zone + ")"
	}
	clock := r.ctx.Now().UTC().Format("15:04") + " UTC"
	right := strings.TrimSpace(t.Cut(site, r.width/2-len(clock)-2) + "  " + clock)
	left := "Islet"
	for _, p := range r.pages {
		left += " " + t.Cursor() + " " + p.Title()
	}
	room := r.width - theme.Width(right) - 2
	if theme.Width(left) > room { // the way here matters less than the page
		left = r.top().Title()
	}
	return t.Say(theme.Strong, t.Pad(left, room)) + "  " + right
}

// footer is the last line: the keys of the page, as many as fit, and those that are always there.
func (r *Root) footer() string {
	t := r.ctx.Theme
	general := r.hint("?", r.ctx.T("help"))
	kept, _ := r.top().(Keeper)
	switch {
	case kept != nil && kept.Keep(): // it has its own ways out
	case len(r.pages) > 1:
		general = r.hint("q", r.ctx.T("back")) + "  " + general
	case !r.Resident:
		general = r.hint("q", r.ctx.T("leave")) + "  " + general
	}
	if p, ok := r.top().(Typing); ok && p.Typing() {
		general = ""
	}
	line := ""
	for _, k := range r.top().Keys() {
		h := k.Help()
		if !k.Enabled() || h.Key == "" {
			continue
		}
		next := line + r.hint(h.Key, r.ctx.T(h.Desc)) + "  "
		if theme.Width(next)+theme.Width(general) > r.width {
			break
		}
		line = next
	}
	return t.Cut(line+general, r.width)
}

func (r *Root) hint(k, what string) string {
	return fmt.Sprintf("%s %s", r.ctx.Theme.Say(theme.Strong, k), what)
}
