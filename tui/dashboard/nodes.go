package dashboard

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/tui/screen"
	"islet/tui/theme"
)

// list is a tab with one table in it: rows makes its lines, open the page of one of them, either may be nil.
type list struct {
	*board
	table table
	rows  func() []row
	open  func(key string) screen.Page
	twin  screen.Command
	more  []key.Binding
	act   func(key string, msg tea.KeyPressMsg) tea.Cmd
}

func newList(b *board, columns []column, rows func() []row) *list {
	return &list{board: b, table: table{ctx: b.ctx, columns: columns}, rows: rows}
}

func (l *list) show() tea.Cmd           { return nil }
func (l *list) update(tea.Msg) tea.Cmd  { return nil }
func (l *list) typing() bool            { return l.table.typing }
func (l *list) command() screen.Command { return l.twin }

func (l *list) setSize(width, height int) {
	l.table.width, l.table.height = width, height
}

var keyOpen = key.NewBinding(key.WithKeys("enter"), key.WithHelp("Enter", "open"))

func (l *list) keys() []key.Binding {
	var keys []key.Binding
	if l.open != nil {
		keys = append(keys, keyOpen)
	}
	return append(append(keys, l.more...), keyFilter)
}

func (l *list) key(msg tea.KeyPressMsg) tea.Cmd {
	l.table.fill(l.rows())
	if l.table.update(msg) {
		return nil
	}
	if msg.String() == "enter" && l.open != nil && l.table.selected() != "" {
		return screen.Push(l.open(l.table.selected()))
	}
	if l.act != nil {
		return l.act(l.table.selected(), msg)
	}
	return nil
}

// view draws the table below the banner that there is while the daemon is down.
func (l *list) view() string {
	s := &sheet{ctx: l.ctx, width: l.table.width}
	l.banner(s)
	if !l.known() {
		if l.down == nil {
			s.add(l.ctx.T("asking the node daemon"))
		}
		return join(s.lines, "")
	}
	l.table.fill(l.rows())
	return l.below(s)
}

// below draws the table in the room that the lines above it leave.
func (l *list) below(s *sheet) string {
	t := l.table
	t.height -= len(s.lines)
	text := t.view()
	l.table.top = t.top
	return join(s.lines, text)
}

// join puts a text below lines.
func join(lines []string, text string) string {
	return strings.Join(append(slices.Clone(lines), text), "\n")
}

func nodeColumns() []column {
	return []column{
		{title: "NAME", most: 20, flex: true}, {title: "ROLE", from: 80}, {title: "STATE", most: 18}, {title: "LOAD", right: true, from: 80},
		{title: "CPU", right: true}, {title: "MEMORY", right: true}, {title: "DISK", right: true},
		{title: "CLOCK", right: true}, {title: "CERTS", right: true}, {title: "ADDRESS", from: 100}, {title: "VERSION", from: 120},
	}
}

// nodeRows are the nodes of the site, this one first.
func (b *board) nodeRows() []row {
	var rows []row
	for i, r := range b.now.site {
		s := r.Status
		state, tone := b.state(i)
		role := b.ctx.T(s.Node.Role)
		if i == 0 && len(b.now.site) > 1 {
			role += ", " + b.ctx.T("here")
		}
		load, cpu, memory, disk := "-", cell{text: "-"}, cell{text: "-"}, cell{text: "-"}
		if u := s.Usage; u != nil {
			load = fmt.Sprintf("%.1f/%d", u.Load, u.Processors)
			cpu, memory, disk = used(u.CPU, 0.9, 2), used(u.Memory(), 0.9, 0.97), used(u.Disk(), 0.85, 0.95)
		}
		rows = append(rows, row{s.Node.Name, []cell{
			{text: s.Node.Name}, {text: role}, {state, tone}, {text: load}, cpu, memory, disk, b.clockCell(i), certCell(b, i),
			{text: s.Node.Address}, {text: s.Version},
		}})
	}
	return rows
}

// used is a share that becomes a warning and then worse.
func used(share, warning, bad float64) cell {
	c := cell{text: percent(share)}
	switch {
	case share >= bad:
		c.tone = theme.Bad
	case share >= warning:
		c.tone = theme.Warning
	}
	return c
}

// clockCell says how far a clock is from this node's, where that matters.
func (b *board) clockCell(i int) cell {
	switch d := b.clock(i); {
	case i > 0 && b.now.site[i].Status.Now.IsZero():
		return cell{text: "-"}
	case d.Abs() < clockOff:
		return cell{text: b.ctx.T("ok")}
	default:
		return cell{fmt.Sprintf("%+.0fs", d.Round(time.Second).Seconds()), theme.Bad}
	}
}

func certCell(b *board, i int) cell {
	days, ok := expiry(b.now.site[i].Status)
	switch {
	case !ok:
		return cell{text: "-"}
	case days < 0:
		return cell{b.ctx.T("expired"), theme.Bad}
	case days < expiresSoon:
		return cell{b.ctx.T("%d days", days), theme.Warning}
	}
	return cell{text: strconv.Itoa(days) + "d"}
}

func newNodes(b *board) *list {
	l := newList(b, nodeColumns(), b.nodeRows)
	l.open = func(name string) screen.Page { return newNode(b, name) }
	l.twin = screen.Command{Args: []string{"node", "list"}, Kubectl: "kubectl get nodes -o wide"}
	l.more = nodeKeys()
	l.act = func(name string, msg tea.KeyPressMsg) tea.Cmd { return b.nodeAction(name, msg) }
	return l
}

// nodeKeys are what can be read and done of a node. What changes it is a capital: none is next to a key for reading.
func nodeKeys() []key.Binding {
	return []key.Binding{
		key.NewBinding(key.WithKeys("o"), key.WithHelp("o", "components")),
		key.NewBinding(key.WithKeys("h"), key.WithHelp("h", "history")),
		key.NewBinding(key.WithKeys("K"), key.WithHelp("K", "cordon")),
		key.NewBinding(key.WithKeys("U"), key.WithHelp("U", "uncordon")),
		key.NewBinding(key.WithKeys("D"), key.WithHelp("D", "drain")),
		key.NewBinding(key.WithKeys("X"), key.WithHelp("X", "remove")),
	}
}

// nodeAction asks before what a key stands for is done to a node.
func (b *board) nodeAction(name string, msg tea.KeyPressMsg) tea.Cmd {
	if name == "" {
		return nil
	}
	a := screen.Action{Word: name}
	switch msg.String() {
	case "o":
		return screen.Push(newParts(b, name))
	case "h":
		return screen.Push(newUsage(b, name))
	case "K":
		a.Title, a.Affects = b.ctx.T("Cordon %s", name), []string{b.ctx.T("No new pods come to %s. Those that are there stay.", name)}
		a.Command = screen.Command{Args: []string{"node", "cordon", name}, Kubectl: "kubectl cordon " + name}
	case "U":
		a.Title, a.Affects, a.Word = b.ctx.T("Uncordon %s", name), []string{b.ctx.T("New pods may come to %s again.", name)}, ""
		a.Command = screen.Command{Args: []string{"node", "uncordon", name}, Kubectl: "kubectl uncordon " + name}
	case "D":
		a.Title = b.ctx.T("Drain %s", name)
		a.Affects = []string{
			b.ctx.T("All pods of %s are stopped and started on other nodes, where there is room.", name),
			b.ctx.T("What they keep in temporary volumes is lost, and pods that nothing looks after do not come back."),
		}
		a.Command = screen.Command{Args: []string{"node", "drain", name}, Kubectl: "kubectl drain " + name + " --ignore-daemonsets --delete-emptydir-data --force"}
	case "X":
		a.Title = b.ctx.T("Remove %s", name)
		a.Affects = []string{
			b.ctx.T("All pods of %s are stopped and started on other nodes, where there is room.", name),
			b.ctx.T("The machine is cleaned: local volumes and the node's certificates are deleted."),
		}
		if i := b.index(name); i >= 0 && isServer(b.now.site[i].Status) {
			text, _ := b.quorumText()
			a.Affects = append(a.Affects, b.ctx.T("It is a server. The datastore now: %s", text))
		}
		a.Command = screen.Command{Args: []string{"node", "remove", name, "--yes"}, Kubectl: "kubectl delete node " + name}
	default:
		return nil
	}
	return screen.Push(screen.NewConfirm(b.ctx, a))
}

// index is the place of a node in what is known of the site, -1 where it is not there any more.
func (b *board) index(name string) int {
	for i, r := range b.now.site {
		if r.Status.Node.Name == name {
			return i
		}
	}
	return -1
}
