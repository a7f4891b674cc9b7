package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/tail"
)

// followEvery is how often a log that is followed is looked at.
const followEvery = time.Second

func newComponentLogsCommand(env *Env) *cobra.Command {
	var (
		node   string
		lines  int
		follow bool
	)
	cmd := &cobra.Command{
		Use: "logs NAME", Short: "Print the end of a component's log", Args: cobra.ExactArgs(1), ValidArgsFunction: completeComponents,
		Long: `Prints the last lines that a component's program has printed. Components that are parts of the daemon write to its log:
journalctl -u appliance. With --node it is the log of another node's component, which is asked for over port 9443.`,
		Example: `  appliance component logs kubelet
  appliance component logs kube-apiserver --lines 1000 | grep -i error
  appliance component logs containerd --follow
  appliance component logs kubelet --node press2`,
	}
	nodeFlag(cmd, &node)
	cmd.Flags().IntVar(&lines, "lines", 100, fmt.Sprintf("`NUMBER` of lines, at most %d", tail.Limit))
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is written, until Ctrl-C")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if lines < 1 || lines > tail.Limit {
			return Exit(CodeUsage, fmt.Errorf("--lines %d: want 1 to %d", lines, tail.Limit))
		}
		return printLog(cmd.Context(), env, node, args[0], lines, follow)
	}
	return cmd
}

// printLog ends with the log, or where it follows it when ctx does, which is no error.
func printLog(ctx context.Context, env *Env, node, name string, lines int, follow bool) error {
	client, err := daemonOf(node)
	if err != nil {
		return err
	}
	for mark := ""; ; {
		part, err := client.Log(ctx, name, lines, mark)
		if err != nil && ctx.Err() == nil {
			return explainDaemon(err)
		}
		for _, line := range part.Lines {
			if _, err := fmt.Fprintln(env.Stdio.Out, line); err != nil {
				return err
			}
		}
		if !follow {
			return ctx.Err()
		}
		mark = part.Mark
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followEvery):
		}
	}
}
