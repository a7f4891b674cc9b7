package wizard

import (
	"slices"

	"islet/appliance/config"
	"islet/appliance/host"
	"islet/appliance/layout"
)

// step and question are the declarations; Step and Question what a driver sees of them.
type step struct {
	id, title string
	facts     func(*Wizard) []Text
	questions []question
}

type question struct {
	id, label string
	help      string // of a question that is not about a field, which has its own
	when      func(*Wizard) bool
	options   func(*Wizard) []Option
	check     func(text string) error
}

func (q question) applies(w *Wizard) bool { return q.when == nil || q.when(w) }

func (q question) choices(w *Wizard) []Option {
	if q.options == nil {
		return nil
	}
	return q.options(w)
}

// explain is the question's own help, or the documentation of its field.
func (q question) explain() Texts {
	if q.help != "" {
		return Texts{{Format: q.help}}
	}
	fields := config.Fields()
	i := slices.IndexFunc(fields, func(f config.Field) bool { return f.Path == q.id })
	if i < 0 {
		return nil
	}
	all := Texts{{Format: fields[i].Doc}}
	if empty := fields[i].Empty; empty != "" {
		all = append(all, textf(emptyMeans, Text{Format: empty}))
	}
	return all
}

const emptyMeans = "Empty: %s."

func find(id string) *question {
	for _, s := range table() {
		if i := slices.IndexFunc(s.questions, func(q question) bool { return q.id == id }); i >= 0 {
			return &s.questions[i]
		}
	}
	return nil
}

func isNew(w *Wizard) bool  { return w.answers[Action] != ActionJoin }
func isJoin(w *Wizard) bool { return !isNew(w) }

// replicated is a site of several servers, which is where virtual addresses have a use.
func replicated(w *Wizard) bool {
	return isNew(w) && w.answers["datastore.store"] == string(config.StoreEtcd)
}

func option(value, label string) Option { return Option{value, Text{Format: label}} }

// fixed returns the same options whatever was answered.
func fixed(options ...Option) func(*Wizard) []Option {
	return func(*Wizard) []Option { return options }
}

func clockIsWrong(w *Wizard) bool { return isNew(w) && w.answers[Clock] == No }
func hasKey(w *Wizard) bool       { return isNew(w) && w.answers[RecoveryKey] == Own }

// table is every question in its order. A single node needs no answer at all.
func table() []step {
	return []step{
		{id: "start", title: "What this machine is to be", questions: []question{
			{id: Action, label: "A new site, or one more machine of a site",
				help:    "A site begins with one machine. Every further one joins with a token that a server of the site makes: appliance token create.",
				options: fixed(option(ActionNew, "the first machine of a new site"), option(ActionJoin, "one more machine of a site that is there already"))},
			{id: Token, label: "Join token", when: isJoin, check: checkToken,
				help: "Made on a server of the site with appliance token create; appliance token create --role server lets a server in. It works once."},
		}},
		{id: "site", title: "The site", questions: []question{
			{id: "site.name", label: "Name of the site", when: isNew},
			{id: "site.zone", label: "Network zone", when: isNew},
		}},
		{id: "servers", title: "What the site is to survive", questions: []question{
			{id: "datastore.store", label: "Servers", when: isNew, options: fixed(
				option(string(config.StoreSQLite), "one: if it is lost, the site stands still until it is back or restored from a backup"),
				option(string(config.StoreEtcd), "three or five: any one of three, or two of five, may be lost; the others join later"))},
		}},
		{id: "machine", title: "This machine", facts: machineFacts, questions: []question{
			{id: "node.name", label: "Name of this machine"},
			{id: "node.address", label: "Address of this machine", options: addresses},
		}},
		{id: "disk", title: "Where its state lives", facts: diskFacts, questions: []question{
			{id: "paths.stateDir", label: "Directory of what this machine keeps", when: isNew, options: places},
		}},
		{id: "network", title: "The network", facts: networkFacts, questions: []question{
			{id: "gateway.domain", label: "Domain of applications", when: isNew},
			{id: "network.vip.api", label: "Virtual address of the Kubernetes API", when: replicated},
			{id: "network.vip.applications", label: "Virtual address of applications", when: replicated},
			{id: "network.podCIDR", label: "Network of pods", when: isNew},
			{id: "network.serviceCIDR", label: "Network of services", when: isNew},
			{id: "network.dns", label: "DNS servers of the site", when: isNew},
		}},
		{id: "time", title: "The time", facts: clockFacts, questions: []question{
			{id: Clock, label: "Is this machine's clock right", when: isNew, options: fixed(option(Yes, "yes"), option(No, "no: set it")),
				help: "Certificates and backups are dated by it. It need not be right to the second: the machines of a site compare their clocks with each other."},
			{id: ClockTime, label: "The time now, in UTC", when: clockIsWrong, check: checkTime,
				help: "Such as 2026-05-17 09:30. The clock is set as the first step of the installation, and counts on from now; so is the clock of the board."},
		}},
		{id: "rules", title: "Accounts and keys", facts: accountFacts, questions: []question{
			{id: "site.requireApproval", label: "Must somebody approve each machine that joins", when: isNew,
				options: fixed(option("true", "yes: appliance node approve"), option("false", "no: a good token is enough"))},
			{id: RecoveryKey, label: "Make a recovery key", when: isNew, options: fixed(
				option(Yes, "yes: it is shown once, and you type that it is written down"), option(Own, "there is one already: only its public half is needed"), option(No, "no: backups wait until there is one")),
				help: "Backups of the site are sealed for this key. It is shown once, at the end; without it no backup can be restored."},
			{id: "backup.recipient", label: "Public half of the recovery key", when: hasKey},
		}},
	}
}

// addresses are those that other machines could reach this one at. There may be none that is known.
func addresses(w *Wizard) []Option {
	var out []Option
	for _, c := range config.Candidates(w.facts) {
		out = append(out, Option{c.Address.Addr().String(), textf("%s on %s", c.Address, c.Link.Name)})
	}
	return out
}

func machineFacts(w *Wizard) []Text {
	f := w.facts
	return []Text{
		textf("%d processors, %.1f GiB of memory, %s, kernel %s", f.CPUs, float64(f.MemoryBytes)/(1<<30), f.OS, f.Kernel.Release),
	}
}

func networkFacts(w *Wizard) []Text {
	f := w.facts
	var lines []Text
	for _, c := range config.Candidates(f) {
		line := textf("%s has %s, MTU %d", c.Link.Name, c.Address, c.Link.MTU)
		if !c.Link.Carrier {
			line = textf("%s, no cable", line)
		}
		if c.Dynamic {
			line = textf("%s, from DHCP: it must always be given the same one", line)
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		lines = append(lines, textf("no interface has an IPv4 address: give one a static address first, such as: ip address add 192.168.1.11/24 dev %s", firstLink(f)))
	}
	if f.DefaultRoute == nil {
		lines = append(lines, textf("there is no default route, and none is needed"))
	}
	return lines
}

func firstLink(f host.Facts) string {
	for _, l := range f.Interfaces {
		if l.Physical {
			return l.Name
		}
	}
	return "eth0"
}

// clockFacts say what the clock says, and that nothing else is needed.
func clockFacts(w *Wizard) []Text {
	now := w.Now()
	zone, _ := now.Zone()
	facts := []Text{
		textf("this machine's clock says %s UTC; %s in its zone, %s", now.UTC().Format("2006-01-02 15:04"), now.Format("15:04"), zone),
		textf("no time server is needed: a machine that joins is told by how much its clock differs from the site's, and can take that"),
	}
	if d := w.shift(); d != 0 {
		facts = append(facts, textf("it will be set by %s", d))
	}
	return facts
}

// accountFacts say who may do what from the beginning.
func accountFacts(*Wizard) []Text {
	return []Text{
		textf("no account is made: who is root on a server runs the site, by appliance and by kubectl with %s", layout.Default().AdminKubeconfig()),
		textf("who pushes images gets a name and a password later: %s", "appliance registry user add"),
	}
}

func checkTime(text string) error {
	_, err := ParseTime(text)
	return err
}
