package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"islet/appliance/config"
	"islet/appliance/datastore"
	"islet/appliance/health"
)

// outside is a site whose state is in a database of its own.
type outside struct {
	servers  []*platform
	database *database
}

const (
	passwordFile = "/etc/appliance/database.password"
	databaseCA   = "/etc/appliance/database-ca.pem"
)

// TestExternal makes a site of two servers on a PostgreSQL that it does not run itself, kills a server, and then the database
// while it is written to.
func TestExternal(t *testing.T) {
	t.Parallel()
	all := bootSite(t, "outside", 3, func(c *config.Config) {
		c.Datastore.Store = config.StoreExternal
		c.Datastore.External = config.External{ // the third host of a lab
			Endpoint: "postgres://islet@10.77.0.13:" + databasePort + "/islet", PasswordFile: passwordFile, CAFile: databaseCA,
		}
	})
	o := &outside{servers: all[:2]}
	runParts(t, o, all[:2], []part[outside]{
		{"the database refuses", func(o *outside, t *testing.T) { o.refused(t, all[2]) }},
		{"assemble", (*outside).assemble},
		{"a server dies", (*outside).loseServer},
		{"the database dies under load", (*outside).loseDatabase},
		{"a backup holds no database", (*outside).backup},
	})
}

// refused starts with what people get wrong.
func (o *outside) refused(t *testing.T, host *platform) {
	first := o.servers[0]
	if err := first.host.WriteFile(passwordFile, []byte("not-the-password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := first.host.WriteFile(databaseCA, []byte("none yet\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	await(t, readyLimit, "the file is no certificate", o.complains(health.DatabaseRefused, "caFile"))
	o.database = newDatabase(t, host)
	if want := o.database.endpoint(); want != "postgres://islet@10.77.0.13:5432/islet" {
		t.Fatalf("the database is at %s", want)
	}
	if err := first.host.WriteFile(databaseCA, o.database.ca, 0o644); err != nil {
		t.Fatal(err)
	}
	first.restart(t)
	await(t, readyLimit, "the database is missed", o.complains(health.DatabaseUnreachable, "listen_addresses"))
	o.database.start(t)
	await(t, readyLimit, "the password is refused", o.complains(health.DatabaseRefused, "datastore.external.passwordFile"))
	if err := first.host.WriteFile(passwordFile, []byte(o.database.password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first.restart(t)
	await(t, readyLimit, "the first server is ready", first.ready)
}

// restart starts the daemon anew, which reads the files again.
func (p *platform) restart(t *testing.T) {
	t.Helper()
	if err := p.host.RestartBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (o *outside) complains(code health.Code, advice string) func(context.Context) error {
	return func(ctx context.Context) error {
		s, err := o.servers[0].daemon().Status(ctx)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(s.Problems, func(p health.Active) bool { return p.Code == code && strings.Contains(p.Detail, advice) }) {
			return fmt.Errorf("problems %+v", s.Problems)
		}
		return nil
	}
}

// assemble lets a second server join, which is told nothing of the database but by the site.
func (o *outside) assemble(t *testing.T) {
	f := &fleet{servers: o.servers}
	f.join(t, config.RoleServer, o.servers[1])
	for _, p := range o.servers {
		await(t, readyLimit, p.host.Name()+" is ready", p.ready)
		report := runJSON[struct {
			Store    string
			Database datastore.DatabaseReport
		}](t, p, "datastore", "status")
		if d := report.Database; report.Store != "external" || !d.Serves || d.Revision == 0 || !strings.HasPrefix(d.Server, "PostgreSQL 15.") || d.Trouble != "" {
			t.Errorf("%s: %+v", p.host.Name(), report)
		}
		for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
			if c, err := p.component(t.Context(), name); err != nil || !c.IsReady() {
				t.Errorf("%s on %s: %+v (%v)", name, p.host.Name(), c, err)
			}
		}
	}
	if out := o.servers[0].run(t, "sh", "-c", "tr '\\0' ' ' </proc/$(pgrep -x kine)/cmdline"); strings.Contains(out, o.database.password) || !strings.Contains(out, "--password-file") {
		t.Errorf("kine's command line: %s", out)
	}
}

// loseServer kills the first server, and the second goes on.
func (o *outside) loseServer(t *testing.T) {
	first, second := o.servers[0], o.servers[1]
	c := &cutter{platform: second, acknowledged: map[string]string{}}
	if err := c.connect(); err != nil {
		t.Fatal(err)
	}
	o.load(t, c, func() {
		if err := first.host.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	if err := first.host.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, readyLimit, "the server that was killed is ready", first.ready)
	c.compare(t)
}

// load writes before and after something happens.
func (o *outside) load(t *testing.T, c *cutter, happen func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	acknowledged, ended := c.write(ctx)
	var written atomic.Int64
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		for name := range acknowledged {
			c.acknowledged[name] = name
			written.Add(1)
		}
	}()
	more := func(context.Context) error {
		if n := written.Load(); n < loadWrites {
			return fmt.Errorf("%d", n)
		}
		return nil
	}
	await(t, readyLimit, "writes are acknowledged", more)
	happen()
	before := written.Swap(0)
	await(t, readyLimit, "writes are acknowledged again", more)
	stop()
	ended()
	<-counted
	t.Logf("%d writes were acknowledged, %d of them before and meanwhile", len(c.acknowledged), before)
}

// loadWrites are enough to be sure that something was under way when it happened.
const loadWrites = 50

// loseDatabase stops the database at once while both servers write, and starts it again.
func (o *outside) loseDatabase(t *testing.T) {
	c := &cutter{platform: o.servers[1], acknowledged: map[string]string{}}
	if err := c.connect(); err != nil {
		t.Fatal(err)
	}
	o.load(t, c, func() {
		o.database.stop(t)
		await(t, readyLimit, "the database is missed", o.complains(health.DatabaseUnreachable, "listen_addresses"))
		o.database.start(t)
	})
	for _, p := range o.servers {
		await(t, readyLimit, p.host.Name()+" is ready", p.ready)
	}
	if err := c.connect(); err != nil {
		t.Fatal(err)
	}
	c.compare(t)
}

// backup says what it does not hold.
func (o *outside) backup(t *testing.T) {
	first := o.servers[0]
	first.run(t, "sh", "-c", "appliance backup key create >/root/recovery.key")
	out := first.run(t, "sh", "-c", "appliance backup create --out /root/site.islet-backup 2>&1")
	if !strings.Contains(out, "IS NOT IN IT") {
		t.Errorf("%s", out)
	}
	out, err := first.host.Output(t.Context(), "appliance", "backup", "verify", "/root/site.islet-backup", "--key", "/root/recovery.key")
	if err != nil || !strings.Contains(out, "external at revision") {
		t.Error(errors.Join(err, errors.New(out)))
	}
}
