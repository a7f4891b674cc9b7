package dashboard

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/tui/screen"
	"islet/tui/theme"
)

// machine is a node, or one that wants to become one, as `appliance node list -o json` tells of it.
type machine struct {
	Name    string    `json:"name"`
	Role    string    `json:"role"`
	Address string    `json:"address"`
	State   string    `json:"state"`
	Detail  string    `json:"detail"`
	Joined  time.Time `json:"joined"`
	Token   string    `json:"token"`
	Words   string    `json:"words"`
}

// rank puts those first that somebody has to see to.
func (m machine) rank() int {
	return slices.Index([]string{"ready", "refused", "joining", "waiting"}, m.State)
}

// machinesEvery is how often they are asked for while they are looked at, and at no other time.
const machinesEvery = 3 * time.Second

// machines are asked for again and again while they are drawn.
type machines struct {
	*board
	all    []machine
	err    error
	loaded bool
	id     int
	drawn  bool // since the last question
}

type (
	machinesMsg struct {
		id  int
		all []machine
		err error
	}
	machinesAgainMsg struct{ id int }
)

// listMachines is the command that tells of them.
var listMachines = []string{"node", "list", "-o", "json"}

func (m *machines) request() tea.Cmd {
	if m.ctx.Run == nil {
		return nil
	}
	m.id, m.drawn = m.ctx.NextID(), false
	id, run := m.id, m.ctx.Run
	return func() tea.Msg {
		r := run(listMachines)
		all, err := decodeMachines(r)
		return machinesMsg{id, all, err}
	}
}

func decodeMachines(r screen.Result) ([]machine, error) {
	if r.Err != nil {
		return nil, errors.New(strings.TrimSpace(r.Output))
	}
	var all []machine
	if err := json.Unmarshal([]byte(r.Output), &all); err != nil {
		return nil, fmt.Errorf("read what `appliance node list` printed: %w", err)
	}
	slices.SortStableFunc(all, func(a, b machine) int { return b.rank() - a.rank() })
	return all, nil
}

func (m *machines) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case machinesMsg:
		if msg.id != m.id {
			return nil
		}
		m.loaded = true
		if m.err = msg.err; msg.err == nil {
			m.all = msg.all
		}
		id := m.id
		return m.later(machinesEvery, func(time.Time) tea.Msg { return machinesAgainMsg{id} })
	case machinesAgainMsg:
		if msg.id == m.id && m.drawn {
			return m.request()
		}
	}
	return nil
}

func machineColumns() []column {
	return []column{{title: "NAME", most: 20}, {title: "ROLE"}, {title: "ADDRESS"}, {title: "STATE"}, {title: "SINCE", right: true}, {title: "TOKEN", from: 80}, {title: "WHY", from: 100, flex: true}}
}

func (m *machines) rows(which func(machine) bool) []row {
	var rows []row
	for _, x := range m.all {
		if !which(x) {
			continue
		}
		tone := map[string]theme.Tone{"ready": theme.Good, "waiting": theme.Warning, "joining": theme.Warning}[x.State]
		rows = append(rows, row{x.Name, []cell{
			{text: x.Name}, {text: m.ctx.T(x.Role)}, {text: x.Address}, {m.ctx.T(x.State), tone}, {text: m.age(x.Joined)}, {text: x.Token}, {text: x.Detail},
		}})
	}
	return rows
}

var (
	keyApprove = key.NewBinding(key.WithKeys("A"), key.WithHelp("A", "approve"))
	keyRefuse  = key.NewBinding(key.WithKeys("X"), key.WithHelp("X", "refuse"))
	keyToken   = key.NewBinding(key.WithKeys("T"), key.WithHelp("T", "new token"))
)

// decide asks before a machine that waits is let in or turned away.
func (m *machines) decide(name string, msg tea.KeyPressMsg) tea.Cmd {
	i := slices.IndexFunc(m.all, func(x machine) bool { return x.Name == name && x.Words != "" })
	if i < 0 {
		return nil
	}
	x := m.all[i]
	switch msg.String() {
	case "A":
		return screen.Push(screen.NewConfirm(m.ctx, screen.Action{
			Title: m.ctx.T("Let %s in", name), Word: name, Command: screen.Command{Args: []string{"node", "approve", name, "--yes"}},
			Affects: []string{
				m.ctx.T("%s at %s becomes a node of this site, as %s, and may run what the site runs.", name, x.Address, m.ctx.T(x.Role)),
				m.ctx.T("Go to the machine, or call somebody who stands there: its screen must show these words:"), "", x.Words,
			},
		}))
	case "X":
		return screen.Push(screen.NewConfirm(m.ctx, screen.Action{
			Title: m.ctx.T("Turn %s away", name), Word: name, Command: screen.Command{Args: []string{"node", "refuse", name}},
			Affects: []string{m.ctx.T("%s at %s does not become a node. Its token stays good.", name, x.Address)},
		}))
	}
	return nil
}

// joining are the machines that wait to be let in, and those that were.
type joining struct {
	machines
	table table
}

func newJoining(b *board) *joining {
	return &joining{machines: machines{board: b}, table: table{ctx: b.ctx, columns: machineColumns()}}
}

func (j *joining) setSize(width, height int) { j.table.width, j.table.height = width, height }
func (j *joining) show() tea.Cmd             { return j.request() }
func (j *joining) typing() bool              { return j.table.typing }
func (j *joining) keys() []key.Binding {
	return []key.Binding{keyToken, keyApprove, keyRefuse, keyFilter}
}

func (j *joining) command() screen.Command {
	return screen.Command{Args: []string{"node", "list"}, Kubectl: "kubectl get nodes -o wide"}
}

func (j *joining) key(msg tea.KeyPressMsg) tea.Cmd {
	j.table.fill(j.everybody())
	if j.table.update(msg) {
		return nil
	}
	if msg.String() == "T" {
		return screen.Push(newTokenForm(j.board))
	}
	return j.decide(j.table.selected(), msg)
}

func (j *joining) everybody() []row { return j.rows(func(machine) bool { return true }) }

func (j *joining) view() string {
	j.drawn = true
	s := &sheet{ctx: j.ctx, width: j.table.width}
	j.banner(s)
	if j.intro(s) {
		return join(s.lines, "")
	}
	j.table.fill(j.everybody())
	i := slices.IndexFunc(j.all, func(x machine) bool { return x.Name == j.table.selected() && x.Words != "" })
	if i >= 0 {
		s.say(theme.Warning, j.ctx.Theme.Wait()+" ", j.ctx.T("%s waits. Its own screen must show: %s", j.all[i].Name, j.all[i].Words))
		s.add("")
	}
	t := j.table
	t.height -= len(s.lines)
	text := t.view()
	j.table.top = t.top
	return join(s.lines, text)
}

// intro says what is needed to join, and why nothing is listed; then it is all that there is.
func (m *machines) intro(s *sheet) (alone bool) {
	switch {
	case m.ctx.Run == nil:
		s.say(theme.Plain, "", m.ctx.T("This screen may only look. Log in as root: appliance dashboard"))
		return true
	case m.err != nil:
		s.say(theme.Bad, m.ctx.Theme.Fail()+" ", m.ctx.T("Who waits is not known now: %s", m.err))
		return len(m.all) == 0
	case !m.loaded:
		s.add(m.ctx.T("asking Kubernetes"))
		return true
	}
	return false
}
