package doctor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"islet/appliance/api"
	"islet/appliance/component"
	"islet/appliance/config"
	"islet/appliance/health"
	"islet/appliance/layout"
	"islet/appliance/pki"
	"islet/appliance/preflight"
)

// node is a server on a disk, with certificates, a database, a snapshot and a log that are as they should be.
func node(t *testing.T) Input {
	t.Helper()
	dir := t.TempDir()
	l := layout.Layout{EtcDir: dir + "/etc", StateDir: dir + "/state", RunDir: dir + "/run", CNIDir: dir + "/cni"}
	if _, err := pki.Open(l.PKI(), time.Time{}, nil); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{l.Datastore() + "/state.db", l.Backups() + "/datastore/sqlite-1.db", l.Logs() + "/kubelet.log"} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Input{
		Layout: l, Config: config.Default(), Now: time.Now(),
		Status: func(context.Context) (api.Status, error) {
			return api.Status{Version: "1", Ready: true, StartedAt: time.Now().Add(-time.Hour), Components: []component.Status{{Name: "kine", State: component.Ready}}}, nil
		},
		CheckDatabase: func(context.Context) error { return nil },
	}
}

func find(r Report, id string) (Finding, bool) {
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.ID == id })
	if i < 0 {
		return Finding{}, false
	}
	return r.Findings[i], true
}

func down(context.Context) (api.Status, error) { return api.Status{}, api.ErrUnreachable }

// Each case spoils one thing; the finding must be that one, and nothing else may be worse than ok.
func TestExamine(t *testing.T) {
	t.Parallel()
	since := time.Now().Add(-time.Hour)
	for _, c := range []struct {
		name     string
		spoil    func(t *testing.T, in *Input)
		id       string // empty: everything is fine
		severity Severity
		found    string
		since    bool
	}{
		{"all is well", func(*testing.T, *Input) {}, "", OK, "", false},
		{"daemon down", func(_ *testing.T, in *Input) { in.Status = down }, "daemon", Critical, "does not answer", true},
		{"daemon down, database damaged", func(_ *testing.T, in *Input) {
			in.Status, in.CheckDatabase = down, func(context.Context) error { return errors.New("malformed page 7") }
		}, "datastore-file", Critical, "page 7", false},
		{"database gone", func(t *testing.T, in *Input) { remove(t, in.Layout.Datastore()) }, "datastore-file", Critical, "is not there", false},
		{"problem", func(_ *testing.T, in *Input) {
			problems(in, health.Active{Problem: health.Problem{Code: health.DiskBytesLow, Title: "is almost full", Severity: health.Critical, Advice: "x"}, Subject: "/var", Detail: "3 MiB free", Since: since})
		}, "disk-bytes-low", Critical, "/var is almost full (3 MiB free)", true},
		{"problem that is a consequence", func(_ *testing.T, in *Input) {
			problems(in, health.Active{Problem: health.Problem{Code: health.NodeNotReady, Severity: health.Critical}, HiddenBy: health.PortInUse, Since: since})
		}, "", OK, "", false},
		{"component not ready yet", func(_ *testing.T, in *Input) {
			in.Status = func(context.Context) (api.Status, error) {
				return api.Status{Components: []component.Status{{Name: "kubelet", State: component.Starting, Since: since, Reason: "waits for its socket"}}}, nil
			}
		}, "component", Warning, "kubelet is " + string(component.Starting) + ": waits for its socket", true},
		{"no certificates", func(t *testing.T, in *Input) { remove(t, in.Layout.PKI()) }, "certificates", Critical, "none in", false},
		{"certificates expired", func(_ *testing.T, in *Input) { in.Now = in.Now.AddDate(60, 0, 0) }, "certificate-expired", Critical, "has expired", true},
		{"certificate unreadable", func(t *testing.T, in *Input) { write(t, in.Layout.PKI()+"/node.crt", "x") }, "certificate-unreadable", Critical, "node.crt", false},
		{"clock set back", func(t *testing.T, in *Input) {
			later := in.Now.Add(time.Hour)
			if err := os.Chtimes(in.Layout.Logs()+"/kubelet.log", later, later); err != nil {
				t.Fatal(err)
			}
		}, "clock-set-back", Warning, "behind the node's newest log line", false},
		{"no snapshot", func(t *testing.T, in *Input) { remove(t, in.Layout.Backups()) }, "datastore-snapshots", Warning, "none in", false},
		{"snapshot overdue", func(t *testing.T, in *Input) {
			old := in.Now.AddDate(0, 0, -40)
			if err := os.Chtimes(in.Layout.Backups()+"/datastore/sqlite-1.db", old, old); err != nil {
				t.Fatal(err)
			}
		}, "datastore-snapshots", Warning, "1, the newest of", true},
		{"etcd without a majority", func(_ *testing.T, in *Input) { etcd(in, 3, 1) }, "datastore-members", Critical, "1 of 3 answer", false},
		{"etcd with one silent", func(_ *testing.T, in *Input) { etcd(in, 3, 2) }, "datastore-members", Warning, "2 of 3 answer", false},
		{"etcd whole", func(_ *testing.T, in *Input) { etcd(in, 3, 3) }, "", OK, "", false},
		{"a check of the machine", func(_ *testing.T, in *Input) { in.Checks = []preflight.Check{failing{}} }, "swap", Warning, "much", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in := node(t)
			c.spoil(t, &in)
			r := Examine(t.Context(), in)
			if r.Severity != c.severity {
				t.Errorf("it is %s, want %s: %+v", r.Severity, c.severity, r.Findings)
			}
			if c.id == "" {
				return
			}
			f, here := find(r, c.id)
			if !here || f.Severity != c.severity || !strings.Contains(f.Found, c.found) || f.Advice == "" || (f.Since != nil) != c.since {
				t.Errorf("%t %+v", here, f)
			}
		})
	}
}

type failing struct{}

func (failing) ID() string { return "swap" }
func (failing) Run(context.Context) preflight.Result {
	return preflight.Result{ID: "swap", Title: "Swap", Status: preflight.Warned, Found: "much", Advice: "less"}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func problems(in *Input, p ...health.Active) {
	in.Status = func(context.Context) (api.Status, error) { return api.Status{Problems: p}, nil }
}

func etcd(in *Input, voters, healthy int) {
	in.Config.Datastore.Store = config.StoreEtcd
	in.Members = func(context.Context) (int, int, error) { return voters, healthy, nil }
}

func TestAnAgentHasNoDatastore(t *testing.T) {
	t.Parallel()
	in := node(t)
	in.Config.Node.Role = config.RoleAgent
	remove(t, in.Layout.Datastore())
	if r := Examine(t.Context(), in); r.Severity != OK {
		t.Errorf("%+v", r)
	}
}

// A daemon that listens and says nothing is down, too.
func TestAHangingDaemon(t *testing.T) {
	t.Parallel()
	in := node(t)
	in.Status = func(ctx context.Context) (api.Status, error) {
		<-ctx.Done()
		return api.Status{}, ctx.Err()
	}
	if f, _ := find(Examine(t.Context(), in), "daemon"); f.Severity != Critical {
		t.Errorf("%+v", f)
	}
}
