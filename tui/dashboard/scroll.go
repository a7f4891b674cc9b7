package dashboard

import (
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"islet/tui/screen"
	"islet/tui/theme"
)

// scroll shows a part of lines that may be more than fit.
type scroll struct {
	top, height int
}

// update takes the keys that move, and says whether this is one.
func (s *scroll) update(msg tea.KeyPressMsg) bool {
	switch msg.String() {
	case "up", "k":
		s.top--
	case "down", "j":
		s.top++
	case "pgup", "b", "ctrl+b":
		s.top -= s.height
	case "pgdown", "space", " ", "ctrl+f":
		s.top += s.height
	case "home", "<":
		s.top = 0
	case "end", ">":
		s.top = 1 << 30
	default:
		return false
	}
	return true
}

// view is what can be seen of the lines. Where there are more below, the last line says how many.
func (s *scroll) view(ctx *screen.Context, lines []string) string {
	s.top = max(0, min(s.top, len(lines)-s.height))
	seen := slices.Clone(lines[s.top:min(len(lines), s.top+max(0, s.height))])
	if below := len(lines) - s.top - len(seen); below > 0 && len(seen) > 0 {
		seen[len(seen)-1] = ctx.Theme.Say(theme.Dim, ctx.T("%s %d more lines: j, or Space", ctx.Theme.Ellipsis(), below+1))
	}
	return strings.Join(seen, "\n")
}
