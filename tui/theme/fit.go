package theme

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Width is the number of cells that a text takes; CJK takes two each.
func Width(text string) int { return ansi.StringWidth(text) }

// Cut is a text of at most width cells, with an ellipsis where something is missing.
func (t Theme) Cut(text string, width int) string {
	if width <= 0 {
		return ""
	}
	return ansi.Truncate(text, width, t.Ellipsis())
}

// Pad is a text of exactly width cells.
func (t Theme) Pad(text string, width int) string {
	text = t.Cut(text, width)
	return text + strings.Repeat(" ", max(0, width-Width(text)))
}

// Right is a text of exactly width cells, with the room on its left.
func (t Theme) Right(text string, width int) string {
	text = t.Cut(text, width)
	return strings.Repeat(" ", max(0, width-Width(text))) + text
}

// Wrap breaks a text into lines of at most width cells, at blanks where there are any.
func Wrap(text string, width int) []string {
	if width <= 0 {
		return nil
	}
	return strings.Split(ansi.Wrap(text, width, ""), "\n")
}

// Fit makes of any text exactly height lines of at most width cells.
func (t Theme) Fit(text string, width, height int) string {
	lines := strings.Split(text, "\n")
	if len(lines) > height {
		lines = lines[:max(0, height)]
	}
	for i, line := range lines {
		lines[i] = t.Cut(strings.TrimRight(line, "\r"), width)
	}
	for len(lines) < height {
		lines = append(lines, "")
	}
	return strings.Join(lines, "\n")
}

// Gauge is a bar of width cells that shows a share between 0 and 1.
func (t Theme) Gauge(share float64, width int) string {
	full := int(max(0, min(1, share))*float64(width) + 0.5)
	return strings.Repeat(t.Full(), full) + strings.Repeat(t.Empty(), max(0, width-full))
}

// Plot draws the newest values, each between 0 and 1, in width columns and height lines, the newest at the right. A value below
// 0 is one that is not known.
func (t Theme) Plot(values []float64, width, height int) []string {
	if len(values) > width {
		values = values[len(values)-width:]
	}
	levels := t.Levels()
	steps := len(levels) - 1
	lines := make([]string, height)
	for row := range height {
		var b strings.Builder
		b.WriteString(strings.Repeat(" ", width-len(values)))
		for _, v := range values {
			filled := int(max(0, min(1, v))*float64(height*steps)+0.5) - (height-1-row)*steps
			if v >= 0 && row == height-1 {
				filled = max(filled, 1) // what is known and nothing is a line at the bottom
			}
			b.WriteString(levels[max(0, min(steps, filled))])
		}
		lines[row] = b.String()
	}
	return lines
}
