package dashboard

import (
	"fmt"
	"slices"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/component"
	"islet/tui/screen"
	"islet/tui/theme"
)

// node is all that is known of one node.
type node struct {
	*board
	name   string
	scroll scroll
	width  int
}

func newNode(b *board, name string) *node { return &node{board: b, name: name} }

// Title implements screen.Page.
func (n *node) Title() string { return n.name }

// SetSize implements screen.Page.
func (n *node) SetSize(width, height int) { n.width, n.scroll.height = width, height }

// Command implements screen.Commander.
func (n *node) Command() screen.Command {
	return screen.Command{Args: []string{"node", "show", n.name}, Kubectl: "kubectl describe node " + n.name}
}

// Keys implements screen.Page.
func (n *node) Keys() []key.Binding { return append(nodeKeys(), keyJump) }

// Update implements screen.Page.
func (n *node) Update(msg tea.Msg) tea.Cmd {
	k, ok := msg.(tea.KeyPressMsg)
	if !ok {
		return nil
	}
	if cmd, is := away(k); is {
		return cmd
	}
	if n.scroll.update(k) {
		return nil
	}
	return n.nodeAction(n.name, k)
}

// View implements screen.Page.
func (n *node) View() string {
	s := &sheet{ctx: n.ctx, width: n.width}
	n.banner(s)
	i := n.index(n.name)
	if i < 0 {
		s.say(theme.Warning, "", n.ctx.T("%s is not known any more.", n.name))
		return n.scroll.view(n.ctx, s.lines)
	}
	n.facts(s, i)
	for _, p := range n.troubles() {
		if slices.Contains(p.nodes, n.name) || p.Subject == n.name {
			s.blank()
			n.trouble(s, p)
		}
	}
	s.head(n.ctx.T("Components"))
	s.add(layOut(n.ctx, componentColumns(), componentRows(n.board, n.now.site[i].Status.Components), n.width, -1)...)
	return n.scroll.view(n.ctx, s.lines)
}

func (n *node) facts(s *sheet, i int) {
	r := n.now.site[i]
	st := r.Status
	state, tone := n.state(i)
	s.field(n.ctx.T("State"), fmt.Sprintf("%s, %s", n.ctx.T(st.Node.Role), state), tone)
	s.field(n.ctx.T("Version"), n.ctx.T("%s, up %s", st.Version, n.age(st.StartedAt)), theme.Plain)
	s.field(n.ctx.T("Address"), n.ctx.T("%s on %s, MTU %d, pods %s over %s", st.Node.Address, st.Node.Interface, st.Node.MTU, orDash(st.Node.PodCIDR), st.Node.Backend), theme.Plain)
	if u := st.Usage; u != nil {
		n.gauge(s, n.ctx.T("CPU"), u.CPU, n.ctx.T("of %d processors, load %.2f", u.Processors, u.Load))
		n.gauge(s, n.ctx.T("Memory"), u.Memory(), n.ctx.T("%s of %s", size(u.MemoryUsed), size(u.MemoryTotal)))
		n.gauge(s, n.ctx.T("Disk"), u.Disk(), n.ctx.T("%s of %s", size(u.DiskUsed), size(u.DiskTotal)))
	}
	clock, certs := n.clockCell(i), certCell(n.board, i)
	s.field(n.ctx.T("Clock"), clock.text, clock.tone)
	s.field(n.ctx.T("Certificates"), n.ctx.T("%d, the first ends in %s", len(st.Certificates), certs.text), certs.tone)
	if d := st.Datastore; d != nil {
		s.field(n.ctx.T("Datastore"), fmt.Sprintf("%s, %s", d.Store, size(d.Bytes)), theme.Plain)
	}
	s.field(n.ctx.T("Cgroup"), st.Node.Cgroup, theme.Dim)
	if i > 0 {
		s.field(n.ctx.T("Heard of"), n.ctx.T("%s ago", n.age(r.Received)), theme.Dim)
	}
	for _, server := range st.Servers {
		text, tone := n.ctx.T("answers, %d connections", server.Connections), theme.Good
		if !server.Healthy {
			text, tone = n.ctx.T("does not answer: %s", server.Reason), theme.Bad
		}
		s.field(n.ctx.T("API server"), server.Address.String()+" "+text, tone)
	}
}

// gauge is a share as a bar, a figure and words.
func (n *node) gauge(s *sheet, label string, share float64, words string) {
	bar := n.ctx.Theme.Gauge(share, max(10, min(30, n.width-55)))
	s.field(label, fmt.Sprintf("%s %4s  %s", bar, percent(share), words), used(share, 0.9, 0.97).tone)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func componentColumns() []column {
	return []column{{title: "NAME", most: 24}, {title: "STATE"}, {title: "SINCE", right: true}, {title: "RESTARTS", right: true}, {title: "PID", right: true, from: 100}, {title: "REASON", flex: true}}
}

// componentRows are components as they stand.
func componentRows(b *board, all []component.Status) []row {
	var rows []row
	for _, c := range all {
		pid := "-"
		if c.PID > 0 {
			pid = fmt.Sprint(c.PID)
		}
		restarts := cell{text: fmt.Sprint(c.Restarts)}
		if c.IsCrashing(crashedTimes, b.now.at) {
			restarts.tone = theme.Bad
		}
		rows = append(rows, row{c.Name, []cell{
			{text: c.Name}, {b.ctx.T(string(c.State)), stateTone(c.State)}, {text: b.age(c.Since)}, restarts, {text: pid}, {text: b.ctx.Say(c.Reason)},
		}})
	}
	return rows
}

func stateTone(s component.State) theme.Tone {
	switch s {
	case component.Ready:
		return theme.Good
	case component.Degraded, component.Pending, component.Waiting, component.Preparing, component.Starting:
		return theme.Warning
	case component.Backoff, component.Stopping, component.Stopped:
		return theme.Bad
	}
	return theme.Plain
}
