package theme

import (
	"strings"

	"charm.land/lipgloss/v2"
)

// quiet is the empty margin of a code; readers manage with less than the four of the standard.
const quiet = 2

// Code draws a square of modules, such as a QR code, two of them above each other in a cell. It draws nothing where there
// are no half blocks: with two cells to a module no code fits a screen.
func (t Theme) Code(size int, black func(x, y int) bool) []string {
	if !t.unicode {
		return nil
	}
	style := lipgloss.NewStyle()
	if t.colors > 0 {
		style = style.Foreground(lipgloss.BrightWhite).Background(lipgloss.Black)
	}
	light := func(x, y int) bool { return y < size+quiet && !black(x, y) }
	var lines []string
	for y := -quiet; y < size+quiet; y += 2 {
		var b strings.Builder
		for x := -quiet; x < size+quiet; x++ {
			switch upper, lower := light(x, y), light(x, y+1); {
			case upper && lower:
				b.WriteString("█")
			case upper:
				b.WriteString("▀")
			case lower:
				b.WriteString("▄")
			default:
				b.WriteString(" ")
			}
		}
		lines = append(lines, style.Render(b.String()))
	}
	return lines
}
