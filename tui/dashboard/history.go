package dashboard

import (
	"fmt"
	"strings"
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/appliance/metric"
	"islet/tui/screen"
	"islet/tui/theme"
)

// history draws what a machine has used, over an hour or a day.
type history struct {
	*board
	of            func() (node string, used metric.History)
	day           bool
	width, height int
}

func newHistory(b *board) *history {
	return &history{board: b, of: func() (string, metric.History) { return b.now.own().Node.Name, b.now.history }}
}

func (h *history) setSize(width, height int) { h.width, h.height = width, height }
func (h *history) show() tea.Cmd             { return nil }
func (h *history) update(tea.Msg) tea.Cmd    { return nil }
func (h *history) typing() bool              { return false }
func (h *history) command() screen.Command {
	return screen.Command{Args: []string{"history"}, Kubectl: "kubectl top node " + h.now.own().Node.Name}
}

func (h *history) keys() []key.Binding {
	return []key.Binding{key.NewBinding(key.WithKeys("d"), key.WithHelp("d", "hour/day"))}
}

func (h *history) key(m tea.KeyPressMsg) tea.Cmd {
	if m.String() == "d" {
		h.day = !h.day
	}
	return nil
}

func (h *history) view() string {
	s := &sheet{ctx: h.ctx, width: h.width}
	h.banner(s)
	node, used := h.of()
	samples, over, apart := used.Recent, h.ctx.T("the last hour"), metric.Interval
	if h.day {
		samples, over, apart = used.Day, h.ctx.T("the last 24 hours"), metric.DayInterval
	}
	s.add(h.ctx.Theme.Say(theme.Strong, fmt.Sprintf("%s, %s", node, over)))
	if len(samples) == 0 {
		s.add(h.ctx.T("Nothing has been measured yet."))
		return join(s.lines, "")
	}
	last := samples[len(samples)-1]
	plots := []struct {
		name, words string
		of          func(metric.Sample) float64
	}{
		{h.ctx.T("CPU"), h.ctx.T("of %d processors, load %.2f", last.Processors, last.Load), func(s metric.Sample) float64 { return s.CPU }},
		{h.ctx.T("Memory"), h.ctx.T("%s of %s", size(last.MemoryUsed), size(last.MemoryTotal)), metric.Sample.Memory},
		{h.ctx.T("Disk"), h.ctx.T("%s of %s", size(last.DiskUsed), size(last.DiskTotal)), metric.Sample.Disk},
	}
	rows := max(1, min(8, (h.height-len(s.lines)-2-len(plots))/len(plots)))
	for _, p := range plots {
		values := spread(samples, p.of, h.width-axis, h.span(), apart)
		s.add(fmt.Sprintf("%s  %s  %s", h.ctx.Theme.Say(theme.Strong, p.name), percent(p.of(last)), p.words))
		for i, line := range h.ctx.Theme.Plot(values, h.width-axis, rows) {
			s.add(h.scale(i, rows) + h.ctx.Theme.Say(theme.Good, line))
		}
	}
	left := "-1 h"
	if h.day {
		left = "-24 h"
	}
	now := h.ctx.T("now")
	gap := max(1, h.width-axis-theme.Width(left)-theme.Width(now))
	s.add(h.ctx.Theme.Say(theme.Dim, strings.Repeat(" ", axis)+left+strings.Repeat(" ", gap)+now))
	return join(s.lines, "")
}

func (h *history) span() time.Duration {
	if h.day {
		return 24 * time.Hour
	}
	return time.Hour
}

// axis is the room for the scale.
const axis = 5

// scale is the axis beside a line of a plot.
func (h *history) scale(line, of int) string {
	mark := ""
	switch line {
	case 0:
		mark = "100%"
	case of - 1:
		mark = "0%"
	}
	return h.ctx.Theme.Say(theme.Dim, h.ctx.Theme.Right(mark, axis-1)+h.ctx.Theme.Bar())
}

// spread puts samples into as many columns as there are, by their time: the highest of each column, -1 where nothing was
// measured. The newest is at the right.
func spread(samples []metric.Sample, of func(metric.Sample) float64, columns int, over, apart time.Duration) []float64 {
	values := make([]float64, max(1, columns))
	for i := range values {
		values[i] = -1
	}
	end := samples[len(samples)-1].At
	for i, s := range samples {
		from := place(end.Sub(s.At), over, len(values))
		to := from
		if i+1 < len(samples) && samples[i+1].At.Sub(s.At) <= 2*apart { // as wide as the time until the next one
			to = place(end.Sub(samples[i+1].At), over, len(values)) - 1
		}
		for c := from; c >= 0 && c <= max(from, to) && c < len(values); c++ {
			values[c] = max(values[c], of(s))
		}
	}
	return values
}

// place is the column of something that is that long before the end; below 0 where it is before the beginning.
func place(before, over time.Duration, columns int) int {
	return columns - 1 - int(int64(before)*int64(columns)/int64(over))
}
