package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/join"
	"islet/appliance/pki"
	"islet/appliance/server"
)

type replaceFlags struct {
	removeFlags
	ttl    time.Duration
	format *Format
}

func newNodeReplaceCommand(env *Env) *cobra.Command {
	f := new(replaceFlags)
	cmd := &cobra.Command{
		Use: "replace NAME", Short: "Let another machine take the place of a node", Args: cobra.ExactArgs(1), ValidArgsFunction: completeNodes,
		Long: `For a node whose machine died, lost its disk, or is to be exchanged: removes it as ` + "`appliance node remove`" + ` does, and makes
a token that is good for one machine of that name and role. The new machine, or the old one installed anew, joins with it and
need not be approved, unless the site wants every machine approved. Should the old one come back as it was, it is told to clean itself.

Without --yes it asks for the node's name. It may be interrupted anywhere: run it again to go on.`,
		Example: "  appliance node replace press2\n  TOKEN=$(appliance node replace press2 --yes -o json | jq -r .token)",
	}
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
	cmd.Flags().DurationVar(&f.ttl, "ttl", 24*time.Hour, "`TIME` after which the token is no longer good")
	f.format = AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), env, args[0]) }
	return cmd
}

func (f *replaceFlags) run(ctx context.Context, env *Env, name string) error {
	if err := checkTTL(f.ttl); err != nil {
		return err
	}
	site, err := openCluster()
	if err != nil {
		return err
	}
	members, err := server.Members(site.client).List(ctx)
	if err != nil {
		return explainCluster(err)
	}
	i := slices.IndexFunc(members, func(m join.Member) bool { return m.Name == name })
	if i < 0 {
		return Advise(fmt.Errorf("%w: %s", join.ErrNotMember, name), "see `appliance node list`; a machine of a new name needs no more than `appliance token create`")
	}
	servers, err := siteServers(ctx)
	if err != nil {
		return err
	}
	quiet := *env // standard output is for the token alone
	quiet.Stdio.Out = env.Stdio.Err
	if members[i].Removed == nil { // else an earlier run has come so far
		if err := f.removeFlags.run(ctx, &quiet, name); err != nil && !errors.Is(err, join.ErrNotMember) {
			return err
		}
	}
	token, err := join.NewToken(members[i].Role, join.PinOf(site.pki.Authority(pki.NodeCA).Cert), servers)
	if err != nil {
		return err
	}
	var record join.Record
	err = insist(ctx, func() (err error) {
		record, err = server.Tokens(site.client).CreateFor(ctx, name, token, f.ttl)
		return err
	})
	if err != nil {
		return explainCluster(err)
	}
	return env.Print(*f.format, tokenReport{token.String(), record}, func(w io.Writer) error {
		fmt.Fprintf(env.Stdio.Err, "On the new machine, until %s:\n", record.Expires.Local().Format(time.DateTime))
		_, err := fmt.Fprintf(w, "appliance join --name %s --token %s\n", name, token.String())
		return err
	})
}
