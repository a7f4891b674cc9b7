// Package theme is how things look: views ask it for borders, marks and styles, and never write a glyph or a colour. On a
// terminal without Unicode all of it is ASCII, without colours it is bold, reverse and words.
package theme

import (
	"image/color"

	"charm.land/lipgloss/v2"

	"islet/tui/term"
)

// Tone is what a text says by its looks; a word always says it, too.
type Tone int

// The tones there are.
const (
	Plain  Tone = iota
	Dim         // of less interest
	Strong      // a title, what is chosen
	Good
	Warning
	Bad
	Mark // the selected line: reversed
	Prod // an environment in which a mistake costs money
)

// Theme draws for one terminal.
type Theme struct {
	unicode bool
	colors  int
	slow    bool
}

// New returns the theme of a terminal.
func New(p term.Profile) Theme { return Theme{unicode: p.Unicode, colors: p.Colors, slow: p.Slow()} }

// Unicode says whether more than ASCII may be drawn.
func (t Theme) Unicode() bool { return t.unicode }

// Style is how a tone is drawn. It is empty where the terminal has nothing for it.
func (t Theme) Style(tone Tone) lipgloss.Style {
	s := lipgloss.NewStyle()
	switch tone {
	case Strong:
		s = s.Bold(true)
	case Mark:
		return s.Reverse(true)
	case Prod:
		return t.colored(s.Bold(true).Reverse(true), lipgloss.Red)
	case Dim:
		if t.colors >= 256 {
			return t.colored(s, lipgloss.BrightBlack)
		}
	case Good:
		return t.colored(s, lipgloss.Green)
	case Warning:
		return t.colored(s, lipgloss.Yellow)
	case Bad:
		return t.colored(s.Bold(true), lipgloss.Red)
	case Plain:
	}
	return s
}

func (t Theme) colored(s lipgloss.Style, c color.Color) lipgloss.Style {
	if t.colors == 0 {
		return s
	}
	return s.Foreground(c)
}

// Say is a text in a tone.
func (t Theme) Say(tone Tone, text string) string { return t.Style(tone).Render(text) }

// pick is the glyph where it can be drawn, else what stands for it.
func (t Theme) pick(glyph, ascii string) string {
	if t.unicode {
		return glyph
	}
	return ascii
}

// OK is a mark in front of a line whose words say the same, as are Fail and Wait.
func (t Theme) OK() string { return t.Say(Good, t.pick("✓", "+")) }

// Fail marks what is wrong.
func (t Theme) Fail() string { return t.Say(Bad, t.pick("✗", "x")) }

// Wait marks what is not there yet.
func (t Theme) Wait() string { return t.Say(Warning, t.pick("•", "-")) }

// Cursor is in front of what is selected.
func (t Theme) Cursor() string { return t.pick("›", ">") }

// Ellipsis stands for what did not fit.
func (t Theme) Ellipsis() string { return t.pick("…", "~") }

// Rule is one cell of a horizontal line.
func (t Theme) Rule() string { return t.pick("─", "-") }

// Bar is one vertical cell between columns.
func (t Theme) Bar() string { return t.pick("│", "|") }

// Full and Empty are the cells of a bar that shows how much of something is used.
func (t Theme) Full() string { return t.pick("█", "#") }

// Empty is the cell of what is not used.
func (t Theme) Empty() string { return t.pick("░", ".") }

// Levels are the cells of a plot from the lowest to the highest, at least two.
func (t Theme) Levels() []string {
	if t.unicode {
		return []string{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}
	}
	return []string{" ", ".", ":", "|", "#"}
}

// Border surrounds a dialog.
func (t Theme) Border() lipgloss.Border {
	if t.unicode {
		return lipgloss.NormalBorder()
	}
	return lipgloss.ASCIIBorder()
}

// Spin is what turns while something is waited for, at a step that grows by one with each frame. On a slow line it stands still.
func (t Theme) Spin(step int) string {
	if t.slow {
		return "*"
	}
	const turn = `|/-\`
	return string(turn[step%len(turn)])
}
