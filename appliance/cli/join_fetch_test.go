package cli

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"islet/appliance/config"
	"islet/appliance/install"
	"islet/appliance/join"
	"islet/appliance/layout"
	"islet/appliance/reset"
)

// The note of a machine that was let in says what reset needs, and is of use for the same machine only.
func TestJoining(t *testing.T) {
	t.Parallel()
	l := layout.Layout{EtcDir: filepath.Join(t.TempDir(), "etc"), StateDir: t.TempDir()}
	if _, err := readJoining(l); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%v", err)
	}
	own := config.Default()
	answers := config.Default()
	answers.Node.Name, answers.Paths.StateDir = "press2", l.StateDir
	content, err := config.Marshal(answers, false)
	if err != nil {
		t.Fatal(err)
	}
	a := join.Application{Role: config.RoleAgent, Node: "press2", Address: netip.MustParseAddr("192.0.2.12"), Secret: join.Secret{7}}
	if err := noteJoining(a, own, install.Options{Config: content, Target: reset.Target{Layout: l}}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(l.Joining()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	j, err := readJoining(l)
	if err != nil || j.target().Layout.StateDir != l.StateDir || j.target().NodeName != "press2" {
		t.Fatalf("%+v, %v", j, err)
	}
	for name, c := range map[string]struct {
		change func(*join.Application, *config.Config)
		same   bool
	}{
		"the same":      {func(a *join.Application, _ *config.Config) { a.Secret = join.Secret{8} }, true},
		"another name":  {func(a *join.Application, _ *config.Config) { a.Node = "press3" }, false},
		"another role":  {func(a *join.Application, _ *config.Config) { a.Role = config.RoleServer }, false},
		"another label": {func(a *join.Application, _ *config.Config) { a.Labels = map[string]string{"a": "b"} }, false},
		"other answers": {func(_ *join.Application, c *config.Config) { c.Kubelet.MaxPods = 20 }, false},
	} {
		asks, says := a, own
		c.change(&asks, &says)
		now, err := newJoining(asks, says, j.Config)
		before := j
		before.config, before.etcDir = config.Config{}, ""
		if err != nil || same(before, now) != c.same {
			t.Errorf("%s: %t, %v", name, !c.same, err)
		}
	}
	if err := errors.Join(forgetJoining(l), forgetJoining(l)); err != nil {
		t.Error(err)
	}
}
