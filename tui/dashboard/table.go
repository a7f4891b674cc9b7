package dashboard

import (
	"slices"
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/tui/screen"
	"islet/tui/theme"
)

// column is one of a table. Its width is that of what is in it, at most most where that is not 0.
type column struct {
	title string // English
	most  int
	right bool
	from  int // width of the screen from which it is shown
	flex  bool
}

// row is a line of a table. Its key is what it is about, and stays the same while the cells change.
type row struct {
	key   string
	cells []cell
}

type cell struct {
	text string
	tone theme.Tone
}

// layOut draws a table's head and rows; selected is the row with the cursor, -1 for a table without one.
func layOut(ctx *screen.Context, columns []column, rows []row, width, selected int) []string {
	t := ctx.Theme
	shown, widths := measure(ctx, columns, rows, width-2)
	line := func(cells []cell, styled bool) string {
		var parts []string
		for i, c := range shown {
			pad := t.Pad
			if columns[c].right {
				pad = t.Right
			}
			text := pad(cells[c].text, widths[i])
			if styled {
				text = t.Say(cells[c].tone, text)
			}
			parts = append(parts, text)
		}
		return strings.Join(parts, "  ")
	}
	var head []cell
	for _, c := range columns {
		head = append(head, cell{text: ctx.T(c.title)})
	}
	lines := []string{t.Say(theme.Dim, "  "+line(head, false))}
	for i, r := range rows {
		if i == selected {
			lines = append(lines, t.Cursor()+t.Say(theme.Mark, " "+line(r.cells, false)))
		} else {
			lines = append(lines, "  "+line(r.cells, true))
		}
	}
	return lines
}

// measure decides which columns fit, and how wide each is.
func measure(ctx *screen.Context, columns []column, rows []row, width int) (shown, widths []int) {
	flex := -1
	for i, c := range columns {
		if c.from > width+2 {
			continue
		}
		w := theme.Width(ctx.T(c.title))
		for _, r := range rows {
			w = max(w, theme.Width(r.cells[i].text))
		}
		if c.most > 0 {
			w = min(w, max(c.most, theme.Width(ctx.T(c.title))))
		}
		if c.flex {
			flex = len(shown)
		}
		shown, widths = append(shown, i), append(widths, w)
	}
	total := 2 * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	if over := total - width; over > 0 && flex >= 0 {
		widths[flex] = max(6, widths[flex]-over)
	}
	return shown, widths
}

// table is a list with a cursor and a filter.
type table struct {
	ctx     *screen.Context
	columns []column
	all     []row // in their order
	rows    []row // those that pass the filter
	chosen  string
	top     int
	filter  string
	typing  bool

	width, height int
}

// fill replaces the rows. The cursor stays on what it was on.
func (t *table) fill(rows []row) {
	t.all, t.rows = rows, rows
	if t.filter != "" {
		t.rows = nil
		for _, r := range rows {
			if slices.ContainsFunc(r.cells, func(c cell) bool {
				return strings.Contains(strings.ToLower(c.text), strings.ToLower(t.filter))
			}) {
				t.rows = append(t.rows, r)
			}
		}
	}
	if t.at() < 0 && len(t.rows) > 0 {
		t.chosen = t.rows[0].key
	}
}

// at is the place of the cursor; -1 when there is no row.
func (t *table) at() int {
	return slices.IndexFunc(t.rows, func(r row) bool { return r.key == t.chosen })
}

// selected is the key of the row with the cursor, empty without one.
func (t *table) selected() string {
	if t.at() < 0 {
		return ""
	}
	return t.chosen
}

func (t *table) move(by int) {
	if len(t.rows) > 0 {
		t.chosen = t.rows[max(0, min(len(t.rows)-1, t.at()+by))].key
	}
}

var keyFilter = key.NewBinding(key.WithKeys("/"), key.WithHelp("/", "filter"))

// update takes the keys of a list, and says whether it has taken this one.
func (t *table) update(msg tea.KeyPressMsg) bool {
	if t.typing {
		t.edit(msg)
		return true
	}
	switch msg.String() {
	case "up", "k":
		t.move(-1)
	case "down", "j":
		t.move(1)
	case "pgup", "b", "ctrl+b":
		t.move(-t.room())
	case "pgdown", "space", " ", "ctrl+f":
		t.move(t.room())
	case "home", "<":
		t.move(-len(t.rows))
	case "end", ">":
		t.move(len(t.rows))
	case "/":
		t.typing = true
	default:
		return false
	}
	return true
}

func (t *table) edit(msg tea.KeyPressMsg) {
	switch msg.String() {
	case "enter":
		t.typing = false
	case "esc":
		t.typing, t.filter = false, ""
	default:
		t.filter = typed(t.filter, msg)
	}
	t.fill(t.all)
}

// typed is a text after a key.
func typed(text string, msg tea.KeyPressMsg) string {
	if msg.String() == "backspace" {
		runes := []rune(text)
		return string(runes[:max(0, len(runes)-1)])
	}
	const most = 60
	if len(text) < most {
		text += msg.Text
	}
	return text
}

// room is the number of rows that can be seen.
func (t *table) room() int {
	room := t.height - 1
	if t.typing || t.filter != "" {
		room--
	}
	return max(1, room)
}

// view draws head, rows and filter in the room that the table was given.
func (t *table) view() string {
	at, room := t.at(), t.room()
	if at >= 0 {
		t.top = max(at-room+1, min(t.top, at))
	}
	t.top = max(0, min(t.top, len(t.rows)-room))
	rows := t.rows[t.top:min(len(t.rows), t.top+room)]
	lines := layOut(t.ctx, t.columns, rows, t.width, at-t.top)
	if len(t.rows) == 0 {
		lines = append(lines, "  "+t.ctx.Theme.Say(theme.Dim, t.ctx.T("nothing")))
	}
	if t.typing || t.filter != "" {
		for len(lines) < room+1 {
			lines = append(lines, "")
		}
		line := "/" + t.filter
		if t.typing {
			line += "_"
		}
		lines = append(lines, line+"  "+t.ctx.Theme.Say(theme.Dim, t.ctx.T("%d of %d", len(t.rows), len(t.all))))
	}
	return strings.Join(lines, "\n")
}
