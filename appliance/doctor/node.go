package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"islet/appliance/api"
	"islet/appliance/component"
	"islet/appliance/config"
	store "islet/appliance/datastore"
	"islet/appliance/health"
	"islet/appliance/layout"
	"islet/appliance/pki"
)

// answerTime is how long a daemon may take to answer: it only looks at its memory for that.
const answerTime = 5 * time.Second

func ask(ctx context.Context, status func(context.Context) (api.Status, error)) (api.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	return status(ctx)
}

// daemon is the daemon itself, what it reports, and what it waits for.
func daemon(in Input, s api.Status, down error) []Finding {
	f := Finding{ID: "daemon", Area: AreaDaemon, Title: "Node daemon"}
	if down != nil {
		f.Severity, f.Found = Critical, down.Error()
		f.Advice = "start it: systemctl start appliance; what it said last: journalctl -u appliance -n 50"
		f.Since = lastSign(in.Layout)
		return []Finding{f}
	}
	f.Severity, f.Found, f.Since = OK, fmt.Sprintf("%s answers; %d of %d components are ready", s.Version, ready(s), len(s.Components)), &s.StartedAt
	findings := []Finding{f}
	explained := map[string]bool{}
	for _, p := range s.Problems {
		if p.HiddenBy != "" {
			continue
		}
		explained[p.Subject] = true
		severity := Warning
		if p.Severity == health.Critical {
			severity = Critical
		}
		found := p.Headline()
		if p.Detail != "" {
			found += " (" + p.Detail + ")"
		}
		findings = append(findings, Finding{ID: string(p.Code), Area: AreaDaemon, Severity: severity, Title: "Problem", Found: found, Since: &p.Since, Advice: p.Advice, Topic: string(p.Code)})
	}
	for _, c := range s.Components {
		if c.State == component.Ready || explained[c.Name] {
			continue
		}
		findings = append(findings, Finding{
			ID: "component", Area: AreaDaemon, Severity: Warning, Title: "Component", Since: &c.Since, Advice: "wait for it: appliance status --wait 5m; see its log in " + in.Layout.Logs(),
			Found: strings.TrimSuffix(fmt.Sprintf("%s is %s: %s", c.Name, c.State, c.Reason), ": "),
		})
	}
	return findings
}

func ready(s api.Status) (n int) {
	for _, c := range s.Components {
		if c.State == component.Ready {
			n++
		}
	}
	return n
}

// lastSign is when the node last wrote to a log: about since when it is down.
func lastSign(l layout.Layout) *time.Time {
	var newest time.Time
	logs, _ := filepath.Glob(filepath.Join(l.Logs(), "*.log")) // the pattern is good
	for _, path := range logs {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	if newest.IsZero() {
		return nil
	}
	return &newest
}

// expiryWarning is what the daemon warns by, too.
const expiryWarning = 30 * 24 * time.Hour

// certificates reads those on the disk: that needs no daemon.
func certificates(in Input) []Finding {
	files, _ := filepath.Glob(filepath.Join(in.Layout.PKI(), "*.crt")) // the pattern is good
	all := Finding{ID: "certificates", Area: AreaCertificates, Severity: OK, Title: "Certificates"}
	if len(files) == 0 {
		all.Severity, all.Found = Critical, "none in "+in.Layout.PKI()
		all.Advice = "they are made at the first start: systemctl start appliance; run as root to see them"
		return []Finding{all}
	}
	var (
		findings []Finding
		first    time.Time
		name     string
	)
	for _, file := range files {
		cert, err := pki.LoadCert(file)
		f := Finding{Area: AreaCertificates, Title: "Certificate " + strings.TrimSuffix(filepath.Base(file), ".crt")}
		switch {
		case err != nil:
			f.ID, f.Severity, f.Found, f.Advice = "certificate-unreadable", Critical, err.Error(), "restart the appliance, which makes a new one; restore the authorities from a backup if one of them is lost"
		case in.Now.After(cert.NotAfter):
			f.ID, f.Topic, f.Severity, f.Found, f.Since = string(health.CertificateExpired), string(health.CertificateExpired), Critical, "has expired", &cert.NotAfter
			f.Advice = "check the clock, then restart the appliance, which renews it"
		case in.Now.Before(cert.NotBefore):
			f.ID, f.Severity, f.Found, f.Advice = "certificate-early", Critical, "is good only from "+cert.NotBefore.Format(time.RFC3339), "the clock is behind: set it (date -s, then hwclock -w)"
		case in.Now.Add(expiryWarning).After(cert.NotAfter):
			f.ID, f.Topic, f.Severity, f.Found = string(health.CertificateExpiring), string(health.CertificateExpiring), Warning, "expires on "+cert.NotAfter.Format(time.DateOnly)
			f.Advice = "it should have been renewed by itself: see the component certificates in appliance status"
		}
		if f.ID != "" {
			findings = append(findings, f)
		}
		if err == nil && (first.IsZero() || cert.NotAfter.Before(first)) {
			first, name = cert.NotAfter, strings.TrimSuffix(filepath.Base(file), ".crt")
		}
	}
	if len(findings) > 0 {
		return findings
	}
	all.Found = fmt.Sprintf("%d, the first to expire is %s on %s", len(files), name, first.Format(time.DateOnly))
	return []Finding{all}
}

// ahead is how far in the future a file's time may be: clocks are set a little now and then.
const ahead = time.Minute

// clock compares the time with that of the node's own files. The time of the build is among the checks of the machine.
func clock(in Input) []Finding {
	f := Finding{ID: "clock-set-back", Area: AreaClock, Severity: OK, Title: "Clock against the node's files", Found: "after all of them"}
	last := lastSign(in.Layout)
	if last == nil {
		return nil
	}
	if last.After(in.Now.Add(ahead)) {
		f.Severity, f.Found, f.Since = Warning, fmt.Sprintf("%s behind the node's newest log line", last.Sub(in.Now).Round(time.Second)), nil
		f.Advice = "the clock was set back, or was wrong before: compare it with a watch; certificates and leases depend on it"
	}
	return []Finding{f}
}

// datastore looks at the state of a server on its disk, and at its members.
func datastore(ctx context.Context, in Input, down bool) []Finding {
	if in.Config.Node.Role != config.RoleServer {
		return nil
	}
	var findings []Finding
	switch in.Config.Datastore.Store {
	case config.StoreEtcd:
		if in.Members != nil {
			findings = append(findings, members(ctx, in))
		}
	case config.StoreExternal:
		if in.Database != nil {
			findings = append(findings, external(ctx, in))
		}
		return findings // its copies are up to it
	default:
		findings = append(findings, database(ctx, in, down))
	}
	return append(findings, snapshots(in))
}

func members(ctx context.Context, in Input) Finding {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	f := Finding{ID: "datastore-members", Area: AreaDatastore, Title: "Datastore members", Topic: "servers"}
	voters, healthy, err := in.Members(ctx)
	switch quorum := voters/2 + 1; {
	case err != nil:
		f.Severity, f.Found, f.Advice = Critical, "cannot be asked: "+err.Error(), "start the appliance on this server, and on the others"
	case healthy < quorum:
		f.Severity, f.Found = Critical, fmt.Sprintf("%d of %d answer: the site can write nothing", healthy, voters)
		f.Advice = "bring back the servers that `appliance datastore status` shows as silent; see appliance help servers before anything else"
	case healthy < voters:
		f.Severity, f.Found, f.Advice = Warning, fmt.Sprintf("%d of %d answer", healthy, voters), "bring the silent one back before another fails: appliance datastore status"
	default:
		f.Severity, f.Found, f.Topic = OK, fmt.Sprintf("all %d answer", voters), ""
	}
	return f
}

// external asks the site's own database.
func external(ctx context.Context, in Input) Finding {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	f := Finding{ID: "datastore-external", Area: AreaDatastore, Severity: OK, Title: "The site's database"}
	r, err := in.Database(ctx)
	switch {
	case err != nil:
		f.Severity, f.Found, f.Advice = Critical, "cannot be asked: "+err.Error(), "run it as root; see appliance status"
	case r.Trouble != "":
		f.Severity, f.Found, f.Advice, f.Topic = Critical, r.Found, r.Advice, "database-"+string(r.Trouble)
	default:
		f.Found = fmt.Sprintf("%s answers, at revision %d", r.Server, r.Revision)
	}
	return f
}

// database checks the file while nobody uses it: a running kine has checked it at its start, and says when it fails.
func database(ctx context.Context, in Input, down bool) Finding {
	f := Finding{ID: "datastore-file", Area: AreaDatastore, Severity: OK, Title: "Database"}
	path := store.Database(in.Layout)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Severity, f.Found, f.Advice = Critical, path+" is not there", "it is made at the first start; if there was one, do not start before it is clear where it went"
		return f
	case err != nil:
		f.Severity, f.Found, f.Advice = Critical, err.Error(), "run it as root; if it stays, look at the disk (dmesg)"
		return f
	}
	f.Found = fmt.Sprintf("%s, %.1f MiB", path, float64(info.Size())/(1<<20))
	if !down || in.CheckDatabase == nil {
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	if err := in.CheckDatabase(ctx); err != nil {
		f.Severity, f.Found, f.Topic = Critical, err.Error(), string(health.DatastoreDamaged)
		f.Advice = "nothing by hand: the next start checks it, too, and puts the newest good snapshot in its place if it is damaged"
		return f
	}
	f.Found += ", and passes its check"
	return f
}

// overdue is after how many intervals without one a snapshot is missed.
const overdue = 3

func snapshots(in Input) Finding {
	f := Finding{ID: "datastore-snapshots", Area: AreaDatastore, Severity: OK, Title: "Snapshots"}
	dir := filepath.Join(in.Layout.Backups(), "datastore")
	entries, _ := os.ReadDir(dir) // none is what is reported then
	var newest time.Time
	n := 0
	for _, e := range entries {
		if info, err := e.Info(); err == nil && filepath.Ext(e.Name()) == ".db" {
			n++
			if info.ModTime().After(newest) {
				newest = info.ModTime()
			}
		}
	}
	if n == 0 {
		f.Severity, f.Found, f.Advice, f.Topic = Warning, "none in "+dir, "the first is taken soon after the start; see the component snapshots in appliance status", string(health.SnapshotFailed)
		return f
	}
	f.Found, f.Since = fmt.Sprintf("%d, the newest of %s", n, newest.Local().Format(time.DateTime)), nil
	if age := in.Now.Sub(newest); age > overdue*time.Duration(in.Config.Datastore.Snapshots.Interval) {
		f.Severity, f.Since, f.Topic = Warning, &newest, string(health.SnapshotFailed)
		f.Advice = "none was taken since then: start the appliance if it is down, else see the component snapshots in appliance status"
	}
	return f
}
