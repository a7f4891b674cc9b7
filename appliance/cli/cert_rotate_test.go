package cli

import (
	"strings"
	"testing"
	"time"

	"islet/appliance/api"
)

func TestPrintRotation(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 6, 1, 12, 0, 0, 0, time.Local)
	cases := map[string]struct {
		rotation *api.Rotation
		want     string
	}{
		"never": {nil, "the site has the authorities that it was made with\n"},
		"done":  {&api.Rotation{Authorities: []string{"node-ca", "etcd-ca"}, Step: "done", Since: since}, "rotation of node-ca, etcd-ca: done at 2026-06-01 12:00:00\n"},
		"waits": {
			&api.Rotation{Authorities: []string{"node-ca"}, Step: "trust", Since: since, WaitsFor: []string{"node2, which starts its programs anew", "node4: nothing is heard of it"}},
			"rotation of node-ca: step \"trust\" since 2026-06-01 12:00:00\n  waits for node2, which starts its programs anew\n  waits for node4: nothing is heard of it\n",
		},
	}
	for name, c := range cases {
		var out strings.Builder
		if err := printRotation(&out, c.rotation); err != nil || out.String() != c.want {
			t.Errorf("%s: %q (%v), want %q", name, out.String(), err, c.want)
		}
	}
}

func TestRotateRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"no-ca"}, {"node-ca", "NODE-CA"}, {"--plan", "--status"}} {
		got := call(t, "/proc/self/exe", append([]string{"cert", "rotate-ca"}, args...)...)
		if got.code != CodeUsage {
			t.Errorf("%v: exit code %d", args, got.code)
		}
	}
}
