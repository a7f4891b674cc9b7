package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/api"
	"islet/appliance/datastore"
)

type recoverFlags struct {
	plan, yes bool
	wait      time.Duration
	format    *Format
}

func newDatastoreRecoverCommand(env *Env) *cobra.Command {
	f := new(recoverFlags)
	cmd := &cobra.Command{
		Use: "recover", Short: "Go on with this server's copy alone, after the majority of the servers is lost", Args: cobra.NoArgs,
		Long: `For a site that has lost the majority of its servers for good, or cannot wait for them. It works while Kubernetes is down.
It shows the newest revision of each server that still answers, so that you can choose the one with the most; what only
the lost ones had is lost. The chosen server, on which you run this, becomes the datastore's only member with all that is
in its copy.

Servers that come back later notice, put their own copies aside, and join again by themselves. Those that do not are taken
out with ` + "`appliance node remove`" + `.`,
		Example: "  appliance datastore recover --plan\n  appliance datastore recover",
	}
	cmd.Flags().BoolVar(&f.plan, "plan", false, "show what is there and what would be done, and do nothing")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
	cmd.Flags().DurationVar(&f.wait, "wait", 5*time.Minute, "how `LONG` to wait until everything is ready again")
	f.format = AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), env) }
	return cmd
}

func (f *recoverFlags) run(ctx context.Context, env *Env) error {
	store, err := openMembers(ctx)
	if err != nil {
		return err
	}
	client := api.NewClient(store.Layout.APISocket())
	if _, err := client.Status(ctx); err != nil {
		return explainDaemon(err)
	}
	members, err := store.Members(ctx)
	if err != nil {
		return Advise(err, "see `appliance status`: etcd must run on this server")
	}
	report := reportOf(members)
	if report.MayFail >= 0 {
		return Exit(CodeNotPossible, Advise(fmt.Errorf("%d of %d voters are healthy: there is nothing to recover from", report.Healthy, report.Voters),
			"take single servers out with `appliance node remove`"))
	}
	if f.plan {
		return env.Print(*f.format, report, func(w io.Writer) error { return printRecovery(w, report, store) })
	}
	if err := f.confirmed(ctx, env, report, store); err != nil {
		return err
	}
	if err := datastore.AskRecovery(store.Layout); err != nil {
		return err
	}
	if err := client.Restart(ctx, datastore.EtcdName); err != nil {
		return explainDaemon(err)
	}
	if err := awaitAlone(ctx, store, f.wait); err != nil {
		return err
	}
	if err := client.Restart(ctx, datastore.EtcdMemberName); err != nil { // which makes it a new generation
		return explainDaemon(err)
	}
	if _, err := watchReady(ctx, client, f.wait, env.Stdio.Err); err != nil {
		return err
	}
	members, err = store.Members(ctx)
	if err != nil {
		return err
	}
	report = reportOf(members)
	return env.Print(*f.format, report, func(w io.Writer) error { return printDatastore(w, report) })
}

func printRecovery(w io.Writer, r datastoreReport, store datastore.Params) error {
	if err := printDatastore(w, r); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nThe copy of %s would become the datastore. What is newer on another server is lost, and so is what nobody here shows.\n", store.Etcd.NodeName)
	return err
}

func (f *recoverFlags) confirmed(ctx context.Context, env *Env, r datastoreReport, store datastore.Params) error {
	if f.yes {
		return nil
	}
	in, ok := terminal(env)
	if !ok {
		return Exit(CodeUsage, Advise(errors.New("this makes one server's copy the datastore, and there is no terminal to ask on"), "look at it with --plan, then give --yes"))
	}
	if err := printRecovery(env.Stdio.Err, r, store); err != nil {
		return err
	}
	answer, err := ask(ctx, env, in, "To go on, type the name of this server ("+store.Etcd.NodeName+"): ")
	if err == nil && answer != store.Etcd.NodeName {
		err = Exit(CodeUsage, errors.New("that is not its name: nothing was done"))
	}
	return err
}

// awaitAlone waits until this server is the only member.
func awaitAlone(ctx context.Context, store datastore.Params, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		members, err := store.Members(ctx)
		if err == nil && len(members) == 1 && members[0].Error == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return Exit(CodeTimeout, Advise(fmt.Errorf("this server is not alone after %s: %w", limit, errors.Join(ctx.Err(), err)), "see `appliance status`; it goes on when etcd starts"))
		case <-tick.C:
		}
	}
}
