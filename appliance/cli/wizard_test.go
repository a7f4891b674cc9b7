package cli

import (
	"bufio"
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"islet/appliance/host"
	"islet/appliance/wizard"
)

func wizardMachine() host.Facts {
	return host.Facts{Hostname: "press1", CPUs: 4, MemoryBytes: 8 << 30, OS: "Debian", Interfaces: []host.Interface{{
		Name: "eth0", Index: 2, MTU: 1500, Up: true, Carrier: true, Physical: true,
		Addresses: []host.Address{{Prefix: netip.MustParsePrefix("192.0.2.11/24")}},
	}}}
}

// answerPrompts answers the questions with these lines, and returns the answer file and what was seen.
func answerPrompts(t *testing.T, lines ...string) (*wizard.Wizard, string, error) {
	t.Helper()
	w := wizard.New(wizardMachine())
	var seen bytes.Buffer
	p := prompts{in: bufio.NewReader(strings.NewReader(strings.Join(lines, "\n") + "\n")), out: &seen}
	err := p.ask(t.Context(), w)
	return w, seen.String(), err
}

func TestPromptsNeedOnlyEnter(t *testing.T) {
	t.Parallel()
	w, seen, err := answerPrompts(t, make([]string, 14)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, seen)
	}
	if file, err := w.File(); err != nil || strings.Count(string(file), "\n") != 2 {
		t.Errorf("%v\n%s", err, file)
	}
	if !strings.Contains(seen, "Name of this machine [press1]: ") || !strings.Contains(seen, "[8 of 8]") {
		t.Error(seen)
	}
}

// The same answers, typed with detours, make the same file.
func TestPrompts(t *testing.T) {
	t.Parallel()
	direct := wizard.New(wizardMachine())
	for _, a := range [][2]string{{"site.name", "plant"}, {"datastore.store", "etcd"}, {"network.vip.api", "192.0.2.100"}, {"network.dns", "192.0.2.1"}, {wizard.RecoveryKey, wizard.No}} {
		if err := direct.Answer(a[0], a[1]); err != nil {
			t.Fatal(err)
		}
	}
	want, err := direct.File()
	if err != nil {
		t.Fatal(err)
	}
	w, seen, err := answerPrompts(t,
		"?", "7", "", // what it is to be: help, no answer, the first
		"My Plant", "factory", // the name: refused, taken
		"<", "plant", "dmz", "<", "-", // back: another; the zone, back to its default
		"2",        // three servers
		"", "", "", // name, address and directory
		"", "192.0.2.100", "", "", "", "192.0.2.1", // domain, virtual addresses, networks, DNS
		"1", "", "3", // the clock is right; approval, key
	)
	if err != nil {
		t.Fatalf("%v\n%s", err, seen)
	}
	got, err := w.File()
	if err != nil || string(got) != string(want) || w.Value(wizard.RecoveryKey) != wizard.No {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	for _, piece := range []string{"A site begins with one machine", `"7" is none of the answers`, "! ", "Name of the site [factory]: ", "Network zone [dmz]: "} {
		if !strings.Contains(seen, piece) {
			t.Errorf("no %q in\n%s", piece, seen)
		}
	}
}

func TestPromptsWithoutAnEnd(t *testing.T) {
	t.Parallel()
	if _, _, err := answerPrompts(t, "", "plant"); CodeOf(err) != CodeUsage || !strings.Contains(err.Error(), "ended before the last question") {
		t.Error(err)
	}
	if _, seen, err := answerPrompts(t, "2", "", "nonsense"); err == nil || !strings.Contains(seen, "a token is needed") {
		t.Errorf("%v\n%s", err, seen)
	}
}
