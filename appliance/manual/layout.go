package manual

import (
	"strings"
	"unicode/utf8"

	extast "github.com/yuin/goldmark/extension/ast"
)

// paragraph fills lines with the words. The first begins with lead, the others with margin blanks.
func (p *page) paragraph(words []word, lead string, margin int) {
	for i, line := range p.fill(words, p.style.Width-margin) {
		if i == 0 {
			p.out.WriteString(lead)
		} else {
			p.out.WriteString(strings.Repeat(" ", margin))
		}
		p.out.WriteString(line + "\n")
	}
}

// fill breaks words into lines of at most width columns; a word that is wider has a line of its own.
func (p *page) fill(words []word, width int) []string {
	var (
		lines []string
		line  strings.Builder
		used  int
	)
	for start := 0; start < len(words); {
		end := start + 1
		for end < len(words) && words[end].glued {
			end++
		}
		group := words[start:end]
		need := utf8.RuneCountInString(plain(group))
		if used > 0 && used+1+need > width {
			lines = append(lines, line.String())
			line.Reset()
			used = 0
		}
		if used > 0 {
			line.WriteByte(' ')
			used++
		}
		line.WriteString(p.shown(group))
		used += need
		start = end
	}
	if used > 0 {
		lines = append(lines, line.String())
	}
	return lines
}

// shown is the words with the marks that make the screen show them as they should be.
func (p *page) shown(words []word) string {
	var b strings.Builder
	for _, w := range words {
		switch {
		case p.style.Bold && w.look == strong:
			b.WriteString("\x1b[1m" + w.text + "\x1b[22m")
		case p.style.Bold && w.look == code:
			b.WriteString("\x1b[4m" + w.text + "\x1b[24m")
		default:
			b.WriteString(w.text)
		}
	}
	return b.String()
}

const gap = 2 // columns between cells

func (p *page) table(n *extast.Table, margin int) {
	var rows [][][]word
	for row := n.FirstChild(); row != nil; row = row.NextSibling() {
		var cells [][]word
		for cell := row.FirstChild(); cell != nil; cell = cell.NextSibling() {
			words := p.inline(cell)
			if row.Kind() == extast.KindTableHeader {
				for i := range words {
					words[i].look = strong
				}
			}
			cells = append(cells, words)
		}
		rows = append(rows, cells)
	}
	widths := columns(rows, p.style.Width-margin)
	p.out.WriteByte('\n')
	for y, row := range rows {
		p.row(row, widths, margin)
		if y == 0 && !p.style.Bold {
			p.row(rules(widths), widths, margin)
		}
	}
}

// rules sets the head of a table apart where no bold does.
func rules(widths []int) [][]word {
	cells := make([][]word, len(widths))
	for i, width := range widths {
		cells[i] = []word{{text: strings.Repeat("-", width)}}
	}
	return cells
}

// row writes the cells of one row side by side.
func (p *page) row(cells [][]word, widths []int, margin int) {
	var filled [][]string
	height := 0
	for i, cell := range cells {
		lines := p.fill(cell, widths[i])
		filled = append(filled, lines)
		height = max(height, len(lines))
	}
	for y := range height {
		var line strings.Builder
		line.WriteString(strings.Repeat(" ", margin))
		for i, lines := range filled {
			cell := ""
			if y < len(lines) {
				cell = lines[y]
			}
			line.WriteString(cell + strings.Repeat(" ", max(0, widths[i]-visible(cell))+gap))
		}
		p.out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// visible counts the columns of a line that may hold the marks of shown.
func visible(s string) int {
	n, mark := 0, false
	for _, r := range s {
		switch {
		case r == '\x1b':
			mark = true
		case mark:
			mark = r != 'm'
		default:
			n++
		}
	}
	return n
}

// columns gives each column its width: what it needs, and where that is too much the widest give way.
func columns(rows [][][]word, width int) []int {
	var widths, least []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths, least = append(widths, 0), append(least, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(plain(cell)))
			for _, w := range cell {
				least[i] = max(least[i], utf8.RuneCountInString(w.text))
			}
		}
	}
	for excess(widths) > width {
		widest := -1
		for i := range widths {
			if widths[i] > least[i] && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break // words that cannot be broken: the screen wraps them
		}
		widths[widest]--
	}
	return widths
}

func excess(widths []int) int {
	total := 0
	for _, w := range widths {
		total += w + gap
	}
	return total - gap
}
