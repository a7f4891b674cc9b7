package dashboard

import (
	"strings"

	"islet/appliance/paas/survey"
	"islet/tui/theme"
)

// The widths of the columns of environments, and of the names before them.
const (
	leastCell = 15
	mostCell  = 30
	mostName  = 20
)

// matrix draws the applications of a line of environments in a number of lines. Environments that there is no room for are those
// farthest from the cursor.
func (a *applications) matrix(line []survey.Environment, names []string, height int) []string {
	t := a.ctx.Theme
	nameWidth := theme.Width(a.ctx.T("APPLICATION"))
	for _, n := range names {
		nameWidth = min(mostName, max(nameWidth, theme.Width(n)))
	}
	room := a.width - nameWidth - 4
	shown := max(1, min(len(line), room/(leastCell+2)))
	first := max(0, min(a.at-shown+1, len(line)-shown))
	if first > 0 && a.at > 0 { // the environment before stays in sight: it is what one compares with
		first = min(first, max(0, a.at-1))
	}
	cellWidth := min(mostCell, room/shown-2)

	head := []string{"", t.Say(theme.Dim, t.Pad(a.ctx.T("APPLICATION"), nameWidth))}
	for i := first; i < first+shown; i++ {
		head = append(head, a.heading(line[i], cellWidth))
	}
	lines := []string{strings.Join(head, "  ") + a.beyond(first, len(line)-first-shown)}
	rows := max(1, height-1)
	a.top = max(0, min(max(a.app-rows+1, min(a.top, a.app)), len(names)-rows))
	for i := a.top; i < min(len(names), a.top+rows); i++ {
		text := "  " + t.Pad(names[i], nameWidth)
		if i == a.app {
			text = t.Cursor() + " " + t.Say(theme.Strong, t.Pad(names[i], nameWidth))
		}
		for k := first; k < first+shown; k++ {
			cell, tone := a.cell(line, k, names[i])
			cell = t.Pad(cell, cellWidth)
			if i == a.app && k == a.at {
				tone = theme.Mark
			}
			text += "  " + t.Say(tone, cell)
		}
		lines = append(lines, strings.TrimRight(text, " "))
	}
	return lines
}

// heading names an environment; one of prod wears its band.
func (a *applications) heading(e survey.Environment, width int) string {
	t := a.ctx.Theme
	if e.Prod() {
		text := " " + e.Short + " "
		if e.Short != "prod" {
			text = " " + e.Short + ": PROD "
		}
		text = t.Cut(text, width)
		return t.Say(theme.Prod, text) + strings.Repeat(" ", max(0, width-theme.Width(text)))
	}
	return t.Say(theme.Dim, t.Pad(e.Short, width))
}

// beyond says how many environments are out of sight on either side.
func (a *applications) beyond(before, after int) string {
	if before+after == 0 {
		return ""
	}
	return " " + a.ctx.Theme.Say(theme.Dim, "+"+a.ctx.T("%d", before+after))
}

// cell is an application in an environment: what runs, how it is, and whether that is another one than before.
func (a *applications) cell(line []survey.Environment, at int, name string) (string, theme.Tone) {
	app, ok := a.seen.Application(line[at].Name, name)
	if !ok {
		return "-", theme.Dim
	}
	mark := ""
	if differs(a.seen, line, at, name) {
		mark = "*"
	}
	text := running(app) + mark + " "
	return text + a.ctx.T(string(app.State)), stateOfApp(app.State)
}
