package tuitest

import (
	"image"
	"image/color"
	"image/draw"
	"strconv"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/gomonobold"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// The size of a cell in points of a picture. Go Mono is 0.6 of its size wide.
const (
	fontSize   = 20
	cellWidth  = 12
	cellHeight = 24
	baseline   = 18
	margin     = 8
)

// palette are the 16 colours of a terminal, as pictures show them, then what is drawn without a colour and the ground.
var palette = [16]color.RGBA{
	{0x1c, 0x1f, 0x24, 0xff}, {0xe0, 0x5a, 0x5a, 0xff}, {0x7a, 0xc4, 0x74, 0xff}, {0xe2, 0xb8, 0x5c, 0xff},
	{0x6a, 0x9f, 0xe0, 0xff}, {0xc0, 0x8a, 0xd8, 0xff}, {0x66, 0xc2, 0xc2, 0xff}, {0xd8, 0xdb, 0xe0, 0xff},
	{0x80, 0x86, 0x90, 0xff}, {0xff, 0x7a, 0x7a, 0xff}, {0x9a, 0xe0, 0x94, 0xff}, {0xff, 0xd8, 0x7c, 0xff},
	{0x8a, 0xbf, 0xff, 0xff}, {0xe0, 0xaa, 0xf8, 0xff}, {0x86, 0xe2, 0xe2, 0xff}, {0xff, 0xff, 0xff, 0xff},
}

const (
	ground = 0
	ink    = 7
)

// look is how a cell is drawn.
type look struct {
	front, back   int // in palette
	bold, reverse bool
}

// Picture draws a screen, with its colours, as a terminal would.
func Picture(drawn string) (image.Image, error) {
	normal, err := face(gomono.TTF)
	if err != nil {
		return nil, err
	}
	bold, err := face(gomonobold.TTF)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(drawn, "\n")
	columns := 0
	cells := make([][]cell, len(lines))
	for i, line := range lines {
		cells[i] = cellsOf(line)
		columns = max(columns, len(cells[i]))
	}
	img := image.NewPaletted(image.Rect(0, 0, columns*cellWidth+2*margin, len(lines)*cellHeight+2*margin), shades())
	draw.Draw(img, img.Bounds(), image.NewUniform(palette[ground]), image.Point{}, draw.Src)
	for y, row := range cells {
		for x, c := range row {
			f := normal
			if c.look.bold {
				f = bold
			}
			c.draw(img, f, image.Pt(margin+x*cellWidth, margin+y*cellHeight))
		}
	}
	return img, nil
}

// shades are the colours and what is between each of them and the ground: 256 that a small file can hold.
func shades() color.Palette {
	var all color.Palette
	const steps = 15
	mix := func(a, b uint8, part int) uint8 { return uint8((int(a)*(steps-part) + int(b)*part) / steps) }
	g := palette[ground]
	for _, c := range palette[1:] {
		for part := 1; part <= steps; part++ {
			all = append(all, color.RGBA{mix(g.R, c.R, part), mix(g.G, c.G, part), mix(g.B, c.B, part), 0xff})
		}
	}
	return append(all, g)
}

func face(ttf []byte) (font.Face, error) {
	parsed, err := opentype.Parse(ttf)
	if err != nil {
		return nil, err
	}
	return opentype.NewFace(parsed, &opentype.FaceOptions{Size: fontSize, DPI: 72, Hinting: font.HintingFull})
}

type cell struct {
	r    rune
	look look
}

// cellsOf takes a line apart into cells; every rune takes one, so it is not for Chinese.
func cellsOf(line string) (cells []cell) {
	l := look{front: ink}
	for line != "" {
		if rest, ok := strings.CutPrefix(line, "\x1b["); ok {
			parameters, after, _ := strings.Cut(rest, "m")
			l = l.with(parameters)
			line = after
			continue
		}
		for i, r := range line {
			if r == 0x1b {
				line = line[i:]
				break
			}
			cells = append(cells, cell{r, l})
			if i+len(string(r)) == len(line) {
				line = ""
			}
		}
	}
	return cells
}

// with is a look after a sequence of ECMA-48's SGR, as far as the theme writes them.
func (l look) with(parameters string) look {
	for p := range strings.SplitSeq(parameters, ";") {
		n, _ := strconv.Atoi(p) // nothing is 0
		switch {
		case n == 0:
			l = look{front: ink}
		case n == 1:
			l.bold = true
		case n == 7:
			l.reverse = true
		case n >= 30 && n <= 37:
			l.front = n - 30
		case n >= 90 && n <= 97:
			l.front = n - 90 + 8
		case n >= 40 && n <= 47:
			l.back = n - 40
		}
	}
	return l
}

// blocks are the parts of a cell that a glyph fills, in eighths from the top: fonts seldom have them all.
var blocks = map[rune][2]int{'█': {0, 8}, '▀': {0, 4}, '▄': {4, 8}, '▁': {7, 8}, '▂': {6, 8}, '▃': {5, 8}, '▅': {3, 8}, '▆': {2, 8}, '▇': {1, 8}}

// rules are the horizontal and the vertical line of a cell, from and to in points, so that they meet those of the next cells.
var rules = map[rune][4]int{
	'─': {0, cellWidth, 0, 0}, '│': {0, 0, 0, cellHeight},
	'┌': {5, cellWidth, 11, cellHeight}, '┐': {0, 7, 11, cellHeight}, '└': {5, cellWidth, 0, 13}, '┘': {0, 7, 0, 13},
}

// strokes are lines in a cell, in points, of marks that Go Mono does not have.
var strokes = map[rune][]image.Point{
	'✓': {{2, 12}, {5, 16}, {10, 6}},
	'✗': {{2, 7}, {10, 16}, {6, 11}, {10, 7}, {2, 16}},
}

func (c cell) draw(img *image.Paletted, f font.Face, at image.Point) {
	front, back := c.look.front, c.look.back
	if c.look.reverse {
		front, back = back, front
	}
	if back != ground {
		draw.Draw(img, image.Rectangle{at, at.Add(image.Pt(cellWidth, cellHeight))}, image.NewUniform(palette[back]), image.Point{}, draw.Src)
	}
	source := image.NewUniform(palette[front])
	if part, ok := blocks[c.r]; ok {
		filled := image.Rect(at.X, at.Y+part[0]*cellHeight/8, at.X+cellWidth, at.Y+part[1]*cellHeight/8)
		draw.Draw(img, filled, source, image.Point{}, draw.Src)
		return
	}
	if points, ok := strokes[c.r]; ok {
		for i := 1; i < len(points); i++ {
			stroke(img, palette[front], at.Add(points[i-1]), at.Add(points[i]))
		}
		return
	}
	if l, ok := rules[c.r]; ok {
		bar := func(x0, y0, x1, y1 int) {
			draw.Draw(img, image.Rect(at.X+x0, at.Y+y0, at.X+x1, at.Y+y1), source, image.Point{}, draw.Src)
		}
		bar(l[0], 11, l[1], 13)
		bar(5, l[2], 7, l[3])
		return
	}
	switch c.r {
	case '░':
		for i := range cellWidth * cellHeight / 8 {
			img.Set(at.X+i*4%cellWidth+i/3%2*2, at.Y+i/3*2, palette[front])
		}
	default:
		d := font.Drawer{Dst: img, Src: source, Face: f, Dot: fixed.P(at.X, at.Y+baseline)}
		d.DrawString(string(c.r))
	}
}

// stroke is a line two points wide.
func stroke(img *image.Paletted, c color.Color, from, to image.Point) {
	steps := max(abs(to.X-from.X), abs(to.Y-from.Y), 1) * 2
	for i := range steps + 1 {
		p := image.Pt(from.X+(to.X-from.X)*i/steps, from.Y+(to.Y-from.Y)*i/steps)
		for _, q := range []image.Point{p, p.Add(image.Pt(1, 0)), p.Add(image.Pt(0, 1)), p.Add(image.Pt(1, 1))} {
			img.Set(q.X, q.Y, c)
		}
	}
}

func abs(n int) int { return max(n, -n) }
