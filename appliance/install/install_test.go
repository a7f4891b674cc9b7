package install

import (
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"islet/appliance/layout"
	"islet/appliance/reset"
	"islet/bundle"
	"islet/bundle/bundletest"
	"islet/bundle/trust"
	"islet/systemd"
)

// machine is a machine below a temporary directory, whose systemd only notes what it is told.
type machine struct {
	Options
	calls  []string
	active bool
}

func newMachine(t *testing.T, signed bool) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the journal looks at firewall rules, which needs root")
	}
	dir := t.TempDir()
	key, private := bundletest.Key("site", trust.Release)
	options := bundletest.Options(bundletest.Sample(t))
	if signed {
		options.Signers = []ed25519.PrivateKey{private}
	}
	m := &machine{}
	m.Options = Options{
		Source: bundletest.WriteFile(t, options), OpenBundle: func(path string) (*bundle.Reader, error) { return bundle.Open(path, trust.NewSet(key)) },
		Config: []byte("kind: Site\n"), ConfigPath: dir + "/etc/config.yaml", Start: true, Version: "0.1.0",
		Target: reset.Target{Layout: layout.Layout{EtcDir: dir + "/etc", StateDir: dir + "/state", RunDir: dir + "/run", CNIDir: dir + "/cni"}, Storage: dir + "/state/storage"},
		Machine: Machine{
			Executable: dir + "/bin/appliance", Unit: dir + "/unit/appliance.service", Link: dir + "/unit/link", Systemd: true,
			Root: dir + "/root", ConsoleLink: dir + "/unit/console",
			Active: func(context.Context) bool { return m.active },
		},
	}
	m.Machine.Control = func(_ context.Context, args ...string) error {
		m.calls = append(m.calls, strings.Join(args, " "))
		switch args[0] {
		case "enable":
			link := m.Machine.Link
			if args[1] == systemd.ConsoleName {
				link = m.Machine.ConsoleLink
			}
			return os.Symlink(m.Machine.Unit, link)
		case "start":
			m.active = true
		}
		return nil
	}
	return m
}

// install runs a plan and returns the kinds of the steps that changed something.
func (m *machine) install(t *testing.T) (changed []string, err error) {
	t.Helper()
	m.calls = nil
	steps, err := NewPlan(t.Context(), m.Options)
	if err != nil {
		return nil, err
	}
	return changed, Run(t.Context(), steps, func(s Step, err error) {
		if !s.Done && err == nil {
			changed = append(changed, string(s.Kind))
		}
	})
}

func (m *machine) expect(t *testing.T, what string, changed, calls []string) {
	t.Helper()
	got, err := m.install(t)
	if err != nil || !slices.Equal(got, changed) || !slices.Equal(m.calls, calls) {
		t.Errorf("%s: changed %q, told systemd %q, %v; want %q and %q", what, got, m.calls, err, changed, calls)
	}
}

func TestInstall(t *testing.T) {
	t.Parallel()
	m := newMachine(t, true)
	first := []string{"daemon-reload", "enable " + systemd.UnitName, "enable " + systemd.ConsoleName, "start " + systemd.UnitName}
	m.expect(t, "first", []string{"journal", "executable", "config", "unit", "service", "service", "service"}, first)
	for path, mode := range map[string]os.FileMode{m.Machine.Executable: 0o755, m.ConfigPath: 0o600, m.Machine.Unit: 0o644} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v, want mode %o", path, info, err, mode)
		}
	}
	for path, want := range systemd.Files() {
		if path == systemd.UnitPath {
			continue
		}
		if got, err := os.ReadFile(m.Machine.Root + path); err != nil || string(got) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	m.expect(t, "again", nil, nil)
	if err := os.Remove(m.Machine.ConsoleLink); err != nil { // the operator wants a login there
		t.Fatal(err)
	}
	m.expect(t, "without the console's screen", nil, nil)

	damage(t, m.Machine.Executable)
	m.expect(t, "damaged executable", []string{"executable", "service"}, []string{"restart " + systemd.UnitName})
	if same, err := sameContent(m.Source, m.Machine.Executable); err != nil || !same {
		t.Errorf("the damage is still there: %v", err)
	}

	m.Config = []byte("kind: Site # other\n")
	if _, err := m.install(t); !errors.Is(err, ErrDiffers) {
		t.Errorf("another configuration: %v, want ErrDiffers", err)
	}
	m.Force = true
	m.expect(t, "forced", []string{"config", "config", "service"}, []string{"restart " + systemd.UnitName})
	kept, err := filepath.Glob(m.ConfigPath + ".*")
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept %q, %v", kept, err)
	}
	if old, err := os.ReadFile(kept[0]); err != nil || string(old) != "kind: Site\n" {
		t.Errorf("kept %q, %v", old, err)
	}
}

func TestInstallWithoutSystemd(t *testing.T) {
	t.Parallel()
	m := newMachine(t, true)
	m.Machine.Systemd = false
	m.expect(t, "first", []string{"journal", "executable", "config"}, nil)
}

func TestInstallWithoutStart(t *testing.T) {
	t.Parallel()
	m := newMachine(t, true)
	m.Start = false
	m.expect(t, "first", []string{"journal", "executable", "config", "unit", "service", "service"}, []string{"daemon-reload", "enable " + systemd.UnitName, "enable " + systemd.ConsoleName})
}

// A machine whose file is not whole is let in first, and what it fetched is moved, not copied. What failed is done again.
func TestInstallFetches(t *testing.T) {
	t.Parallel()
	m := newMachine(t, true)
	m.Machine.Systemd = false
	content, err := os.ReadFile(m.Source)
	if err != nil {
		t.Fatal(err)
	}
	m.Source = filepath.Join(t.TempDir(), "fetched")
	failure, in := errors.New("no server"), false
	m.Site = &Site{Name: "plant", Enter: func(context.Context) error {
		in = true
		return nil
	}}
	m.Fetch = &Fetch{Detail: "fetch", Do: func(context.Context) error {
		if !in {
			t.Error("it fetches before it is let in")
		}
		if failure != nil {
			return failure
		}
		return os.WriteFile(m.Source, content, 0o755)
	}}
	if got, err := m.install(t); !errors.Is(err, failure) || !slices.Equal(got, []string{"journal", "identity"}) {
		t.Fatalf("changed %q, %v", got, err)
	}
	failure, m.Site.Done = nil, true
	m.expect(t, "again", []string{"bundle", "executable", "config"}, nil)
	if got, err := os.ReadFile(m.Machine.Executable); err != nil || string(got) != string(content) {
		t.Errorf("%d bytes are in place, want %d (%v)", len(got), len(content), err)
	}
	if _, err := os.Stat(m.Source); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a second copy is left: %v", err)
	}
}

// A bundle that nobody vouches for, or that does not read back whole, is not put in place.
func TestInstallRefusesBundle(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		signed, damaged bool
		want            error
	}{
		"unsigned": {signed: false, want: bundle.ErrUnsigned},
		"damaged":  {signed: true, damaged: true, want: bundle.ErrAltered},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, c.signed)
			if c.damaged {
				damage(t, m.Source)
			}
			if _, err := m.install(t); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			left, err := filepath.Glob(filepath.Join(filepath.Dir(m.Machine.Executable), "*"))
			hidden, errHidden := filepath.Glob(filepath.Join(filepath.Dir(m.Machine.Executable), ".appliance*"))
			if err != nil || errHidden != nil || len(left)+len(hidden) > 0 {
				t.Errorf("left behind: %q %q", left, hidden)
			}
		})
	}
}

// damage flips a byte in the middle of a file, in the content of a blob.
func damage(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 0xff
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
}
