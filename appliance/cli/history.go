package cli

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/metric"
	"islet/appliance/progress"
)

func newHistoryCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "history",
		Short:   "Show what a machine has used: processors, memory, disk",
		GroupID: groupLook,
		Args:    cobra.NoArgs,
		Long: `Shows the use of the processors, the memory and the disk with the state directory: the last hour minute by minute.
With -o json also every 10 seconds of that hour, and the last 24 hours in steps of 5 minutes. The daemon keeps them in
memory: they begin anew when it does. With --node it is that of another node, which is asked over port 9443.`,
		Example: `  appliance history
  appliance history --node press2
  appliance history -o json | jq '.day[].cpu'`,
	}
	var node string
	nodeFlag(cmd, &node)
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := daemonOf(node)
		if err != nil {
			return err
		}
		history, err := client.History(cmd.Context())
		if err != nil {
			return explainDaemon(err)
		}
		return env.Print(*format, history, func(out io.Writer) error { return printHistory(out, history.Recent) })
	}
	return cmd
}

// printHistory prints every sixth sample, which is one a minute, the newest last.
func printHistory(out io.Writer, samples []metric.Sample) error {
	const step = int(time.Minute / metric.Interval)
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "AT\tCPU\tLOAD\tMEMORY\t\tDISK\t")
	for i := (len(samples) - 1) % step; i < len(samples); i += step {
		if i < 0 {
			continue
		}
		s := samples[i]
		fmt.Fprintf(w, "%s\t%.0f %%\t%.2f\t%.0f %%\t%s\t%.0f %%\t%s\n", s.At.Local().Format(time.TimeOnly), 100*s.CPU, s.Load,
			100*s.Memory(), progress.Bytes(s.MemoryUsed), 100*s.Disk(), progress.Bytes(s.DiskUsed))
	}
	return w.Flush()
}
