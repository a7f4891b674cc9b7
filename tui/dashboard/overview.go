package dashboard

import (
	"fmt"
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/api"
	"islet/appliance/health"
	"islet/appliance/vip"
	"islet/tui/screen"
	"islet/tui/theme"
)

// overview is the site on one page: what is wrong and what to do about it, and below that what there is.
type overview struct {
	*board
	scroll scroll
	width  int
}

func newOverview(b *board) *overview { return &overview{board: b} }

func (o *overview) setSize(width, height int) { o.width, o.scroll.height = width, height }
func (o *overview) show() tea.Cmd             { return nil }
func (o *overview) update(tea.Msg) tea.Cmd    { return nil }
func (o *overview) typing() bool              { return false }
func (o *overview) command() screen.Command   { return screen.Command{Args: []string{"status"}} }
func (o *overview) key(m tea.KeyPressMsg) tea.Cmd {
	if m.String() == "B" {
		return screen.Push(screen.NewConfirm(o.ctx, screen.Action{
			Title: o.ctx.T("Make a backup"), Command: screen.Command{Args: []string{"backup", "create"}},
			Affects: []string{o.ctx.T("Nothing is stopped. The backup is kept on this server, and the other nodes copy it.")},
		}))
	}
	o.scroll.update(m)
	return nil
}

func (o *overview) keys() []key.Binding {
	return []key.Binding{
		key.NewBinding(key.WithKeys("up", "down"), key.WithHelp("j/k", "scroll")),
		key.NewBinding(key.WithKeys("B"), key.WithHelp("B", "back up")),
	}
}

func (o *overview) view() string {
	s := &sheet{ctx: o.ctx, width: o.width}
	o.banner(s)
	if !o.known() {
		if o.down == nil {
			s.add(o.ctx.T("asking the node daemon"))
		}
		return o.scroll.view(o.ctx, s.lines)
	}
	o.wrong(s)
	s.head(o.ctx.T("Nodes"))
	s.add(layOut(o.ctx, nodeColumns(), o.nodeRows(), o.width, -1)...)
	s.blank()
	o.standing(s)
	return o.scroll.view(o.ctx, s.lines)
}

// wrong is what is wrong now, and the next step for each of it.
func (o *overview) wrong(s *sheet) {
	t, all := o.ctx.Theme, o.troubles()
	if len(all) == 0 {
		if own := o.now.own(); !own.Ready {
			s.say(theme.Warning, t.Wait()+" ", o.ctx.T("Not everything is ready yet: %s", strings.Join(waiting(own), ", ")))
			return
		}
		if o.down != nil {
			s.say(theme.Dim, "", o.ctx.T("Nothing was wrong then."))
			return
		}
		s.say(theme.Good, t.OK()+" ", o.ctx.T("Nothing is wrong."))
		return
	}
	for _, p := range all {
		o.trouble(s, p)
	}
}

// waiting names the components that are not ready.
func waiting(own api.Status) (names []string) {
	for _, c := range own.Components {
		if !c.IsReady() {
			names = append(names, c.Name)
		}
	}
	return names
}

// trouble is a problem in its words: what, where, since when, why, and the next step.
func (b *board) trouble(s *sheet, p trouble) {
	mark, tone, word := b.ctx.Theme.Fail(), theme.Bad, b.ctx.T("critical")
	if p.Severity != health.Critical {
		mark, tone, word = b.ctx.Theme.Wait(), theme.Warning, b.ctx.T("warning")
	}
	where := ""
	if len(b.now.site) > 1 && (len(p.nodes) > 1 || p.nodes[0] != p.Subject) {
		where = " [" + strings.Join(p.nodes, " ") + "]"
	}
	s.say(tone, mark+" ", fmt.Sprintf("%s: %s%s", word, b.headline(p.Active), where))
	since := b.ctx.T("since %s (%s ago)", b.moment(p.Since), b.age(p.Since))
	if p.Detail != "" {
		since += ": " + b.ctx.Say(p.Detail)
	}
	s.say(theme.Plain, "  ", since)
	s.say(theme.Strong, "  ", b.ctx.T("next: %s", b.ctx.T(p.Advice)))
	if p.Code != "node-silent" {
		s.say(theme.Dim, "  ", b.ctx.T("more: %s", manualOf(p.Code)))
	}
}

// headline is a problem as a sentence in the language of the screen.
func (b *board) headline(p health.Active) string {
	return strings.TrimSpace(p.Subject + " " + b.ctx.T(p.Title))
}

// standing is what the site stands on: the datastore, the addresses for people, and the backups.
func (o *overview) standing(s *sheet) {
	own := o.now.own()
	text, tone := o.quorumText()
	s.field(o.ctx.T("Datastore"), text, tone)
	if d := own.Datastore; d != nil {
		text := o.ctx.T("%s, snapshots: %d", size(d.Bytes), d.Snapshots)
		if d.Snapshots > 0 {
			text += ", " + o.ctx.T("the newest %s old", o.age(d.NewestSnapshot))
		}
		s.field("", text, theme.Dim)
	}
	for _, v := range own.VIPs {
		text, tone := o.holder(v)
		s.field(o.ctx.T("Virtual address"), v.Address.String()+" "+text, tone)
	}
	text, tone = o.backups()
	s.field(o.ctx.T("Backups"), text, tone)
	s.field(o.ctx.T("Applications"), fmt.Sprintf("*.%s:%d", own.Node.Domain, own.Node.HTTPSPort), theme.Plain)
	s.field(o.ctx.T("Version"), own.Version+" "+short(own.Bundle.Digest), theme.Dim)
}

// short is enough of a digest to tell two apart.
func short(digest string) string { return digest[:min(len(digest), len("sha256:")+12)] }

// holder says who has a virtual address, and what it is for.
func (b *board) holder(v vip.Status) (string, theme.Tone) {
	purpose := map[vip.Purpose]string{vip.API: b.ctx.T("for the Kubernetes API"), vip.Applications: b.ctx.T("for applications")}[v.Purpose]
	switch {
	case v.Duplicate != "":
		return purpose + ": " + b.ctx.T("ALSO AT %s", v.Duplicate), theme.Bad
	case v.State == vip.Held:
		return purpose + ": " + b.ctx.T("held by %s", b.now.own().Node.Name), theme.Good
	case v.Holder != "":
		return purpose + ": " + b.ctx.T("held by %s", v.Holder), theme.Good
	case v.Missing():
		return purpose + ": " + b.ctx.T("HELD BY NOBODY"), theme.Bad
	}
	return purpose + ": " + b.ctx.T("not known here"), theme.Plain
}

func (b *board) backups() (string, theme.Tone) {
	newest, nodes := b.newestBackup()
	if newest.Path == "" {
		return b.ctx.T("none yet"), theme.Warning
	}
	text := b.ctx.T("the newest of %s, %s ago, %s, on %s", newest.Of, b.age(newest.Created), size(newest.Bytes), strings.Join(nodes, " "))
	if len(nodes) == 1 && len(b.now.site) > 1 {
		return text, theme.Warning
	}
	return text, theme.Plain
}
