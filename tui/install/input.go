package install

import (
	"strings"

	"islet/tui/theme"
)

func lined(lines []string) string { return strings.Join(lines, "\n") }

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
