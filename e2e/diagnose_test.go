package e2e

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// tailLines is how much of each log a failure shows.
const tailLines = 15

// diagnose logs everything that tells why a test failed. It is deferred, and does nothing after a success.
func (p *platform) diagnose(t *testing.T) {
	if !t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
	defer cancel()
	for _, args := range [][]string{
		{"appliance", "status"}, {"appliance", "component", "events"},
		{"appliance", "kubectl", "get", "pods", "-A", "-o", "wide"},
		{"appliance", "kubectl", "get", "events", "-A", "--sort-by=.lastTimestamp"},
	} {
		out, err := p.host.Output(ctx, args...)
		t.Logf("== %s (%v)\n%s", strings.Join(args, " "), err, lastLines(out, 60))
	}
	logs, err := filepath.Glob(p.host.Path(filepath.Join(paths.Logs(), "*.log")))
	if err != nil {
		t.Log(err)
	}
	for _, path := range append(logs, p.host.LogPath()) {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Log(err)
			continue
		}
		t.Logf("== end of %s\n%s", filepath.Base(path), lastLines(string(content), tailLines))
	}
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		lines[i] = line[:min(len(line), 400)]
	}
	return strings.Join(slices.Delete(lines, 0, max(0, len(lines)-n)), "\n")
}

// part is one of the tests of a site that build upon each other.
type part[T any] struct {
	name string
	run  func(site *T, t *testing.T)
}

// runParts runs the parts in their order, and ends with the first that fails: it shows how every machine is then.
func runParts[T any](t *testing.T, site *T, all []*platform, parts []part[T]) {
	t.Helper()
	for _, part := range parts {
		ok := t.Run(part.name, func(t *testing.T) {
			defer func() {
				for _, p := range all {
					if t.Failed() {
						t.Logf("===== %s", p.host.Name())
					}
					p.diagnose(t)
				}
			}()
			part.run(site, t)
		})
		if !ok {
			t.Fatal("the rest builds upon this")
		}
	}
}
