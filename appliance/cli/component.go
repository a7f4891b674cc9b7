package cli

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func newComponentCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "component",
		Short:   "Show, read and restart the parts that this node runs",
		GroupID: groupLook,
		Long:    `Shows what happened to the components of this node and why, and restarts one of them alone.`,
		Example: `  appliance component events
  appliance component logs kubelet --follow
  appliance component restart kubelet`,
	}
	cmd.AddCommand(newEventsCommand(env), newComponentLogsCommand(env), newRestartCommand(env))
	return cmd
}

func newEventsCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "events",
		Short:   "List every change of a component's state, with its reason",
		Args:    cobra.NoArgs,
		Long:    `Lists the newest changes of the components' states since the daemon started, oldest first.`,
		Example: "  appliance component events -o json\n  appliance component events --node press2",
	}
	var node string
	nodeFlag(cmd, &node)
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := daemonOf(node)
		if err != nil {
			return err
		}
		events, err := client.Events(cmd.Context())
		if err != nil {
			return explainDaemon(err)
		}
		return env.Print(*format, events, func(out io.Writer) error {
			w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "AT\tCOMPONENT\tSTATE\tREASON")
			for _, e := range events {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.At.Local().Format(time.DateOnly+" 15:04:05.000"), e.Component, e.State, e.Reason)
			}
			return w.Flush()
		})
	}
	return cmd
}

func newRestartCommand(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:               "restart NAME",
		Short:             "Restart one component; the others and all pods go on",
		Args:              cobra.ExactArgs(1),
		Long:              `Stops one component and starts it again. Nothing else is stopped: components reconnect, pods go on.`,
		Example:           `  appliance component restart kube-proxy`,
		ValidArgsFunction: completeComponents,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := daemon()
			if err != nil {
				return err
			}
			if err := client.Restart(cmd.Context(), args[0]); err != nil {
				return explainDaemon(err)
			}
			_, err = fmt.Fprintf(env.Stdio.Out, "%s is restarting; follow it with `appliance status`\n", args[0])
			return err
		},
	}
}

// completeComponents offers the names of this node's components to a shell.
func completeComponents(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	if client, err := daemon(); err == nil && len(args) == 0 {
		status, _ := client.Status(cmd.Context()) // no daemon: nothing to offer
		for _, c := range status.Components {
			names = append(names, c.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
