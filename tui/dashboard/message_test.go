package dashboard

import (
	"testing"

	"islet/appliance/component"
	"islet/appliance/health"
	"islet/appliance/paas/v1alpha1"
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
	columns = append(append(append(columns, orderColumns(true)...), tenantColumns()...), append(phaseColumns(), replicaColumns()...)...)
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
	for _, s := range []v1alpha1.State{v1alpha1.StateReady, v1alpha1.StateProgressing, v1alpha1.StateDegraded, v1alpha1.StateStopped} {
		known(string(s))
	}
	for _, p := range []v1alpha1.Phase{v1alpha1.PhaseDraft, v1alpha1.PhaseChecked, v1alpha1.PhasePending, v1alpha1.PhaseApproved, v1alpha1.PhaseRefused, v1alpha1.PhaseWaiting, v1alpha1.PhaseRunning, v1alpha1.PhaseVerifying, v1alpha1.PhaseDone, v1alpha1.PhaseFailed, v1alpha1.PhaseRollingBack, v1alpha1.PhaseRolledBack, v1alpha1.PhaseAbandoned} {
		known(string(p))
	}
	for _, r := range []v1alpha1.Role{v1alpha1.RoleOwner, v1alpha1.RoleDeployer, v1alpha1.RoleViewer, v1alpha1.RoleAuditor} {
		known(string(r))
	}
	for _, k := range []plan.Kind{plan.Install, plan.Join, plan.Restore} {
		known(string(k))
	}
	for _, j := range journals() {
		for _, s := range j.Steps {
			known(s.Detail)
		}
	}
	for _, text := range []string{v1alpha1.StrategyRolling, v1alpha1.StrategyBlueGreen, v1alpha1.StrategyAB, "server", "agent", "ready", "waiting", "joining", "refused", "not-ready", "unreachable"} {
		known(text)
	}
}
