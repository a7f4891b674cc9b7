package wizard

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"islet/appliance/config"
	"islet/appliance/host"
)

// step and question are the declarations; Step and Question what a driver sees of them.
type step struct {
	id, title string
	facts     func(host.Facts) []string
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
func (q question) explain() string {
	if q.help != "" {
		return q.help
	}
	fields := config.Fields()
	if i := slices.IndexFunc(fields, func(f config.Field) bool { return f.Path == q.id }); i >= 0 {
		return fields[i].Describe()
	}
	return ""
}

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

// fixed returns the same options whatever was answered.
func fixed(options ...Option) func(*Wizard) []Option {
	return func(*Wizard) []Option { return options }
}

var yesNo = fixed(Option{Yes, "yes"}, Option{No, "no"})

// table is every question in its order. A single node needs no answer at all.
func table() []step {
	return []step{
		{id: "start", title: "What this machine is to be", questions: []question{
			{id: Action, label: "A new site, or one more machine of a site",
				help:    "A site begins with one machine. Every further one joins with a token that a server of the site makes: appliance token create.",
				options: fixed(Option{ActionNew, "the first machine of a new site"}, Option{ActionJoin, "one more machine of a site that is there already"})},
			{id: Token, label: "Join token", when: isJoin, check: checkToken,
				help: "Made on a server of the site with appliance token create; appliance token create --role server lets a server in. It works once."},
		}},
		{id: "site", title: "The site", questions: []question{
			{id: "site.name", label: "Name of the site", when: isNew},
			{id: "site.zone", label: "Network zone", when: isNew},
		}},
		{id: "servers", title: "What the site is to survive", questions: []question{
			{id: "datastore.store", label: "Servers", when: isNew, options: fixed(
				Option{string(config.StoreSQLite), "one: if it is lost, the site stands still until it is back or restored from a backup"},
				Option{string(config.StoreEtcd), "three or five: any one of three, or two of five, may be lost; the others join later"})},
		}},
		{id: "machine", title: "This machine", facts: machineFacts, questions: []question{
			{id: "node.name", label: "Name of this machine"},
			{id: "node.address", label: "Address of this machine", options: addresses},
		}},
		{id: "network", title: "The network", facts: networkFacts, questions: []question{
			{id: "gateway.domain", label: "Domain of applications", when: isNew},
			{id: "network.vip.api", label: "Virtual address of the Kubernetes API", when: replicated},
			{id: "network.vip.applications", label: "Virtual address of applications", when: replicated},
			{id: "network.podCIDR", label: "Network of pods", when: isNew},
			{id: "network.serviceCIDR", label: "Network of services", when: isNew},
			{id: "network.dns", label: "DNS servers of the site", when: isNew},
		}},
		{id: "rules", title: "Rules and keys", facts: clockFacts, questions: []question{
			{id: "site.requireApproval", label: "Must somebody approve each machine that joins", when: isNew,
				options: fixed(Option{"true", "yes: appliance node approve"}, Option{"false", "no: a good token is enough"})},
			{id: RecoveryKey, label: "Make a recovery key", when: isNew, options: yesNo,
				help: "Backups of the site are sealed for this key. It is shown once, at the end; without it no backup can be restored."},
		}},
	}
}

// addresses are those that other machines could reach this one at. There may be none that is known.
func addresses(w *Wizard) []Option {
	var out []Option
	for _, c := range config.Candidates(w.facts) {
		out = append(out, Option{c.Address.Addr().String(), fmt.Sprintf("%s on %s", c.Address, c.Link.Name)})
	}
	return out
}

func machineFacts(f host.Facts) []string {
	return []string{
		fmt.Sprintf("%d processors, %.1f GiB of memory, %s, kernel %s", f.CPUs, float64(f.MemoryBytes)/(1<<30), f.OS, f.Kernel.Release),
	}
}

func networkFacts(f host.Facts) []string {
	var lines []string
	for _, c := range config.Candidates(f) {
		line := fmt.Sprintf("%s has %s, MTU %d", c.Link.Name, c.Address, c.Link.MTU)
		if !c.Link.Carrier {
			line += ", no cable"
		}
		if c.Dynamic {
			line += ", from DHCP: it must always be given the same one"
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		lines = append(lines, "no interface has an IPv4 address: give one a static address first, such as: ip address add 192.168.1.11/24 dev "+firstLink(f))
	}
	if f.DefaultRoute == nil {
		lines = append(lines, "there is no default route, and none is needed")
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

func clockFacts(host.Facts) []string {
	now := time.Now().UTC()
	return []string{strings.Join([]string{
		"this machine's clock says " + now.Format("2006-01-02 15:04") + " UTC",
		"no time server is needed",
		"it is set with: date -u -s 'YYYY-MM-DD hh:mm' && hwclock -w",
	}, "; ")}
}
