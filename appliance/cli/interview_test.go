package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"

	"islet/appliance/config"
	"islet/appliance/install"
	"islet/appliance/join"
	"islet/appliance/layout"
	"islet/appliance/reset"
	"islet/appliance/setup"
	"islet/appliance/wizard"
	screens "islet/tui/install"
	"islet/tui/screen"
	"islet/tui/tuitest"
)

// A scenario is the same answers by keys on screens, by lines at prompts, and as a file.
type scenario struct {
	keys  []string // a text is typed; "enter" and the like are keys
	lines []string
	file  string
	noKey bool
}

// TestThreeFaces gives the same answers to the screens, to the prompts and in a file, with detours, and compares what is in
// effect and what would be done, byte by byte.
func TestThreeFaces(t *testing.T) {
	t.Parallel()
	const head = "apiVersion: " + config.APIVersion + "\nkind: " + config.Kind + "\n"
	for name, s := range map[string]scenario{
		"all defaults": {
			keys:  strings.Fields(strings.Repeat("enter ", 14)),
			lines: make([]string, 14),
			file:  head,
		},
		"three servers": {
			keys: []string{
				"enter", "My Plant", "enter", "ctrl+u", "plant", "enter", "dmz", "esc", "enter", "enter", // refused, taken, back and forth
				"2", "enter", "enter", "enter", "enter",
				"enter", "192.0.2.100", "enter", "enter", "enter", "enter", "192.0.2.1, 192.0.2.2", "enter",
				"2", "enter", "2026-05-17 09:30", "enter", "esc", "esc", "1", "enter", // the clock is wrong, and then it is not
				"1", "enter", "3", "enter",
			},
			lines: []string{"", "My Plant", "plant", "<", "", "dmz", "2", "", "", "", "", "192.0.2.100", "", "", "", "192.0.2.1, 192.0.2.2", "2", "today", "2026-05-17 09:30", "<", "<", "1", "1", "3"},
			file: head + `site: {name: plant, zone: dmz, requireApproval: true}
network:
  dns: [192.0.2.1, 192.0.2.2]
  vip: {api: 192.0.2.100}
datastore: {store: etcd}
`,
			noKey: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			byKeys := orderByKeys(t, s.keys)
			w, seen, err := answerPrompts(t, s.lines...)
			if err != nil {
				t.Fatalf("%v\n%s", err, seen)
			}
			byLines, err := w.Order()
			if err != nil {
				t.Fatal(err)
			}
			if byKeys.NoKey != s.noKey || byLines.NoKey != s.noKey {
				t.Errorf("without a key: %t by keys, %t by lines, want %t", byKeys.NoKey, byLines.NoKey, s.noKey)
			}
			dir := t.TempDir()
			want := effect(t, dir, []byte(s.file))
			for face, answers := range map[string][]byte{"screens": byKeys.Answers, "prompts": byLines.Answers} {
				if got := effect(t, dir, answers); got != want {
					t.Errorf("by %s:\n%s\nby a file:\n%s", face, got, want)
				}
			}
			if !bytes.Equal(byKeys.Answers, byLines.Answers) {
				t.Errorf("the answer file of the screens:\n%s\nof the prompts:\n%s", byKeys.Answers, byLines.Answers)
			}
		})
	}
}

// TestThreeFacesJoin is the same for a join, whose third face are the flags: what is applied for, and what would be done.
func TestThreeFacesJoin(t *testing.T) {
	t.Parallel()
	made, err := join.NewToken(config.RoleServer, join.Pin{}, []netip.AddrPort{netip.MustParseAddrPort("192.0.2.10:9443")})
	if err != nil {
		t.Fatal(err)
	}
	token := made.String()
	for name, c := range map[string]struct{ keys, lines, flags []string }{
		"as it is":      {[]string{"2", "enter", token, "enter", "enter", "enter"}, []string{"2", token, "", ""}, []string{"--token", token}},
		"another name":  {[]string{"2", "enter", "islet-x", "enter", "ctrl+u", token, "enter", "ctrl+u", "press2", "enter", "esc", "enter", "enter"}, []string{"2", "islet-x", token, "press2", "<", "", ""}, []string{"--token", token, "--name", "press2"}},
		"this address":  {[]string{"2", "enter", token, "enter", "enter", "1", "enter"}, []string{"2", token, "", "1"}, []string{"--token", token, "--address", "192.0.2.11"}},
		"out of detour": {[]string{"enter", "plant", "enter", "esc", "esc", "2", "enter", token, "enter", "enter", "enter"}, []string{"", "plant", "<", "<", "2", token, "", ""}, []string{"--token", token}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, seen, err := answerPrompts(t, c.lines...)
			if err != nil {
				t.Fatalf("%v\n%s", err, seen)
			}
			byLines, err := w.Order()
			if err != nil {
				t.Fatal(err)
			}
			want := application(t, c.flags)
			for face, o := range map[string]wizard.Order{"screens": orderByKeys(t, c.keys), "prompts": byLines} {
				if !o.Join || o.Token != token {
					t.Fatalf("by %s: %+v", face, o)
				}
				if got := application(t, []string{"--token", o.Token, "--name", o.Name, "--address", o.Address}); got != want {
					t.Errorf("by %s:\n%s\nby flags:\n%s", face, got, want)
				}
			}
		})
	}
}

// application is what a machine would apply with, the answer file that the site would give it, and the plan.
func application(t *testing.T, flags []string) string {
	t.Helper()
	cmd, f := newJoin(NewEnv(Stdio{}))
	if err := cmd.ParseFlags(flags); err != nil {
		t.Fatal(err)
	}
	own, err := f.own()
	if err != nil {
		t.Fatal(err)
	}
	token, err := f.readToken(t.Context(), NewEnv(Stdio{}))
	if err != nil {
		t.Fatal(err)
	}
	a, err := applicationOf(token, own, netip.MustParseAddr("192.0.2.11"), wizardMachine())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.Node = config.Node{Name: a.Node, Address: a.Address, Role: a.Role, Labels: a.Labels, Taints: a.Taints}
	answers, err := config.Marshal(c, false)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := install.NewPlan(t.Context(), install.Options{
		Source: "/proc/self/exe", Config: answers, ConfigPath: "/no/etc/config.yaml", Start: true, Site: &install.Site{Name: "plant"},
		Target: reset.Target{Layout: layout.Layout{EtcDir: "/no/etc", StateDir: "/no/state"}}, Machine: install.Machine{Executable: "/no/bin/appliance"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s\n%s\n", text, answers)
	if err := printInstallPlan(&out, steps); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// orderByKeys types at the screens until they order something.
func orderByKeys(t *testing.T, keys []string) wizard.Order {
	t.Helper()
	sc := tuitest.Context(tuitest.Profiles["ascii"])
	ordered := make(chan wizard.Order, 1)
	flow := screens.New(sc, screens.Engine{
		Wizard: wizard.New(wizardMachine()), Explain: explainFailure,
		Do: func(_ context.Context, o wizard.Order, _ setup.Driver) error { ordered <- o; return nil },
	})
	root := screen.New(sc, flow.First())
	var give func(msg tea.Msg)
	give = func(msg tea.Msg) {
		_, cmd := root.Update(msg)
		for _, m := range tuitest.Run(cmd) {
			give(m)
		}
	}
	give(tea.WindowSizeMsg{Width: 80, Height: 24})
	for _, k := range keys {
		if strings.HasPrefix(k, "ctrl+") || k == "enter" || k == "esc" {
			give(tuitest.Key(k))
			continue
		}
		for _, r := range k {
			give(tuitest.Key(string(r)))
		}
	}
	defer flow.Close()
	select {
	case o := <-ordered:
		return o
	default:
		t.Fatalf("nothing is ordered:\n%s", root.Render())
		return wizard.Order{}
	}
}

// effect is what answers come to on a machine: the configuration with all its defaults, and the plan.
func effect(t *testing.T, dir string, answers []byte) string {
	t.Helper()
	c, _, err := config.Decode(bytes.NewReader(answers))
	if err != nil {
		t.Fatal(err)
	}
	effective, err := config.Marshal(c, false)
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(dir, "source")
	if err := os.WriteFile(source, []byte("the program"), 0o755); err != nil {
		t.Fatal(err)
	}
	steps, err := install.NewPlan(t.Context(), install.Options{
		Source: source, Config: answers, ConfigPath: dir + "/etc/config.yaml", Start: true,
		Target:  reset.Target{Layout: layout.Layout{EtcDir: dir + "/etc", StateDir: dir + "/state"}},
		Machine: install.Machine{Executable: dir + "/bin/appliance", Unit: dir + "/unit", Link: dir + "/link", Systemd: true, Active: func(context.Context) bool { return false }},
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	out.Write(effective)
	if err := printInstallPlan(&out, steps); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// What is interrupted goes on with its answers, and is forgotten at the end.
func TestInstallingIsNoted(t *testing.T) {
	t.Parallel()
	l := layout.Layout{EtcDir: t.TempDir() + "/etc", StateDir: t.TempDir()}
	if _, err := readInstalling(l); err == nil || correctable(l) {
		t.Error("there is a note before the first installation")
	}
	o := wizard.Order{Answers: []byte(defaultAnswers), NoKey: true}
	if err := noteInstalling(l, o); err != nil {
		t.Fatal(err)
	}
	if got, err := readInstalling(l); err != nil || !bytes.Equal(got.Answers, o.Answers) || !got.NoKey {
		t.Errorf("%+v, %v", got, err)
	}
	if !correctable(l) {
		t.Error("the answers of a node that never started cannot be corrected")
	}
	if err := os.MkdirAll(l.PKI(), 0o700); err != nil {
		t.Fatal(err)
	}
	if correctable(l) {
		t.Error("the answers of a node that has started are replaced")
	}
	for range 2 {
		if err := forgetInstalling(l); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(l.Installing()); err == nil {
		t.Error("it is still there")
	}
}
