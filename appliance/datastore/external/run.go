package external

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/k3s-io/kine/pkg/drivers/mysql"
	"github.com/k3s-io/kine/pkg/drivers/pgsql"
	"github.com/k3s-io/kine/pkg/server"
	kinetls "github.com/k3s-io/kine/pkg/tls"

	"islet/appliance/atomicfile"
	"islet/appliance/config"
	"islet/appliance/datastore"
	"islet/appliance/datastore/kineserver"
)

// Run is the part of the kine program for a site's own database:
//
//	kine external serve --endpoint URL ... --listen SOCKET --state FILE
//	kine external inspect --endpoint URL ...
//
// inspect prints a datastore.DatabaseReport; serve keeps one in the file.
func Run(ctx context.Context, args []string, stdout io.Writer) error {
	var t Target
	var socket, state string
	flags := flag.NewFlagSet("external", flag.ContinueOnError)
	t.addFlags(flags)
	flags.StringVar(&socket, "listen", "", "path of the unix socket that serves the etcd API")
	flags.StringVar(&state, "state", "", "file to keep a report in")
	if len(args) == 0 {
		return errors.New("usage: kine external serve|inspect --endpoint URL")
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "inspect":
		return json.NewEncoder(stdout).Encode(Inspect(ctx, t))
	case "serve":
		if socket == "" || state == "" || t.Identity == "" {
			return errors.New("serve: --listen, --state and --identity are needed")
		}
		return Serve(ctx, t, socket, state)
	}
	return fmt.Errorf("usage: kine external serve|inspect, not %.40q", args[0])
}

// inspectInterval is how often a server looks after the database that it uses.
const inspectInterval = 10 * time.Second

// Serve serves the etcd API of what is in the database until ctx is cancelled. A database that it cannot use ends it at its start;
// afterwards it goes on when the database is back.
func Serve(ctx context.Context, t Target, socket, state string) (err error) {
	report := Inspect(ctx, t)
	if err := note(state, report); err != nil {
		return err
	}
	if !report.Serves {
		return errors.New(report.Wrong())
	}
	if err := t.read(); err != nil {
		return err
	}
	if err := t.claim(ctx); err != nil {
		return fmt.Errorf("claim the database: %w", judge(err))
	}
	var running sync.WaitGroup
	backendCtx, stopBackend := context.WithCancel(context.WithoutCancel(ctx))
	defer running.Wait()
	defer stopBackend()
	backend, err := t.backend(backendCtx, &running)
	if err != nil {
		return judge(err)
	}
	if err := backend.Start(backendCtx); err != nil {
		return judge(err)
	}
	running.Go(func() { t.watch(backendCtx, state) })
	return kineserver.Serve(ctx, backend, socket)
}

func (t Target) backend(ctx context.Context, running *sync.WaitGroup) (server.Backend, error) {
	source, err := t.source()
	if err != nil {
		return nil, err
	}
	c := kineserver.Config(source)
	open := pgsql.New
	if t.database.Kind == config.DatabaseMySQL {
		open = mysql.New
		c.BackendTLSConfig = kinetls.Config{CAFile: t.CAFile, CertFile: t.CertFile, KeyFile: t.KeyFile}
	}
	_, backend, err := open(ctx, running, c)
	return backend, err
}

// claim makes the database this site's if it is nobody's. Of two that do so at once, one is refused when it next looks.
func (t Target) claim(ctx context.Context) error {
	db, err := t.open()
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	if owner, err := t.owner(ctx, db); err != nil || owner != "" {
		return err
	}
	if _, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+ownerTable+" (one INTEGER PRIMARY KEY, identity VARCHAR(64) NOT NULL)"); err != nil {
		return err
	}
	insert := "INSERT INTO " + ownerTable + " (one, identity) VALUES (1, $1) ON CONFLICT DO NOTHING"
	if t.database.Kind == config.DatabaseMySQL {
		insert = "INSERT IGNORE INTO " + ownerTable + " (one, identity) VALUES (1, ?)"
	}
	if _, err := db.ExecContext(ctx, insert, t.Identity); err != nil {
		return err
	}
	_, err = t.owner(ctx, db)
	return err
}

// watch keeps the report up to date.
func (t Target) watch(ctx context.Context, state string) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(inspectInterval):
		}
		report := Inspect(ctx, t)
		if ctx.Err() != nil {
			return
		}
		if err := note(state, report); err != nil {
			fmt.Fprintln(os.Stderr, "kine:", err)
		}
	}
}

// note keeps a report where the daemon reads it.
func note(path string, report datastore.DatabaseReport) error {
	content, err := json.Marshal(report)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(path, content, 0o600)
}
