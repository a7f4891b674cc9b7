package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"islet/appliance/cli"
)

// restart stops the daemon and starts it again with nothing changed: nothing is staged or imported, and nobody outside
// notices.
func restart(t *testing.T, p *platform) {
	unchanged, probe := p.watchRuns(t), p.probe(t)
	defer probe()
	if code := p.exitCode(t, "status"); code != int(cli.CodeOK) {
		t.Errorf("status of a healthy node: exit code %d", code)
	}
	begun := time.Now()
	if err := p.host.StopBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("stopped in %s", time.Since(begun).Round(time.Millisecond))
	if code := p.exitCode(t, "status"); code != int(cli.CodeNoDaemon) {
		t.Errorf("status without a daemon: exit code %d, want %d", code, cli.CodeNoDaemon)
	}
	examinedWhileDown(t, p)
	begun = time.Now()
	if err := p.host.StartBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, readyLimit, "status says that the node is not ready yet", func(context.Context) error {
		if code := p.exitCode(t, "status"); code != int(cli.CodeUnhealthy) {
			return fmt.Errorf("exit code %d, want %d", code, cli.CodeUnhealthy)
		}
		return nil
	})
	await(t, readyLimit, "every component is ready", p.ready)
	t.Logf("ready again %s after the start", time.Since(begun).Round(time.Millisecond))
	if code := p.exitCode(t, "status"); code != int(cli.CodeOK) {
		t.Errorf("status of a healthy node: exit code %d", code)
	}
	s, err := p.daemon().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Engines.Staged != 0 || s.Engines.Bytes != 0 || s.Images.Imported != 0 || s.Images.Bytes != 0 {
		t.Errorf("a restart with nothing changed staged %+v and imported %+v", s.Engines, s.Images)
	}
	p.settle(t)
	probe().none(t)
	unchanged()
}
