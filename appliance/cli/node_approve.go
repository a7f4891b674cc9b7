package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"islet/appliance/join"
	"islet/appliance/server"
)

func newNodeApproveCommand(env *Env) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "approve NAME", Short: "Let a machine in that waits for approval", Args: cobra.ExactArgs(1), ValidArgsFunction: completeNodes,
		Long: `Lets a machine in that has shown a good token and waits: because the site wants every machine approved
(site.requireApproval), or because it takes the name of a node that is not ready, as a machine does that was installed anew.
Compare the words with those on the machine's own screen: they stand for its key.`,
		Example: "  appliance node list\n  appliance node approve press2",
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask whether the words are the same")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return decide(cmd.Context(), env, args[0], true, yes) }
	return cmd
}

func newNodeRefuseCommand(env *Env) *cobra.Command {
	return &cobra.Command{
		Use: "refuse NAME", Short: "Turn a machine away that waits for approval", Args: cobra.ExactArgs(1), ValidArgsFunction: completeNodes,
		Long:    "Turns a machine away. Its token stays as it is: `appliance token revoke` ends that.",
		Example: "  appliance node refuse press2",
		RunE:    func(cmd *cobra.Command, args []string) error { return decide(cmd.Context(), env, args[0], false, true) },
	}
}

// decide answers a machine that waits.
func decide(ctx context.Context, env *Env, name string, approve, yes bool) error {
	site, err := openCluster()
	if err != nil {
		return err
	}
	requests := server.Requests(site.client)
	list, err := requests.List(ctx)
	if err != nil {
		return explainCluster(err)
	}
	i := slices.IndexFunc(list, func(r join.Request) bool { return r.Name == name })
	if i < 0 {
		return Advise(fmt.Errorf("%w: nobody asks to join as %s", join.ErrNotMember, name), "see `appliance node list`")
	}
	if !yes {
		if err := confirmWords(ctx, env, list[i]); err != nil {
			return err
		}
	}
	if _, err := requests.Decide(ctx, name, list[i].Key, approve); err != nil {
		return explainCluster(err)
	}
	verdict := "is approved: it is let in when it asks the next time, within seconds"
	if !approve {
		verdict = "is refused"
	}
	_, err = fmt.Fprintf(env.Stdio.Out, "%s %s\n", name, verdict)
	return err
}

func confirmWords(ctx context.Context, env *Env, r join.Request) error {
	in, ok := terminal(env)
	if !ok {
		return Exit(CodeUsage, Advise(errors.New("the machine's words have to be compared, and there is no terminal to ask on"), "compare them in `appliance node list`, then give --yes"))
	}
	what := "a new " + string(r.Role)
	if r.Replaces {
		what = "in the place of the node of that name, which is not ready"
	}
	answer, err := ask(ctx, env, in, fmt.Sprintf("%s at %s asks to join, %s.\nIts words: %s\nDoes its own screen show the same? Type yes: ", r.Name, r.Address, what, r.Key.Words()))
	if err == nil && answer != "yes" {
		err = Exit(CodeUsage, errors.New("not confirmed: nothing was done"))
	}
	return err
}
