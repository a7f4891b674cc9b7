package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"islet/appliance/controlplane"
	"islet/appliance/datastore"
)

// One after the other the API server, the datastore and the daemon end below the dashboard. It stays usable, says what is
// wrong, and recovers by itself.
func TestDashboard(t *testing.T) {
	t.Parallel()
	p := boot(t, "dashboard")
	await(t, readyLimit, "readiness", p.ready)
	c := sit(t, p.host, usual, []string{"TERM=linux", "LANG=C.UTF-8"}, "appliance")
	c.see(screenLimit, "Nothing is wrong.", "node1", p.site)
	narrow := sit(t, p.host, small, []string{"TERM=vt220"}, "appliance", "dashboard")
	narrow.see(screenLimit, "+ Nothing is wrong.")

	t.Run("kube-apiserver", func(t *testing.T) { p.losesComponent(t, c, controlplane.APIServerName) })
	c.press("4")
	c.see(screenLimit, "coredns")
	t.Run("kine", func(t *testing.T) { p.losesComponent(t, c, datastore.KineName) })

	if err := p.host.StopBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.press("1")
	c.see(screenLimit, "The node daemon does not answer since", "systemctl start appliance", "old.")
	narrow.see(screenLimit, "does not answer since")
	c.press("3")
	c.see(screenLimit, "kubelet") // what was known
	if err := p.host.StartBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.miss(readyLimit, "does not answer")
	c.press("1")
	c.see(readyLimit, "Nothing is wrong.")
	narrow.see(readyLimit, "+ Nothing is wrong.")

	c.press("q")
	c.leave()
}

// losesComponent kills a component until it is a problem, which the dashboard must show while it is usable, and lets it come
// back.
func (p *platform) losesComponent(t *testing.T, c *console, name string) {
	t.Helper()
	c.press("1")
	await(t, readyLimit, name+" is a problem", func(ctx context.Context) error {
		part, err := p.component(ctx, name)
		if err != nil {
			return err
		}
		if part.PID > 0 {
			p.run(t, "sh", "-c", fmt.Sprintf("kill -KILL %d || true", part.PID))
		}
		if !strings.Contains(c.screen.String(), name+" keeps stopping") {
			return errors.New(c.screen.String())
		}
		return nil
	})
	c.press("3")
	c.see(screenLimit, "RESTARTS", name)
	c.press("l")
	c.see(screenLimit, "Log of")
	c.press("q1")
	c.see(2*readyLimit, "Nothing is wrong.")
}
