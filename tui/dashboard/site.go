package dashboard

import (
	"slices"
	"strings"
	"time"

	"islet/appliance/api"
	"islet/appliance/component"
	"islet/appliance/config"
	"islet/appliance/health"
	"islet/tui/theme"
)

// How old the last word of another node may be. Servers talk every 5 s, agents every 30 s.
const (
	silentServer = 30 * time.Second
	silentAgent  = 90 * time.Second
)

// The days before its end and the seconds of difference from which a certificate and a clock are shown as wrong. A
// certificate is renewed long before.
const (
	expiresSoon  = 14
	clockOff     = 2 * time.Second
	crashedTimes = 3
)

func isServer(s api.Status) bool { return s.Node.Role == string(config.RoleServer) }

// silent is for how long nothing was heard of a node that should have spoken; 0 when it has.
func (b *board) silent(i int) time.Duration {
	r := b.now.site[i]
	limit := silentAgent
	if isServer(r.Status) {
		limit = silentServer
	}
	if age := b.now.at.Sub(r.Received); i > 0 && age > limit {
		return age
	}
	return 0
}

// state is a node in a word or two.
func (b *board) state(i int) (string, theme.Tone) {
	s := b.now.site[i].Status
	switch silent := b.silent(i); {
	case silent > 0:
		return b.ctx.T("silent for %s", span(silent)), theme.Bad
	case s.Standby:
		return b.ctx.T("no vote"), theme.Warning
	case s.Ready:
		return b.ctx.T("ready"), theme.Good
	}
	return b.ctx.T("not ready"), theme.Bad
}

// clock is by how much a node's clock differs from the own one; what a message takes on its way is in it.
func (b *board) clock(i int) time.Duration {
	r := b.now.site[i]
	if i == 0 || r.Status.Now.IsZero() {
		return 0
	}
	return r.Status.Now.Sub(r.Received)
}

// expiry is the fewest days that a certificate of a node has left; false where it has none.
func expiry(s api.Status) (int, bool) {
	days, found := 0, false
	for _, c := range s.Certificates {
		if !found || c.DaysLeft < days {
			days, found = c.DaysLeft, true
		}
	}
	return days, found
}

// trouble is a problem, and the nodes that have it.
type trouble struct {
	health.Active
	nodes []string
}

// troubles are the problems of all nodes, the gravest first, each once. What follows from another one is left out. A node
// that is silent is a trouble itself, and what it said before is not repeated.
func (b *board) troubles() []trouble {
	var all []trouble
	for i, r := range b.now.site {
		name := r.Status.Node.Name
		if silent := b.silent(i); silent > 0 {
			all = append(all, trouble{Active: health.Active{Subject: name, Since: r.Received, Problem: health.Problem{
				Code: "node-silent", Severity: health.Critical, Title: "has not been heard of",
				Advice: "look at the machine: power, cable, and appliance status on it",
			}}, nodes: []string{b.now.own().Node.Name}})
			continue
		}
		for _, p := range r.Status.Problems {
			if p.HiddenBy != "" {
				continue
			}
			at := slices.IndexFunc(all, func(t trouble) bool { return t.Code == p.Code && t.Subject == p.Subject })
			if at < 0 {
				all = append(all, trouble{Active: p, nodes: []string{name}})
				continue
			}
			all[at].nodes = append(all[at].nodes, name)
			if p.Since.Before(all[at].Since) {
				all[at].Since = p.Since
			}
		}
	}
	slices.SortStableFunc(all, func(a, b trouble) int { return grade(a.Severity) - grade(b.Severity) })
	return all
}

func grade(s health.Severity) int {
	if s == health.Critical {
		return 0
	}
	return 1
}

// quorum is what the datastore stands on.
type quorum struct {
	voters, healthy int
}

// spare is how many servers may fail now; below 0 the datastore takes no writes.
func (q quorum) spare() int { return q.healthy - (q.voters/2 + 1) }

// quorum counts the servers that vote, and those that are there to do so. A server that this one's balancer knows of and
// that has never reported counts as one that is not there.
func (b *board) quorum() quorum {
	var q quorum
	for i, r := range b.now.site {
		if s := r.Status; isServer(s) && !s.Standby {
			q.voters++
			if b.silent(i) == 0 && votes(s) {
				q.healthy++
			}
		}
	}
	q.voters = max(q.voters, len(b.now.own().Servers))
	return q
}

// votes says whether the datastore's program serves on a server.
func votes(s api.Status) bool {
	i := slices.IndexFunc(s.Components, func(c component.Status) bool { return c.Name == "etcd" })
	return i >= 0 && s.Components[i].IsReady()
}

// quorumText says what may fail now.
func (b *board) quorumText() (string, theme.Tone) {
	store := b.now.own().Datastore
	switch {
	case store == nil:
		return b.ctx.T("on the servers; this node is an agent"), theme.Plain
	case store.Store != string(config.StoreEtcd):
		return b.ctx.T("%s on this server alone: if the machine is lost, a backup is what is left", store.Store), theme.Plain
	}
	q := b.quorum()
	head := b.ctx.T("%d of %d voting servers are there", q.healthy, q.voters)
	switch spare := q.spare(); {
	case spare < 0:
		return head + ": " + b.ctx.T("NO QUORUM: nothing can be changed until one more is back"), theme.Bad
	case spare == 0 && q.voters == 1:
		return head + ": " + b.ctx.T("none may fail"), theme.Plain
	case spare == 0:
		return head + ": " + b.ctx.T("NONE MAY FAIL NOW"), theme.Warning
	case spare == 1:
		return head + ": " + b.ctx.T("one more may fail"), theme.Good
	default:
		return head + ": " + b.ctx.T("%d more may fail", spare), theme.Good
	}
}

// newestBackup is the newest one that any node has, of any server, and how many nodes have it.
func (b *board) newestBackup() (newest api.Backup, nodes []string) {
	for _, r := range b.now.site {
		for _, k := range r.Status.Backups {
			if k.Problem == "" && k.Created.After(newest.Created) {
				newest = k
			}
		}
	}
	for _, r := range b.now.site {
		if slices.ContainsFunc(r.Status.Backups, func(k api.Backup) bool {
			return newest.Path != "" && k.Of == newest.Of && k.Created.Equal(newest.Created)
		}) {
			nodes = append(nodes, r.Status.Node.Name)
		}
	}
	return newest, nodes
}

// pages is where a problem is explained in the manual, as an operator asks for it.
func manualOf(code health.Code) string { return "appliance help " + strings.TrimSpace(string(code)) }
