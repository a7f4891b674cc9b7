package dashboard

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"
	"rsc.io/qr"

	"islet/tui/screen"
	"islet/tui/theme"
)

// tokenForm asks what a join token is to be good for.
type tokenForm struct {
	*board
	at       int // the field with the cursor
	server   bool
	uses     int
	lifetime int // an index of lifetimes
	width    int
}

// lifetimes are what is offered; the command takes any.
var lifetimes = []string{"15m", "1h", "4h", "24h", "168h"}

const (
	fieldRole = iota
	fieldUses
	fieldLifetime
	fields
	mostUses = 1000
)

func newTokenForm(b *board) *tokenForm { return &tokenForm{board: b, uses: 1, lifetime: 3} }

// Title implements screen.Page.
func (f *tokenForm) Title() string { return f.ctx.T("New token") }

// SetSize implements screen.Page.
func (f *tokenForm) SetSize(width, _ int) { f.width = width }

// Command implements screen.Commander.
func (f *tokenForm) Command() screen.Command {
	role := "agent"
	if f.server {
		role = "server"
	}
	return screen.Command{Args: []string{"token", "create", "--role", role, "--uses", strconv.Itoa(f.uses), "--ttl", lifetimes[f.lifetime]}}
}

// Keys implements screen.Page.
func (f *tokenForm) Keys() []key.Binding {
	return []key.Binding{
		key.NewBinding(key.WithKeys("enter"), key.WithHelp("Enter", "make it")),
		key.NewBinding(key.WithKeys("up", "down"), key.WithHelp("j/k", "field")),
		key.NewBinding(key.WithKeys("left", "right"), key.WithHelp("h/l", "change")),
	}
}

// Update implements screen.Page.
func (f *tokenForm) Update(msg tea.Msg) tea.Cmd {
	k, ok := msg.(tea.KeyPressMsg)
	if !ok {
		return nil
	}
	switch name := k.String(); name {
	case "up", "k", "shift+tab":
		f.at = (f.at + fields - 1) % fields
	case "down", "j", "tab":
		f.at = (f.at + 1) % fields
	case "left", "h":
		f.change(-1)
	case "right", "l", "space", " ":
		f.change(1)
	case "enter":
		return f.ask()
	case "backspace":
		f.setUses(f.uses / 10)
	default:
		if n, err := strconv.Atoi(name); err == nil && f.at == fieldUses {
			f.setUses(f.uses%100*10 + n)
		}
	}
	return nil
}

func (f *tokenForm) setUses(n int) {
	if f.at == fieldUses {
		f.uses = max(1, min(mostUses, n))
	}
}

func (f *tokenForm) change(by int) {
	switch f.at {
	case fieldRole:
		f.server = !f.server
	case fieldUses:
		f.setUses(f.uses + by)
	case fieldLifetime:
		f.lifetime = max(0, min(len(lifetimes)-1, f.lifetime+by))
	}
}

// ask shows the command, and carries it out on Enter.
func (f *tokenForm) ask() tea.Cmd {
	shown := f.Command()
	shown.Args = append(shown.Args, "-o", "json")
	return screen.Push(screen.NewConfirm(f.ctx, screen.Action{
		Title: f.Title(), Command: shown,
		Affects: []string{f.ctx.T("Whoever has the token can join %d machines for %s.", f.uses, lifetimes[f.lifetime])},
		Done: func(r screen.Result) tea.Cmd {
			var made struct {
				Token   string    `json:"token"`
				ID      string    `json:"id"`
				Expires time.Time `json:"expires"`
			}
			if err := json.Unmarshal([]byte(r.Output), &made); err != nil {
				return screen.Push(screen.NewError(f.ctx, shown, screen.Result{Output: r.Output, Err: err}))
			}
			return screen.Replace(newTokenPage(f.board, made.ID, made.Token, made.Expires))
		},
	}))
}

// View implements screen.Page.
func (f *tokenForm) View() string {
	s := &sheet{ctx: f.ctx, width: f.width}
	s.say(theme.Plain, "", f.ctx.T("A machine joins with a token: it names the servers and proves that somebody here wants it. It is shown once."))
	s.add("")
	role := f.ctx.T("agent") + ": " + f.ctx.T("runs applications")
	if f.server {
		role = f.ctx.T("server") + ": " + f.ctx.T("runs the site itself, too")
	}
	for i, line := range [][2]string{{f.ctx.T("Role"), role}, {f.ctx.T("Machines"), strconv.Itoa(f.uses)}, {f.ctx.T("Good for"), lifetimes[f.lifetime]}} {
		text := f.ctx.Theme.Pad(line[0], labelWidth) + " < " + line[1] + " >"
		if i == f.at {
			text = f.ctx.Theme.Cursor() + f.ctx.Theme.Say(theme.Mark, " "+text+" ")
		} else {
			text = "  " + text
		}
		s.add(text)
	}
	s.add("")
	if f.server {
		s.say(theme.Warning, "", f.ctx.T("Servers come in threes or fives, and only where the datastore is etcd."))
		s.add("")
	}
	s.say(theme.Dim, "", f.Command().Line())
	return join(s.lines, "")
}

// tokenPage shows a token, how to use it, and who comes with it.
type tokenPage struct {
	machines
	id, token     string
	expires       time.Time
	width, height int
}

func newTokenPage(b *board, id, token string, expires time.Time) *tokenPage {
	return &tokenPage{machines: machines{board: b}, id: id, token: token, expires: expires}
}

// Title implements screen.Page.
func (p *tokenPage) Title() string { return p.ctx.T("Token %s", p.id) }

// SetSize implements screen.Page.
func (p *tokenPage) SetSize(width, height int) { p.width, p.height = width, height }

// Start implements screen.Starter.
func (p *tokenPage) Start() tea.Cmd { return p.request() }

// Command implements screen.Commander.
func (p *tokenPage) Command() screen.Command {
	return screen.Command{Args: []string{"join", "--token", p.token}}
}

// Keys implements screen.Page.
func (p *tokenPage) Keys() []key.Binding { return []key.Binding{keyApprove, keyRefuse} }

// arrived says whether a machine came with this token.
func (p *tokenPage) arrived(m machine) bool { return m.Token == p.id }

// Update implements screen.Page.
func (p *tokenPage) Update(msg tea.Msg) tea.Cmd {
	if k, ok := msg.(tea.KeyPressMsg); ok {
		for _, m := range p.all {
			if p.arrived(m) && m.Words != "" { // one at a time: the first that waits
				return p.decide(m.Name, k)
			}
		}
		return nil
	}
	return p.update(msg)
}

// View implements screen.Page.
func (p *tokenPage) View() string {
	p.drawn = true
	s := &sheet{ctx: p.ctx, width: p.width}
	s.say(theme.Plain, "", p.ctx.T("On the new machine, until %s:", p.moment(p.expires)))
	s.add("")
	for _, line := range theme.Wrap(p.Command().Line(), p.width) {
		s.add(p.ctx.Theme.Say(theme.Strong, line))
	}
	s.head(p.ctx.T("Who came with it"))
	if !p.intro(s) {
		if rows := p.rows(p.arrived); len(rows) > 0 {
			s.add(layOut(p.ctx, machineColumns(), rows, p.width, -1)...)
		} else {
			s.add("  " + p.ctx.Theme.Wait() + " " + p.ctx.T("nobody yet"))
		}
		for _, m := range p.all {
			if p.arrived(m) && m.Words != "" {
				s.say(theme.Warning, "  ", p.ctx.T("%s waits. Its own screen must show: %s", m.Name, m.Words))
			}
		}
	}
	if code := p.code(); len(code) > 0 && len(s.lines)+1+len(code) <= p.height {
		s.add("")
		s.add(code...)
	}
	return join(s.lines, "")
}

// code is the token as a QR code, in capitals, which take less room and are the same to a token. It is empty where the
// terminal cannot draw it.
func (p *tokenPage) code() []string {
	c, err := qr.Encode(strings.ToUpper(p.token), qr.L)
	if err != nil {
		return nil
	}
	lines := p.ctx.Theme.Code(c.Size, c.Black)
	if len(lines) == 0 || theme.Width(lines[0]) > p.width {
		return nil
	}
	return lines
}
