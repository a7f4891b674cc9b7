package dashboard

import (
	"fmt"
	"strings"
	"time"

	"islet/tui/screen"
	"islet/tui/theme"
)

// span is a length of time for people: its largest unit.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + span(-d)
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// age is how long ago something was.
func (b *board) age(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return span(max(0, b.ctx.Now().Sub(t)))
}

// moment is a time of today, or of another day. All times on the screens are UTC, as the clock in the first line is.
func (b *board) moment(t time.Time) string {
	t, now := t.UTC(), b.ctx.Now().UTC()
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format(time.TimeOnly)
	}
	return t.Format("01-02 15:04")
}

func percent(share float64) string { return fmt.Sprintf("%.0f%%", 100*share) }

// size is a number of bytes in three digits.
func size(n int64) string {
	value, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for len(units) > 1 && value >= 1000 {
		value, units = value/1024, units[1:]
	}
	if value < 10 && units[0] != "B" {
		return fmt.Sprintf("%.1f %s", value, units[0])
	}
	return fmt.Sprintf("%.0f %s", value, units[0])
}

// sheet is a page of lines that is put together anew for each drawing.
type sheet struct {
	ctx   *screen.Context
	width int
	lines []string
}

func (s *sheet) add(lines ...string) { s.lines = append(s.lines, lines...) }

func (s *sheet) blank() {
	if len(s.lines) > 0 {
		s.add("")
	}
}

// head begins a part.
func (s *sheet) head(text string) {
	s.blank()
	s.add(s.ctx.Theme.Say(theme.Strong, text))
}

// say adds a text in a tone, wrapped, behind a mark that only the first line has.
func (s *sheet) say(tone theme.Tone, mark, text string) {
	indent := theme.Width(mark)
	for i, line := range theme.Wrap(text, max(10, s.width-indent)) {
		before := mark
		if i > 0 {
			before = strings.Repeat(" ", indent)
		}
		s.add(before + s.ctx.Theme.Say(tone, line))
	}
}

// labelWidth is that of the names of fields, Chinese ones included.
const labelWidth = 15

// field adds a name and a value, which may take several lines.
func (s *sheet) field(label, value string, tone theme.Tone) {
	s.say(tone, s.ctx.Theme.Say(theme.Dim, s.ctx.Theme.Pad(label, labelWidth))+" ", value)
}

// banner says that what follows is old.
func (b *board) banner(s *sheet) {
	if b.down == nil {
		return
	}
	t := b.ctx.Theme
	s.say(theme.Bad, t.Fail()+" ", b.ctx.T("The node daemon does not answer since %s (%s ago).", b.moment(b.since), b.age(b.since)))
	s.say(theme.Plain, "  ", b.ctx.T("next: %s", b.ctx.T("systemctl start appliance; what is wrong: appliance doctor")))
	s.say(theme.Dim, "  ", b.down.Error())
	if b.known() {
		s.say(theme.Warning, "  ", b.ctx.T("What follows is %s old.", b.age(b.now.at)))
	}
	s.add("")
}
