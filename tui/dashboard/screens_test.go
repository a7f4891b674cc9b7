package dashboard

import (
	"testing"

	"islet/tui/screen"
	"islet/tui/tuitest"
)

// The pages that the documentation shows.
func TestScreens(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		site func() *site
		tab  int
		keys []string
	}{
		"overview":   {healthy, tabOverview, nil},
		"problems":   {troubled, tabOverview, nil},
		"node":       {troubled, tabNodes, []string{"enter"}},
		"components": {troubled, tabComponents, []string{"down", "down", "down"}},
		"component":  {troubled, tabComponents, []string{"down", "down", "down", "enter"}},
		"log":        {healthy, tabComponents, []string{"l", "/", "E", "0", "enter"}},
		"pods":       {troubled, tabPods, nil},
		"history":    {healthy, tabHistory, nil},
		"plan":       {healthy, tabPlans, []string{"enter"}},
		"joining":    {healthy, tabJoining, []string{"A"}},
	} {
		tuitest.Shoot(t, name, func(ctx *screen.Context) screen.Page { return opened(t, ctx, c.site(), c.tab, c.keys...) })
	}
	for name, keys := range map[string][]string{"applications": nil, "application": {"h", "h", "enter"}, "order": {"o", "enter"}} {
		tuitest.Shoot(t, name, func(ctx *screen.Context) screen.Page { return shop(t, ctx, healthy(), 3, keys...) })
	}
}
