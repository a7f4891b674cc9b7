package install

import (
	"strings"

	"charm.land/bubbles/v2/textinput"

	"islet/tui/screen"
	"islet/tui/theme"
)

// newInput is a line to type in. It does not blink, and looks like the rest.
func newInput(ctx *screen.Context, placeholder, value string, limit int) textinput.Model {
	in := textinput.New()
	in.Prompt, in.Placeholder, in.CharLimit = "", placeholder, limit
	plain := textinput.StyleState{Placeholder: ctx.Theme.Style(theme.Dim)}
	styles := textinput.Styles{Focused: plain, Blurred: plain}
	styles.Cursor.Blink = false
	in.SetStyles(styles)
	in.SetVirtualCursor(true)
	in.SetValue(value)
	in.CursorEnd()
	in.Focus()
	return in
}

func join(lines []string) string { return strings.Join(lines, "\n") }

// indent wraps a text behind a mark; what does not fit into the line goes below it.
func indent(mark, text string, width int) []string {
	room := max(1, width-theme.Width(mark))
	lines := theme.Wrap(text, room)
	for i, l := range lines {
		if i == 0 {
			lines[i] = mark + l
		} else {
			lines[i] = strings.Repeat(" ", theme.Width(mark)) + l
		}
	}
	return lines
}
