package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/config"
	"islet/appliance/layout"
	"islet/appliance/plan"
	"islet/appliance/reset"
)

func newPlanCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "plan",
		Short:   "Show what was done to this machine: installations and joins, step by step",
		GroupID: groupLook,
		Long: `An installation, a join and a restore are plans: steps in an order, each noted when it ends. The journals of the last 20
are kept. One that was interrupted or has failed says with which command it goes on.`,
		Example: `  appliance plan list
  appliance plan show`,
	}
	cmd.AddCommand(newPlanListCommand(env), newPlanShowCommand(env))
	return cmd
}

func newPlanListCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the plans that were carried out, the newest first", Args: cobra.NoArgs,
		Long:    "Lists what was done to this machine, the newest first: when, how long it took, and what it came to.",
		Example: "  appliance plan list\n  appliance plan list -o json | jq '.[] | select(.state != \"done\")'",
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		plans, err := readPlans(cmd.Context())
		if err != nil {
			return err
		}
		return env.Print(*format, plans, func(out io.Writer) error { return printPlans(out, plans) })
	}
	return cmd
}

func newPlanShowCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show [ID]", Short: "Show one plan with its steps; without an ID the newest", Args: cobra.MaximumNArgs(1), ValidArgsFunction: completePlans,
		Long:    "Shows each step of a plan: its state, when it was done and how long that took, what has failed, and how to go on.",
		Example: "  appliance plan show\n  appliance plan show 20260517T093000.000Z-install -o json",
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		plans, err := readPlans(cmd.Context())
		if err != nil {
			return err
		}
		j, err := choosePlan(plans, args)
		if err != nil {
			return err
		}
		return env.Print(*format, j, func(out io.Writer) error { return printPlan(out, j) })
	}
	return cmd
}

func choosePlan(plans []plan.Journal, args []string) (plan.Journal, error) {
	switch {
	case len(args) > 0:
		j, err := plan.Find(plans, args[0])
		return j, Exit(CodeUsage, Advise(err, "see `appliance plan list`"))
	case len(plans) == 0:
		return plan.Journal{}, Advise(errors.New("no plan was carried out on this machine"), "`appliance install --plan` shows what one would do")
	}
	return plans[0], nil
}

// readPlans reads the journals: for root from the disk, whether or not a daemon runs, else through the daemon.
func readPlans(ctx context.Context) ([]plan.Journal, error) {
	if os.Geteuid() == 0 {
		return plan.List(planLayout())
	}
	client, err := lookThrough()
	if err != nil {
		return nil, err
	}
	plans, err := client.Plans(ctx)
	return plans, explainDaemon(err)
}

// planLayout is where this machine keeps its journals. One that is no node yet has noted its answers, which say so.
func planLayout() layout.Layout {
	if _, l, err := installed(); err == nil {
		return l
	}
	l := layout.Default()
	if j, err := readJoining(l); err == nil {
		return j.target().Layout
	}
	if o, err := readInstalling(l); err == nil {
		if c, _, err := config.Decode(strings.NewReader(string(o.Answers))); err == nil {
			return reset.NewTarget(c, l.EtcDir).Layout
		}
	}
	return l
}

func printPlans(out io.Writer, plans []plan.Journal) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tPLAN\tSTATE\tBEGUN\tTOOK\tSTOPPED AT")
	for _, j := range plans {
		at := "-"
		if i := j.At(); i >= 0 {
			at = string(j.Steps[i].Kind) + " " + j.Steps[i].Object
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", j.ID, j.Kind, j.State, j.Begun.Local().Format(time.DateTime), took(j.Begun, j.Ended), at)
	}
	return w.Flush()
}

func printPlan(out io.Writer, j plan.Journal) error {
	fmt.Fprintf(out, "%s by version %s: %s\nbegun %s, took %s\n\n", j.Kind, j.Version, j.State, j.Begun.Local().Format(time.DateTime), took(j.Begun, j.Ended))
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "STEP\tSTATE\tTOOK\tWHAT")
	for _, s := range j.Steps {
		what := s.Object + ": " + s.Detail
		if s.Error != "" {
			what += ": " + s.Error
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Kind, s.State, took(s.Begun, s.Ended), what)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if j.Error != "" {
		fmt.Fprintf(out, "\nerror: %s\n", j.Error)
	}
	for _, a := range j.Advice {
		fmt.Fprintf(out, "next: %s\n", a)
	}
	if len(j.Resume) > 0 {
		fmt.Fprintf(out, "\nIt goes on with: appliance %s\n", strings.Join(j.Resume, " "))
	}
	return nil
}

// took is the time between two moments, - where the second has not come.
func took(from, to time.Time) string {
	if from.IsZero() || to.IsZero() {
		return "-"
	}
	return to.Sub(from).Round(100 * time.Millisecond).String()
}

// completePlans offers the plans of this machine to a shell.
func completePlans(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var ids []cobra.Completion
	if plans, err := readPlans(cmd.Context()); err == nil && len(args) == 0 {
		for _, j := range plans {
			ids = append(ids, j.ID)
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
