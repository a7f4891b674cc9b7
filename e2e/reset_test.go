package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"islet/appliance/config"
	"islet/appliance/lab"
)

// resetPolicy makes the policy engine fill ip sets.
const resetPolicy = `
apiVersion: v1
kind: Namespace
metadata: {name: e2e-reset}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: reset, namespace: e2e-reset}
spec:
  podSelector: {}
  ingress: [{from: [{podSelector: {}}]}]
`

// installByTyping installs with nothing but the keyboard: three words, and Enter for the rest.
func (p *platform) installByTyping(t *testing.T) {
	t.Helper()
	const questions = 14
	typed := "\n" + p.site + "\n" + strings.Repeat("\n", questions-2) + "y\nsaved\n"
	var seen strings.Builder
	err := p.host.Exec(t.Context(), lab.Command{Args: []string{"appliance"}, Env: []string{"APPLIANCE_PLAIN=1"}, TTY: true, Stdin: strings.NewReader(typed), Stdout: &seen})
	if err != nil || !strings.Contains(seen.String(), "appliance server") {
		t.Fatalf("%v\n%s", err, seen.String())
	}
	file := p.run(t, "cat", paths.Config())
	if want := "apiVersion: " + config.APIVersion + "\nkind: " + config.Kind + "\nsite:\n  name: " + p.site; file != want {
		t.Errorf("the answer file is\n%s\nwant\n%s", file, want)
	}
}

// offFile keeps the host's boot command from starting the daemon, as a disabled unit would.
const offFile = "/root/off"

// TestReset sets a host up and takes the platform off it again, in order, interrupted, and after a power cut. Each time the
// host must be as it was before.
func TestReset(t *testing.T) {
	t.Parallel()
	p := bare(t)
	answers := "/root/site.yaml"
	c := config.Default()
	c.Site.Name = p.site
	content, err := config.Marshal(c, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.host.WriteFile(answers, content, 0o600); err != nil {
		t.Fatal(err)
	}
	before := p.untouched(t)
	if code := p.exitCode(t, "reset", "--yes"); code != 12 {
		t.Errorf("reset of a machine that is no node ends with %d, want 12", code)
	}
	byFile := func(t *testing.T) {
		t.Helper()
		p.run(t, "appliance", "install", "--yes", "--no-start", "--config", answers)
	}
	use := func(t *testing.T, install func(t *testing.T)) {
		t.Helper()
		install(t)
		p.begun = time.Now()
		if err := p.host.StartBoot(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.useEverything(t)
	}
	clean := func(t *testing.T) {
		t.Helper()
		after := p.untouched(t)
		if diff := before.Diff(after); diff != "" {
			t.Errorf("the host is not as it was before:\n%s", diff)
		}
	}

	step(t, p, "in order", func(t *testing.T, p *platform) {
		use(t, byFile)
		if again := p.run(t, "appliance", "install", "--no-start"); strings.Count(again, ": unchanged") != 3 {
			t.Errorf("a second installation changes something:\n%s", again)
		}
		p.run(t, "appliance", "reset", "--dry-run")
		if code := p.exitCode(t, "reset"); code != 4 {
			t.Errorf("reset of a running node without --yes ends with %d, want 4", code)
		}
		if err := p.ready(t.Context()); err != nil {
			t.Errorf("after a dry run: %v", err)
		}
		p.run(t, "appliance", "reset", "--yes")
		clean(t)
		if code := p.exitCode(t, "reset", "--yes"); code != 12 {
			t.Errorf("a second reset ends with %d, want 12", code)
		}
	})
	step(t, p, "interrupted", func(t *testing.T, p *platform) {
		use(t, p.installByTyping)
		for _, steps := range []int{2, 25, 75} {
			p.resetAndKill(t, steps)
			if code := p.exitCode(t, "status"); code != 13 {
				t.Errorf("after %d steps of a reset, status ends with %d: the daemon must not start again", steps, code)
			}
		}
		p.run(t, "appliance", "reset", "--yes")
		clean(t)
	})
	step(t, p, "after a power cut", func(t *testing.T, p *platform) {
		use(t, byFile)
		p.run(t, "touch", offFile)
		if err := p.host.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := p.host.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, try := range []struct {
			answer string
			code   int
		}{{"node2", 2}, {"node1", 0}} {
			err := p.host.Exec(t.Context(), lab.Command{Args: []string{"appliance", "reset"}, TTY: true, Stdin: strings.NewReader(try.answer + "\n")})
			if code, _ := lab.ExitCode(err); code != try.code {
				t.Errorf("reset ends with %d when %q is typed, want %d", code, try.answer, try.code)
			}
		}
		p.run(t, "rm", offFile)
		clean(t)
	})
}

// bare makes a host with nothing on it but the executable. Its boot command fails until there is a configuration.
func bare(t *testing.T) *platform {
	t.Helper()
	p := &platform{site: fmt.Sprintf("%s%d-reset", labPrefix, os.Getpid()), begun: time.Now()}
	var err error
	takePlace(t, 1)
	p.lab, err = lab.Up(t.Context(), lab.Spec{
		Name: p.site, Executable: executable(t),
		Hosts: []lab.HostSpec{{Name: "node1", Boot: lab.Service{
			Args: []string{"sh", "-c", "test ! -e " + offFile + " && exec appliance server"},
		}}},
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("E2E_KEEP") != "" {
			t.Logf("E2E_KEEP: lab %s stays; `appliance lab down %s` removes it", p.site, p.site)
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := p.lab.Down(ctx); err != nil {
			t.Errorf("take the lab down: %v", err)
		}
	})
	p.host = p.lab.Hosts()[0]
	return p
}

// untouched stops the boot command and looks at everything of the host. Settings beside those of the network are added to
// the snapshot's.
func (p *platform) untouched(t *testing.T) lab.Snapshot {
	t.Helper()
	if err := p.host.StopBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := p.host.Snapshot(lab.SnapshotScope{})
	if err != nil {
		t.Fatal(err)
	}
	for i, mount := range s.Mounts { // the kernel shows this option of the host's root at its first boot only
		s.Mounts[i] = strings.TrimSuffix(mount, ",uuid=on")
	}
	for _, name := range []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"} {
		s.Settings = append(s.Settings, name+" = "+p.run(t, "cat", "/proc/sys/"+name))
	}
	return s
}

// useEverything brings up what leaves traces: the sample application, a policy, a volume in use.
func (p *platform) useEverything(t *testing.T) {
	t.Helper()
	coldStart(t, p)
	const ns = "e2e-reset" // goes with everything else
	p.apply(t, resetPolicy)
	p.claim(t, ns, "data", "64Mi")
	p.startPod(t, newPod(ns, "writer", withClaim("data")))
	for what, found := range map[string]string{
		"a volume":        p.run(t, "ls", paths.Storage()),
		"mounts":          strings.Join(p.snapshot(t).Mounts, "\n"),
		"an ip set":       strings.Join(p.snapshot(t).Xtables, "\n"),
		"nftables' rules": strings.Join(p.snapshot(t).Nftables, "\n"),
	} {
		if found == "" {
			t.Errorf("the node made no %s: this test shows nothing", what)
		}
	}
}

func (p *platform) snapshot(t *testing.T) lab.Snapshot {
	t.Helper()
	s, err := p.host.Snapshot(lab.SnapshotScope{Dirs: []string{"/etc"}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// resetAndKill kills a reset after that many steps.
func (p *platform) resetAndKill(t *testing.T, steps int) {
	t.Helper()
	p.run(t, "sh", "-c", fmt.Sprintf(`: >/dev/shm/reset; appliance reset --yes >/dev/shm/reset & pid=$!
		while kill -0 $pid 2>/dev/null && [ $(wc -l </dev/shm/reset) -lt %d ]; do sleep 0.01; done
		kill -9 $pid; rm /dev/shm/reset`, steps))
}
