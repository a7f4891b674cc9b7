package dashboard

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"islet/tui/screen"
	"islet/tui/theme"
)

// What a pager keeps: 5,000 lines of at most 2 KiB, so less than 10 MB whatever a program prints.
const (
	keptLines = 5000
	lineBytes = 2 << 10
)

// pager shows a text that may grow, follows its end unless told otherwise, and finds words in it.
type pager struct {
	ctx           *screen.Context
	lines         []string
	scroll        scroll
	stay          bool // the end is not followed
	left          int  // columns that are out of sight
	search        string
	typing        bool
	width, height int
}

// add appends lines, and drops the oldest where there are too many.
func (p *pager) add(lines ...string) {
	for _, l := range lines {
		if len(l) > lineBytes {
			l = strings.ToValidUTF8(l[:lineBytes], "")
		}
		p.lines = append(p.lines, strings.Clone(l))
	}
	if over := len(p.lines) - keptLines; over > 0 {
		clear(p.lines[:over])
		p.lines = p.lines[over:] // append makes a new array from time to time, without what is before this one
		p.scroll.top = max(0, p.scroll.top-over)
	}
}

func (p *pager) setSize(width, height int) {
	p.width, p.height = width, height
	p.scroll.height = max(1, height-1)
}

// update takes the keys of a pager, and says whether this is one.
func (p *pager) update(msg tea.KeyPressMsg) bool {
	if p.typing {
		p.edit(msg)
		return true
	}
	switch msg.String() {
	case "/":
		p.typing, p.search = true, ""
	case "n":
		p.find(p.scroll.top+1, 1)
	case "N":
		p.find(p.scroll.top-1, -1)
	case "left", "h":
		p.left = max(0, p.left-20)
	case "right", "l":
		p.left += 20
	case "f":
		p.stay = !p.stay
	default:
		if !p.scroll.update(msg) {
			return false
		}
		p.stay = p.scroll.top < len(p.lines)-p.scroll.height
	}
	return true
}

func (p *pager) edit(msg tea.KeyPressMsg) {
	switch msg.String() {
	case "enter":
		p.typing = false
		p.find(p.scroll.top, 1)
	case "esc":
		p.typing, p.search = false, ""
	default:
		p.search = typed(p.search, msg)
	}
}

// find goes to the next line with the word that is searched for, round the end.
func (p *pager) find(from, step int) {
	if p.search == "" || len(p.lines) == 0 {
		return
	}
	for i := range p.lines {
		at := ((from+i*step)%len(p.lines) + len(p.lines)) % len(p.lines)
		if p.hit(p.lines[at]) {
			p.scroll.top, p.stay = at, true
			return
		}
	}
}

func (p *pager) hit(line string) bool {
	return p.search != "" && strings.Contains(strings.ToLower(line), strings.ToLower(p.search))
}

func (p *pager) hits() (n int) {
	for _, l := range p.lines {
		if p.hit(l) {
			n++
		}
	}
	return n
}

// view draws the lines and below them where one is.
func (p *pager) view() string {
	t := p.ctx.Theme
	if !p.stay {
		p.scroll.top = 1 << 30
	}
	p.scroll.top = max(0, min(p.scroll.top, len(p.lines)-1))
	if !p.stay {
		p.scroll.top = max(0, len(p.lines)-p.scroll.height)
	}
	var lines []string
	for _, l := range p.lines[p.scroll.top:min(len(p.lines), p.scroll.top+p.scroll.height)] {
		shown := t.Cut(cutLeft(l, p.left), p.width)
		if p.hit(l) {
			shown = t.Say(theme.Mark, shown)
		}
		lines = append(lines, shown)
	}
	for len(lines) < p.scroll.height {
		lines = append(lines, "")
	}
	return strings.Join(append(lines, p.foot()), "\n")
}

func (p *pager) foot() string {
	t := p.ctx.Theme
	if p.typing {
		return "/" + p.search + "_"
	}
	last := min(len(p.lines), p.scroll.top+p.scroll.height)
	foot := p.ctx.T("line %d of %d", last, len(p.lines))
	if !p.stay {
		foot += ", " + p.ctx.T("follows the end")
	}
	if p.search != "" {
		foot = fmt.Sprintf("/%s: %s; %s", p.search, p.ctx.T("%d lines have it", p.hits()), foot)
	}
	return t.Say(theme.Dim, foot)
}

// cutLeft is a line without its first columns.
func cutLeft(line string, columns int) string {
	for i := range line {
		if theme.Width(line[:i]) >= columns {
			return line[i:]
		}
	}
	if columns > 0 {
		return ""
	}
	return line
}
