package dashboard

import (
	"errors"
	"strings"
	"testing"

	"islet/appliance/paas/survey"
	"islet/tui/screen"
	"islet/tui/tuitest"
)

func sweepShop(t *testing.T, environment int, keys ...string) {
	t.Helper()
	tuitest.Sweep(t, func(ctx *screen.Context) screen.Page { return shop(t, ctx, healthy(), environment, keys...) })
}

// shop is what keys lead to from the application that waits for prod.
func shop(t *testing.T, ctx *screen.Context, s *site, environment int, keys ...string) screen.Page {
	t.Helper()
	page := opened(t, ctx, s, tabApplications)
	d := page.(*Dashboard)
	press(d, "down")
	tab := d.front().(*applications)
	tab.tenant = "press"
	tab.app = 1
	for range environment {
		press(d, "l")
	}
	for _, k := range keys {
		page = press(page, k)
	}
	return page
}

func TestApplications(t *testing.T)     { t.Parallel(); sweepShop(t, 0) }
func TestApplicationsProd(t *testing.T) { t.Parallel(); sweepShop(t, 3) }
func TestTenants(t *testing.T)          { t.Parallel(); sweepShop(t, 0, "t") }
func TestNoEnvironment(t *testing.T)    { t.Parallel(); sweep(t, healthy, tabApplications) }
func TestNewTenant(t *testing.T) {
	t.Parallel()
	sweepShop(t, 0, "t", "N", "s", "h", "i", "p", "tab", "a", "n", "n", "tab", "tab")
}
func TestNewEnvironment(t *testing.T) { t.Parallel(); sweepShop(t, 0, "t", "E", "l", "tab") }
func TestApplication(t *testing.T)    { t.Parallel(); sweepShop(t, 1, "enter") }
func TestApplicationProd(t *testing.T) {
	t.Parallel()
	sweepShop(t, 3, "enter")
}
func TestStopApplication(t *testing.T) { t.Parallel(); sweepShop(t, 3, "enter", "Z") }
func TestScaleApplication(t *testing.T) {
	t.Parallel()
	sweepShop(t, 1, "enter", "C", "up", "l", "tab", "backspace", "4")
}
func TestOrders(t *testing.T)       { t.Parallel(); sweepShop(t, 0, "o") }
func TestOrderPending(t *testing.T) { t.Parallel(); sweepShop(t, 3, "o", "enter") }
func TestOrderRunning(t *testing.T) { t.Parallel(); sweepShop(t, 1, "o", "down", "enter") }
func TestOrderBeside(t *testing.T)  { t.Parallel(); sweepShop(t, 2, "enter", "o", "enter") }
func TestOrderDone(t *testing.T)    { t.Parallel(); sweepShop(t, 0, "o", "down", "down", "enter") }
func TestApproveOrder(t *testing.T) { t.Parallel(); sweepShop(t, 3, "o", "enter", "A") }
func TestRollBack(t *testing.T)     { t.Parallel(); sweepShop(t, 0, "o", "down", "down", "enter", "B") }
func TestPromote(t *testing.T)      { t.Parallel(); sweepShop(t, 0, "o", "down", "down", "enter", "M") }
func TestNewOrder(t *testing.T) {
	t.Parallel()
	sweepShop(t, 3, "N", "down", "down", "l", "l", "enter")
}
func TestNewRelease(t *testing.T) { t.Parallel(); sweepShop(t, 0, "enter", "V", "1", ".", "3", "tab") }
func TestDifference(t *testing.T) { t.Parallel(); sweepShop(t, 3, "d") }

// While the API is down what was known stays, with its age; from the beginning there is the reason.
func TestPlatformDown(t *testing.T) {
	t.Parallel()
	ctx := englishOn(t)
	s := healthy()
	s.kube = errors.New("connection refused")
	d := opened(t, ctx, s, tabApplications)
	expectView(t, d, "does not tell of its applications: connection refused", "goes on without it")
	s.kube = nil
	settle(d, d.(*Dashboard).front().show())
	expectView(t, d, "has no environment yet")
	s.kube = errors.New("connection refused")
	settle(d, d.(*Dashboard).front().show())
	expectView(t, d, "connection refused", "What follows is", "has no environment yet")
}

func TestNoTenant(t *testing.T) {
	t.Parallel()
	s := healthy()
	s.platform = survey.Survey{}
	d := opened(t, englishOn(t), s, tabApplications)
	expectView(t, d, "There is no tenant yet.")
	for _, k := range []string{"enter", "N", "d", "down", "right"} {
		if p := press(d, k); p != d {
			t.Errorf("%s leads to %s", k, p.Title())
		}
	}
}

// typedOn carries out what keys lead to on a page, and returns what was run.
func typedOn(t *testing.T, environment int, keys ...string) []string {
	t.Helper()
	ctx := englishOn(t)
	var ran []string
	page := shop(t, ctx, healthy(), environment)
	ctx.Run = func(args []string) screen.Result {
		ran = append(ran, strings.Join(args, " "))
		return screen.Result{Output: `{"environment":"press-dev","name":"shop-1.2-2"}`}
	}
	for _, k := range keys {
		page = press(page, k)
	}
	return ran
}

// word is a text as keys.
func word(text string) []string { return strings.Split(text, "") }

// Each action runs the very command that a person would type, and only after the word where it takes one.
func TestPlatformCommands(t *testing.T) {
	t.Parallel()
	order := func(down int, keys ...string) []string {
		to := []string{"o"}
		for range down {
			to = append(to, "down")
		}
		return append(append(to, "enter"), keys...)
	}
	with := func(keys []string, more ...string) []string { return append(keys, more...) }
	for name, c := range map[string]struct {
		environment int
		keys        []string
		want        string
	}{
		"restart":                   {0, []string{"enter", "R", "enter"}, "app restart press-dev shop"},
		"start":                     {0, []string{"enter", "A", "enter"}, "app start press-dev shop"},
		"stop without a word":       {0, []string{"enter", "Z", "enter"}, ""},
		"stop":                      {0, append([]string{"enter", "Z"}, append(word("shop"), "enter")...), "app stop press-dev shop"},
		"restart in prod":           {3, []string{"enter", "R", "enter"}, ""},
		"restart in prod, the word": {3, append([]string{"enter", "R"}, append(word("shop"), "enter")...), "app restart press-prod shop"},
		"scale":                     {1, []string{"enter", "C", "up", "l", "tab", "backspace", "4", "enter", "enter"}, "app scale press-test shop web=4"},
		"log":                       {1, []string{"enter", "l"}, "app logs press-test shop --lines 1000"},
		"compare":                   {3, []string{"d"}, "config diff press-release press-prod"},
		"compare the first":         {0, []string{"d"}, "config diff press-dev press-test"},
		"approve":                   {0, with(order(0, "A", "tab"), append(word("ok"), "enter", "s", "h", "o", "p", "-", "1", ".", "2", "-", "1", "enter")...), "order approve press-prod shop-1.2-1 --comment ok"},
		"pause":                     {0, order(1, "P", "enter"), "order pause press-test shop-1.2-1"},
		"give up":                   {0, with(order(1, "D"), append(word("shop-1.2-1"), "enter")...), "order abandon press-test shop-1.2-1"},
		"refuse what has begun":     {0, order(1, "X", "enter", "enter"), ""},
		"roll back":                 {0, with(order(2, "B"), append(word("shop-1.2-1"), "enter")...), "order rollback press-dev shop-1.2-1 -o json"},
		"promote":                   {0, with(order(2, "M", "enter", "enter")), "order create press-test shop-1.2 --verify 10s -o json"},
		"new order":                 {0, []string{"N", "down", "l", "down", "l", "enter", "enter"}, "order create press-dev shop-1.1 --verify 10s --as ann -o json"},
		"new order by parts":        {0, append([]string{"N", "down", "l", "down", "down", "l", "l", "tab", "tab"}, append(word("10:5m 50:1h"), "enter", "enter")...), "order create press-dev shop-1.1 --verify 10s --strategy ab --step 10:5m --step 50:1h -o json"},
		"new release":               {0, []string{"enter", "V", "1", ".", "3", "enter", "enter"}, "release create press-dev shop 1.3"},
		"new tenant without a name": {0, []string{"t", "N", "enter", "enter"}, ""},
		"new tenant":                {0, append(append([]string{"t", "N"}, word("ship")...), "tab", "a", "n", "n", "enter", "enter"), "tenant create ship --member User:ann=owner"},
		"new environment":           {0, []string{"t", "E", "enter", "enter"}, "env create press prod"},
		"new environment by name":   {0, []string{"t", "E", "h", "tab", "q", "a", "enter", "enter"}, "env create press qa --class release"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ran := typedOn(t, c.environment, c.keys...)
			if got := strings.Join(ran, "; "); got != c.want {
				t.Errorf("ran %q, want %q", got, c.want)
			}
		})
	}
}
