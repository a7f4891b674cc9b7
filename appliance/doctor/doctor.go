// Package doctor looks at a node from all sides, also while nothing of it runs: the machine, the daemon and what it reports, the
// certificates, the clock, the disk and the datastore.
package doctor

import (
	"cmp"
	"context"
	"slices"
	"time"

	"islet/appliance/api"
	"islet/appliance/config"
	store "islet/appliance/datastore"
	"islet/appliance/health"
	"islet/appliance/layout"
	"islet/appliance/preflight"
)

// Severity is how bad a finding is.
type Severity string

// The severities. Critical: applications are down, or will be at the next failure or start. Warning: someone should act, and nothing
// is down. Info: worth knowing.
const (
	OK       Severity = "ok"
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Finding is the answer of one check, or one problem that the daemon reports.
type Finding struct {
	ID       string     `json:"id"`   // of the check, or the code of the problem
	Area     Area       `json:"area"` // what it is about
	Severity Severity   `json:"severity"`
	Title    string     `json:"title"`            // what was looked at
	Found    string     `json:"found"`            // what is so
	Since    *time.Time `json:"since,omitempty"`  // since when; nothing for what was measured just now
	Advice   string     `json:"advice,omitempty"` // what to do; nothing when it is ok
	Topic    string     `json:"topic,omitempty"`  // more with `appliance help TOPIC`
}

// Area groups findings.
type Area string

// The areas, in the order in which they are shown.
const (
	AreaDaemon       Area = "daemon"
	AreaDatastore    Area = "datastore"
	AreaCertificates Area = "certificates"
	AreaClock        Area = "clock"
	AreaMachine      Area = "machine"
)

// Report is all findings, the worst first.
type Report struct {
	At       time.Time `json:"at"`
	Severity Severity  `json:"severity"` // the worst
	Findings []Finding `json:"findings"`
}

// Input is what a node is examined by.
type Input struct {
	Layout layout.Layout
	Config config.Config
	Build  time.Time // when this program was built; zero when unknown
	Now    time.Time
	Checks []preflight.Check // of the machine
	Status func(ctx context.Context) (api.Status, error)
	// Members asks the members of an etcd datastore; nil on agents and with SQLite.
	Members func(ctx context.Context) (voters, healthy int, err error)
	// Database asks the site's own database; nil on agents and with another datastore.
	Database func(ctx context.Context) (store.DatabaseReport, error)
	// CheckDatabase checks the SQLite database while nobody uses it; nil on agents and with etcd.
	CheckDatabase func(ctx context.Context) error
}

// deadline is well above the slowest check, the fsync measurement on a bad disk.
const deadline = 20 * time.Second

// Examine makes all checks. It changes nothing, and returns what it has found also when ctx ends meanwhile.
func Examine(ctx context.Context, in Input) Report {
	machine := make(chan preflight.Report, 1)
	go func() { machine <- preflight.Run(ctx, in.Checks, deadline) }()
	status, down := ask(ctx, in.Status)
	findings := slices.Concat(daemon(in, status, down), certificates(in), clock(in), datastore(ctx, in, down != nil), ofMachine(<-machine, status))
	report := Report{At: in.Now.UTC(), Severity: OK, Findings: []Finding{}}
	report.Add(findings...)
	return report
}

// Add puts findings where they belong.
func (r *Report) Add(findings ...Finding) {
	r.Findings = append(r.Findings, findings...)
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(rank(b.Severity), rank(a.Severity)), cmp.Compare(slices.Index(areas, a.Area), slices.Index(areas, b.Area)))
	})
	if len(r.Findings) > 0 {
		r.Severity = r.Findings[0].Severity
	}
}

var areas = []Area{AreaDaemon, AreaDatastore, AreaCertificates, AreaClock, AreaMachine}

func rank(s Severity) int { return slices.Index([]Severity{OK, Info, Warning, Critical}, s) }

// ofMachine turns the results of the checks of the machine into findings. What the daemon reports as a problem already, with the
// time since when, is not said twice.
func ofMachine(r preflight.Report, status api.Status) []Finding {
	severity := map[preflight.Status]Severity{preflight.Passed: OK, preflight.Info: Info, preflight.Warned: Warning, preflight.Failed: Critical}
	reported := map[string]health.Code{"disk-bytes": health.DiskBytesLow, "disk-inodes": health.DiskInodesLow, "disk-fsync": health.DiskSlow, "clock": health.ClockBehind}
	var findings []Finding
	for _, result := range r.Results {
		code, same := reported[result.ID]
		if same && slices.ContainsFunc(status.Problems, func(p health.Active) bool { return p.Code == code }) {
			continue
		}
		f := Finding{ID: result.ID, Area: AreaMachine, Severity: severity[result.Status], Title: result.Title, Found: result.Found, Advice: result.Advice}
		if same && f.Severity != OK {
			f.Topic = string(code)
		}
		findings = append(findings, f)
	}
	return findings
}
