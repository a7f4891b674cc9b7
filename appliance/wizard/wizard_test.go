package wizard

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"islet/appliance/config"
	"islet/appliance/host"
)

func machine(addresses ...string) host.Facts {
	f := host.Facts{Hostname: "Press1.example", CPUs: 4, MemoryBytes: 8 << 30, OS: "Debian"}
	for i, a := range addresses {
		f.Interfaces = append(f.Interfaces, host.Interface{
			Name: "eth" + string(rune('0'+i)), Index: i + 1, MTU: 1500, Up: true, Carrier: i == 0, Physical: true,
			Addresses: []host.Address{{Prefix: netip.MustParsePrefix(a), Dynamic: i > 0}},
		})
	}
	return f
}

func ids(w *Wizard) []string {
	var all []string
	for _, s := range w.Steps() {
		for _, q := range s.Questions {
			all = append(all, q.ID)
		}
	}
	return all
}

// A single node needs no answer, and the file says nothing but what it is.
func TestNothingAnswered(t *testing.T) {
	t.Parallel()
	w := New(machine("192.0.2.11/24"))
	if wrong := w.Problems(); len(wrong) > 0 {
		t.Error(wrong)
	}
	file, err := w.File()
	if err != nil || string(file) != "apiVersion: islet.dev/v1alpha1\nkind: Site\n" {
		t.Errorf("%v\n%s", err, file)
	}
	for id, want := range map[string]string{
		"node.name": "press1", "node.address": "192.0.2.11", "gateway.domain": "apps.site.internal", "datastore.store": "sqlite",
		"network.podCIDR": "10.42.0.0/16", "network.dns": "", "site.requireApproval": "false", RecoveryKey: Yes,
	} {
		if v := w.Value(id); v != want {
			t.Errorf("%s: %q, want %q", id, v, want)
		}
	}
	for _, s := range w.Steps() {
		for _, q := range s.Questions {
			if q.Label == "" || len(q.Help) == 0 {
				t.Errorf("%s: label %q, help %q", q.ID, q.Label, q.Help)
			}
		}
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	w := New(machine("192.0.2.11/24"))
	for _, a := range [][2]string{
		{"site.name", "plant"}, {"datastore.store", "etcd"}, {"network.vip.api", "192.0.2.100"}, {"network.dns", "192.0.2.1, 192.0.2.2"},
		{"site.requireApproval", "true"}, {"node.name", " 12 "},
	} {
		if err := w.Answer(a[0], a[1]); err != nil {
			t.Errorf("%s: %v", a[0], err)
		}
	}
	if v := w.Value("gateway.domain"); v != "apps.plant.internal" {
		t.Errorf("the domain does not follow the name of the site: %s", v)
	}
	want := `apiVersion: islet.dev/v1alpha1
kind: Site
site:
  name: plant
  requireApproval: true
node:
  name: "12"
network:
  dns: [192.0.2.1, 192.0.2.2]
  vip:
    api: 192.0.2.100
datastore:
  store: etcd
`
	if file, err := w.File(); err != nil || string(file) != want {
		t.Errorf("%v\n%s", err, file)
	}
	if err := w.Answer("datastore.store", ""); err != nil {
		t.Fatal(err)
	}
	if file, err := w.File(); err != nil || strings.Contains(string(file), "vip") {
		t.Errorf("the answer to what is not asked any more counts: %v\n%s", err, file)
	}
	if err := w.Answer("datastore.store", "etcd"); err != nil || w.Value("network.vip.api") != "192.0.2.100" {
		t.Errorf("the answer was lost: %v, %q", err, w.Value("network.vip.api"))
	}
}

func TestRefusedAnswersChangeNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ id, text, want string }{
		"a bad name":           {"site.name", "My Plant", "site.name"},
		"no network":           {"network.podCIDR", "10.0.0.0", "not a network"},
		"the site's own":       {"network.podCIDR", "192.0.2.0/24", "overlaps"},
		"an address elsewhere": {"node.address", "192.0.2.12", "none of the answers"},
		"one bad of two":       {"network.dns", "192.0.2.1,dns", "not an IP address"},
		"no option":            {"datastore.store", "oracle", "none of the answers"},
		"not asked":            {"network.vip.api", "192.0.2.100", "not asked"},
		"no question":          {"kubelet.maxPods", "9", "not asked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := New(machine("192.0.2.11/24"))
			if err := w.Answer("site.zone", "dmz"); err != nil {
				t.Fatal(err)
			}
			before, _ := w.File()
			if err := w.Answer(c.id, c.text); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if after, _ := w.File(); string(after) != string(before) {
				t.Errorf("%s\nwas\n%s", after, before)
			}
		})
	}
}

func TestJoiningAsksForLittle(t *testing.T) {
	t.Parallel()
	w := New(machine("192.0.2.11/24"))
	if err := w.Answer(Action, ActionJoin); err != nil {
		t.Fatal(err)
	}
	if all := ids(w); !slices.Equal(all, []string{Action, Token, "node.name", "node.address"}) {
		t.Error(all)
	}
	if err := w.Answer(Token, "islet-not-a-token"); err == nil {
		t.Error("anything is a token")
	}
}

// A machine with two addresses and no default route must be told which one.
func TestSeveralAddresses(t *testing.T) {
	t.Parallel()
	w := New(machine("192.0.2.11/24", "198.51.100.11/24"))
	wrong := w.Problems("node.address")
	if len(wrong) != 1 || w.Value("node.address") != "" {
		t.Errorf("%v, value %q", wrong, w.Value("node.address"))
	}
	for _, s := range w.Steps() {
		if s.ID == "network" && !slices.ContainsFunc(s.Facts, func(l Text) bool {
			said := l.String()
			return strings.Contains(said, "eth1") && strings.Contains(said, "no cable") && strings.Contains(said, "DHCP")
		}) {
			t.Error(s.Facts)
		}
	}
	if err := w.Answer("node.address", "198.51.100.11"); err != nil {
		t.Error(err)
	}
	if wrong := w.Problems(); len(wrong) > 0 {
		t.Error(wrong)
	}
	if wrong := New(machine()).Problems(); len(wrong) == 0 {
		t.Error("a machine without an address is fine")
	}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	w := New(machine("192.0.2.11/24"))
	for _, a := range [][2]string{{"site.name", "plant"}, {RecoveryKey, No}, {"node.name", "press2"}} {
		if err := w.Answer(a[0], a[1]); err != nil {
			t.Fatal(err)
		}
	}
	o, err := w.Order()
	if file, _ := w.File(); err != nil || string(o.Answers) != string(file) || !o.NoKey || o.Join {
		t.Errorf("%v %+v", err, o)
	}
	if err := w.Answer(Action, ActionJoin); err != nil {
		t.Fatal(err)
	}
	if o, err := w.Order(); err != nil || !o.Join || o.Name != "press2" || o.Address != "" {
		t.Errorf("%v %+v", err, o)
	}
}

func TestErrNoQuestion(t *testing.T) {
	t.Parallel()
	if err := New(machine()).Answer("x", "y"); !errors.Is(err, ErrNoQuestion) {
		t.Error(err)
	}
	if _, ok := config.Get(config.Default(), "x"); ok {
		t.Error("there is a field x")
	}
}
