package screen

import (
	"charm.land/bubbles/v2/textinput"

	"islet/tui/theme"
)

// Input is a focused line to type in, of at most limit characters. It does not blink, and looks like the rest: the library's own
// styles have colours, which not every terminal has.
func (c *Context) Input(placeholder, value string, limit int) textinput.Model {
	in := textinput.New()
	in.Prompt, in.Placeholder, in.CharLimit = "", placeholder, limit
	plain := textinput.StyleState{Placeholder: c.Theme.Style(theme.Dim)}
	styles := textinput.Styles{Focused: plain, Blurred: plain}
	styles.Cursor.Blink = false
	in.SetStyles(styles)
	in.SetVirtualCursor(true)
	in.SetValue(value)
	in.CursorEnd()
	in.Focus()
	return in
}
