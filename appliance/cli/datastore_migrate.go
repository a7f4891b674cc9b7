package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"islet/appliance/api"
	"islet/appliance/atomicfile"
	"islet/appliance/config"
	"islet/appliance/datastore"
	"islet/appliance/layout"
	"islet/appliance/progress"
)

type migrateFlags struct {
	to            string
	back, confirm bool
	plan, yes     bool
	wait          time.Duration
	format        *Format
}

// migration is the JSON form of what a migration did, or would do.
type migration struct {
	From  config.Store `json:"from"`
	To    config.Store `json:"to"`
	Steps []string     `json:"steps"`
	Done  bool         `json:"done"`
}

func newDatastoreMigrateCommand(env *Env) *cobra.Command {
	f := new(migrateFlags)
	cmd := &cobra.Command{
		Use: "migrate --to etcd", Short: "Move the state of a site's only server to etcd, so that it can have three", Args: cobra.NoArgs,
		Long: `Takes a snapshot, writes datastore.store: etcd into the answer file, and starts the daemon anew. Before etcd begins,
everything in the SQLite database is copied with its revisions, and the copy is compared with it: number of keys and hash.
Kubernetes is away for some seconds; pods go on.

The old database stays. --back returns to it, and loses what was written since; --confirm deletes it. A migration that was
interrupted goes on by itself when the daemon starts, or run the same command again.`,
		Example: `  appliance datastore migrate --to etcd --plan
  appliance datastore migrate --to etcd
  appliance datastore migrate --confirm        all is well: delete the old database
  appliance datastore migrate --back           something is not: return to it`,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.to, "to", "", "`STORE` to move to: etcd")
	flags.BoolVar(&f.back, "back", false, "return to the SQLite database of before the migration")
	flags.BoolVar(&f.confirm, "confirm", false, "delete the SQLite database of before the migration")
	flags.BoolVar(&f.plan, "plan", false, "check everything, print every side effect, and do nothing")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	flags.DurationVar(&f.wait, "wait", 5*time.Minute, "how `LONG` to wait until everything is ready again")
	cmd.MarkFlagsMutuallyExclusive("to", "back", "confirm")
	cmd.MarkFlagsOneRequired("to", "back", "confirm")
	f.format = AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), env) }
	return cmd
}

func (f *migrateFlags) run(ctx context.Context, env *Env) error {
	if f.to != "" && f.to != string(config.StoreEtcd) {
		err := fmt.Errorf("--to %s: want etcd; `--back` returns to sqlite", f.to)
		if f.to == string(config.StoreExternal) {
			err = Advise(errors.New("a site that is there already cannot be moved to a database of its own"), "install a new site with datastore.store: external; etcd is for more servers of this one")
		}
		return Exit(CodeUsage, err)
	}
	c, l, err := openServer("move the datastore")
	if err != nil {
		return err
	}
	client := api.NewClient(l.APISocket())
	status, err := client.Status(ctx)
	if err != nil {
		return explainDaemon(err)
	}
	c.Datastore.Store = config.Store(status.Datastore.Store) // an earlier attempt may have changed the answer file only
	m, err := f.prepare(ctx, c, l)
	if err != nil {
		return err
	}
	if !f.plan {
		if err := f.confirmed(ctx, env, m); err != nil {
			return err
		}
		if err := f.do(ctx, env, m, client, l); err != nil {
			return err
		}
		m.Done = true
	}
	return env.Print(*f.format, m, func(w io.Writer) error { return printMigration(w, m) })
}

// prepare refuses what cannot be done here, and says what will be.
func (f *migrateFlags) prepare(ctx context.Context, c config.Config, l layout.Layout) (migration, error) {
	old := datastore.Database(l)
	_, missing := os.Stat(old)
	switch {
	case c.Datastore.Store == config.StoreExternal:
		return migration{}, Exit(CodeNotPossible, Advise(errors.New("this site keeps its state in a database of its own, and nothing is moved out of that"), "a new site can be installed on sqlite or etcd"))
	case f.to != "" && c.Datastore.Store == config.StoreEtcd:
		return migration{}, Exit(CodeNotPossible, Advise(errors.New("this site keeps its state in etcd already"), "see `appliance datastore status`"))
	case f.to != "":
		return migration{From: config.StoreSQLite, To: config.StoreEtcd, Steps: []string{
			"take a snapshot of " + old,
			"write datastore.store: etcd into " + l.Config(),
			"start the daemon anew, which copies " + old + " to " + datastore.EtcdDir(l) + " and compares the two",
			"wait until everything is ready; " + old + " stays",
		}}, mayMigrate(ctx, l)
	case c.Datastore.Store != config.StoreEtcd || missing != nil:
		return migration{}, Exit(CodeNotPossible, fmt.Errorf("there is no SQLite database of before a migration: %s, and the site is on %s", old, c.Datastore.Store))
	case f.confirm:
		return migration{From: config.StoreSQLite, To: config.StoreEtcd, Steps: []string{"delete " + old + ": there is no way back then"}}, nil
	}
	if members, err := f.members(ctx); err != nil || members > 1 {
		return migration{}, Exit(CodeNotPossible, Advise(errors.Join(fmt.Errorf("the site has %d servers, and sqlite is for one", members), err), "remove the other servers first: appliance node remove"))
	}
	return migration{From: config.StoreEtcd, To: config.StoreSQLite, Steps: []string{
		"write datastore.store: sqlite into " + l.Config(),
		"start the daemon anew on " + old + ": everything that was written since the migration is lost",
		"put " + datastore.EtcdDir(l) + " aside",
	}}, nil
}

func (f *migrateFlags) members(ctx context.Context) (int, error) {
	store, err := openMembers(ctx)
	if err != nil {
		return 0, err
	}
	members, err := store.Members(ctx)
	return len(members), err
}

// mayMigrate looks for room for the copy and its snapshot, and for programs where etcd will listen.
func mayMigrate(ctx context.Context, l layout.Layout) error {
	info, err := os.Stat(datastore.Database(l))
	if err != nil {
		return err
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(l.Datastore(), &disk); err != nil {
		return fmt.Errorf("free space of %s: %w", l.Datastore(), err)
	}
	if free, need := int64(disk.Bavail)*disk.Bsize, 4*info.Size(); free < need {
		return Exit(CodeNotPossible, Advise(fmt.Errorf("%s has %s free, and the copy may take %s", l.Datastore(), progress.Bytes(free), progress.Bytes(need)), "free some space"))
	}
	for _, port := range []int{datastore.ClientPort, datastore.PeerPort, datastore.MetricsPort} {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return Exit(CodeNotPossible, Advise(fmt.Errorf("etcd needs the port %d: %w", port, err), "stop the program that holds it: ss -ltnp"))
		}
		if err := listener.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (f *migrateFlags) confirmed(ctx context.Context, env *Env, m migration) error {
	if f.yes {
		return nil
	}
	in, ok := terminal(env)
	if !ok {
		return Exit(CodeUsage, Advise(errors.New("this moves the site's state, and there is no terminal to ask on"), "look at it with --plan, then give --yes"))
	}
	if err := printMigration(env.Stdio.Err, m); err != nil {
		return err
	}
	answer, err := ask(ctx, env, in, "\nGo on? Type yes: ")
	if err == nil && answer != "yes" {
		err = Exit(CodeUsage, errors.New("not confirmed: nothing was done"))
	}
	return err
}

func (f *migrateFlags) do(ctx context.Context, env *Env, m migration, client *api.Client, l layout.Layout) error {
	if f.confirm {
		return removeDatabase(datastore.Database(l))
	}
	if m.To == config.StoreEtcd {
		if _, err := client.Snapshot(ctx); err != nil {
			return explainDaemon(err)
		}
	}
	before, err := client.Status(ctx)
	if err != nil {
		return explainDaemon(err)
	}
	if err := setStore(l, m.To); err != nil {
		return err
	}
	if err := client.StartAnew(ctx); err != nil {
		return explainDaemon(err)
	}
	ctx, cancel := context.WithTimeout(ctx, f.wait)
	defer cancel()
	if err := awaitAnew(ctx, client, before.StartedAt); err != nil {
		return Advise(err, "see `appliance status` and the log of the daemon; `appliance datastore migrate --back` returns to the old database")
	}
	_, err = watchReady(ctx, client, f.wait, env.Stdio.Err)
	return err
}

func setStore(l layout.Layout, store config.Store) error {
	answers, err := os.ReadFile(l.Config())
	if err != nil {
		return err
	}
	answers, err = config.Edit(answers, "datastore.store", string(store))
	if err != nil {
		return Exit(CodeConfig, err)
	}
	return atomicfile.Write(l.Config(), answers, 0o600)
}

// awaitAnew waits until another daemon answers than the one that started then.
func awaitAnew(ctx context.Context, client *api.Client, then time.Time) error {
	tick := time.NewTicker(waitInterval)
	defer tick.Stop()
	for {
		s, err := client.Status(ctx)
		if err == nil && s.StartedAt.After(then) {
			return nil
		}
		select {
		case <-ctx.Done():
			return Exit(CodeTimeout, fmt.Errorf("the daemon did not start anew: %w", errors.Join(ctx.Err(), err)))
		case <-tick.C:
		}
	}
}

func removeDatabase(path string) error {
	for _, ending := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + ending); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return atomicfile.SyncDir(filepath.Dir(path))
}

func printMigration(w io.Writer, m migration) error {
	for i, step := range m.Steps {
		fmt.Fprintf(w, "%d. %s\n", i+1, step)
	}
	if !m.Done {
		return nil
	}
	_, err := fmt.Fprintf(w, "done: the site keeps its state in %s\n", m.To)
	return err
}
