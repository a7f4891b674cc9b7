package dashboard

import (
	"cmp"
	"fmt"
	"slices"

	"islet/tui/screen"
	"islet/tui/theme"
)

func newCertificates(b *board) *list {
	l := newList(b, []column{
		{title: "NODE", most: 16}, {title: "CERTIFICATE", flex: true}, {title: "DAYS", right: true}, {title: "ENDS"},
		{title: "KIND"}, {title: "ISSUER", from: 100, most: 24}, {title: "USED BY", from: 120, most: 36},
	}, b.certificateRows)
	l.twin = screen.Command{Args: []string{"cert", "list"}}
	return l
}

// certificateRows are those of all nodes, the first to end at the top.
func (b *board) certificateRows() []row {
	type entry struct {
		row
		days int
	}
	var all []entry
	for _, r := range b.now.site {
		for _, c := range r.Status.Certificates {
			kind, tone := b.ctx.T("leaf"), theme.Plain
			if c.CA {
				kind = b.ctx.T("authority")
			}
			switch {
			case c.DaysLeft < 0:
				tone = theme.Bad
			case c.DaysLeft < expiresSoon:
				tone = theme.Warning
			}
			all = append(all, entry{row{r.Status.Node.Name + "/" + c.Name, []cell{
				{text: r.Status.Node.Name}, {text: c.Name}, {fmt.Sprint(c.DaysLeft), tone}, {text: c.NotAfter.UTC().Format("2006-01-02")},
				{text: kind}, {text: c.Issuer}, {text: c.UsedBy},
			}}, c.DaysLeft})
		}
	}
	slices.SortStableFunc(all, func(a, b entry) int { return cmp.Compare(a.days, b.days) })
	rows := make([]row, len(all))
	for i, e := range all {
		rows[i] = e.row
	}
	return rows
}
