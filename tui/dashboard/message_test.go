package dashboard

import (
	"testing"

	"islet/appliance/component"
	"islet/appliance/health"
	"islet/appliance/plan"
	"islet/tui/message"
	"islet/tui/tuitest"
)

// What is put together elsewhere and comes to the screen as a variable has its translation, too.
func TestEverythingSaidIsTranslated(t *testing.T) {
	t.Parallel()
	known := func(text string) {
		if !message.Known(text) {
			t.Errorf("%q has no Chinese", text)
		}
	}
	for _, p := range health.Catalogue() {
		known(p.Title)
		known(p.Advice)
	}
	for _, s := range []component.State{component.Pending, component.Waiting, component.Preparing, component.Starting, component.Ready, component.Degraded, component.Backoff, component.Stopping, component.Stopped} {
		known(string(s))
	}
	d := opened(t, tuitest.Context(tuitest.Profiles["unicode"]), troubled(), tabOverview).(*Dashboard)
	columns := append(append(nodeColumns(), componentColumns()...), append(eventColumns(true), append(machineColumns(), stepColumns()...)...)...)
	for _, e := range d.entries {
		known(e.name)
		known(e.short)
		switch tab := e.tab.(type) {
		case *list:
			columns = append(columns, tab.table.columns...)
		case *pods:
			columns = append(columns, tab.table.columns...)
		case *plans:
			columns = append(columns, tab.table.columns...)
		}
	}
	for _, c := range columns {
		known(c.title)
	}
	for _, p := range d.board.troubles() {
		known(p.Title)
		known(p.Advice)
	}
	for _, s := range []plan.State{plan.Pending, plan.Running, plan.Unchanged, plan.Done, plan.Failed, plan.Interrupted} {
		known(string(s))
	}
	for _, k := range []plan.Kind{plan.Install, plan.Join, plan.Restore} {
		known(string(k))
	}
	for _, j := range journals() {
		for _, s := range j.Steps {
			known(s.Detail)
		}
	}
	for _, text := range []string{"server", "agent", "ready", "waiting", "joining", "refused", "not-ready", "unreachable"} {
		known(text)
	}
}
