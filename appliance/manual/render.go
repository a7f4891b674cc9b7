package manual

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
)

// Style says what the reader's screen can do.
type Style struct {
	Width int  // columns; less than 20 counts as 20
	Bold  bool // the screen knows bold and underlined, as every terminal since the VT100
}

const (
	leastWidth = 20
	indent     = 2
)

func parse(source []byte) ast.Node {
	return goldmark.New(goldmark.WithExtensions(extension.Table)).Parser().Parse(text.NewReader(source))
}

func title(source []byte) string {
	for node := parse(source).FirstChild(); node != nil; node = node.NextSibling() {
		if heading, ok := node.(*ast.Heading); ok {
			return plain((&page{source: source}).inline(heading))
		}
	}
	return ""
}

// Render writes a page for a screen: paragraphs filled, tables aligned, links to other pages as the command that shows them.
// Code is left as it is, also where it is wider than the screen: it is to be copied.
func Render(w io.Writer, source []byte, s Style) error {
	s.Width = max(s.Width, leastWidth)
	p := page{source: source, style: s}
	p.blocks(parse(source), 0)
	_, err := io.WriteString(w, strings.TrimLeft(p.out.String(), "\n"))
	return err
}

// page is one page on its way to the screen.
type page struct {
	source []byte
	style  Style
	out    strings.Builder
}

// blocks writes everything below parent, margin columns from the left.
func (p *page) blocks(parent ast.Node, margin int) {
	for node := parent.FirstChild(); node != nil; node = node.NextSibling() {
		switch n := node.(type) {
		case *ast.Heading:
			p.heading(n, margin)
		case *ast.Paragraph, *ast.TextBlock:
			if n.Kind() == ast.KindParagraph {
				p.out.WriteByte('\n')
			}
			p.paragraph(p.inline(n), strings.Repeat(" ", margin), margin)
		case *ast.List:
			p.list(n, margin)
		case *ast.Blockquote:
			p.blocks(n, margin+indent)
		case *ast.FencedCodeBlock, *ast.CodeBlock:
			p.code(n, margin)
		case *extast.Table:
			p.table(n, margin)
		default: // a rule, or HTML: the pages have none, which a test checks
		}
	}
}

func (p *page) heading(n *ast.Heading, margin int) {
	p.out.WriteByte('\n')
	words := p.inline(n)
	for i := range words {
		words[i].look = strong
	}
	if !p.style.Bold && n.Level == 1 {
		for i := range words {
			words[i].text = strings.ToUpper(words[i].text)
		}
	}
	p.paragraph(words, strings.Repeat(" ", margin), margin)
}

func (p *page) list(n *ast.List, margin int) {
	p.out.WriteByte('\n')
	number := n.Start
	for item := n.FirstChild(); item != nil; item = item.NextSibling() {
		mark := "- "
		if n.IsOrdered() {
			mark = fmt.Sprintf("%d. ", number)
			number++
		}
		deeper := margin + len(mark)
		lead := strings.Repeat(" ", margin) + mark
		first := item.FirstChild()
		if first == nil {
			continue
		}
		p.paragraph(p.inline(first), lead, deeper)
		rest := &page{source: p.source, style: p.style}
		for next := first.NextSibling(); next != nil; next = first.NextSibling() {
			item.RemoveChild(item, next)
			wrapper := ast.NewDocument()
			wrapper.AppendChild(wrapper, next)
			rest.blocks(wrapper, deeper)
		}
		p.out.WriteString(rest.out.String())
	}
}

func (p *page) code(n ast.Node, margin int) {
	p.out.WriteByte('\n')
	lines := n.Lines()
	for i := range lines.Len() {
		line := lines.At(i)
		p.out.WriteString(strings.TrimRight(strings.Repeat(" ", margin+2*indent)+string(line.Value(p.source)), " \n") + "\n")
	}
}

// look is how a word is shown.
type look int

const (
	ordinary look = iota
	strong
	code
)

// word is what stays on one line. glued says that no blank stands before it.
type word struct {
	text  string
	look  look
	glued bool
}

func plain(words []word) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 && !w.glued {
			b.WriteByte(' ')
		}
		b.WriteString(w.text)
	}
	return b.String()
}

// inline collects the words below n.
func (p *page) inline(n ast.Node) []word {
	c := collector{source: p.source}
	c.walk(n, ordinary)
	return c.words
}

type collector struct {
	source []byte
	words  []word
	apart  bool // a blank was seen since the last word
}

func (c *collector) walk(parent ast.Node, l look) {
	for node := parent.FirstChild(); node != nil; node = node.NextSibling() {
		switch n := node.(type) {
		case *ast.Text:
			c.add(string(n.Value(c.source)), l)
			if n.SoftLineBreak() || n.HardLineBreak() {
				c.apart = true
			}
		case *ast.String:
			c.add(string(n.Value), l)
		case *ast.CodeSpan:
			c.code(n)
		case *ast.Emphasis:
			c.walk(n, strong)
		case *ast.Link:
			c.link(n, l)
		case *ast.AutoLink:
			c.add(string(n.URL(c.source)), l)
		default:
			c.walk(n, l)
		}
	}
}

// add splits text at its blanks.
func (c *collector) add(s string, l look) {
	s = unescape(s)
	for i, field := range strings.Split(s, " ") {
		c.apart = c.apart || i > 0
		if field == "" {
			continue
		}
		c.words = append(c.words, word{text: field, look: l, glued: !c.apart && len(c.words) > 0})
		c.apart = false
	}
}

// unescape takes away the backslash that Markdown needs before a mark that is meant as itself.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte("\\`*_{}[]()<>#+-.!|", s[i+1]) >= 0 {
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// code keeps the quotes where nothing else can set a command apart from the words around it.
func (c *collector) code(n ast.Node) {
	var b bytes.Buffer
	for child := n.FirstChild(); child != nil; child = child.NextSibling() {
		if t, ok := child.(*ast.Text); ok {
			b.Write(t.Value(c.source))
		}
	}
	fields := strings.Fields(b.String())
	for i, field := range fields {
		c.words = append(c.words, word{text: field, look: code, glued: i == 0 && !c.apart && len(c.words) > 0})
		c.apart = false
	}
}

// link shows where a link leads: another page by its command, anything else by its address.
func (c *collector) link(n *ast.Link, l look) {
	c.walk(n, l)
	to, _, _ := strings.Cut(string(n.Destination), "#")
	shown := plain((&page{source: c.source}).inline(n))
	switch {
	case strings.HasSuffix(to, ".md") && !strings.Contains(to, "adr/"):
		topic := topicOf(path.Join(dir, to))
		if strings.TrimSuffix(shown, ".md") == topic {
			c.words[len(c.words)-1].text = "`appliance help " + topic + "`"
			return
		}
		c.apart = true
		c.add("(appliance help "+topic+")", l)
	case to == "" || to == shown:
	default:
		c.apart = true
		c.add("<"+to+">", l)
	}
}
