package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"islet/appliance/config"
	"islet/appliance/layout"
	"islet/appliance/reset"
)

type resetFlags struct {
	dryRun  bool
	yes     bool
	options reset.Options
}

func newResetCommand(env *Env) *cobra.Command {
	f := new(resetFlags)
	cmd := &cobra.Command{
		Use:     "reset",
		Short:   "Remove the platform from this machine and leave it as it was",
		GroupID: groupRun,
		Args:    cobra.NoArgs,
		Long: `Ends the node daemon and all pods, and removes exactly what the platform made on this machine, with all data:
mounts, devices, routes, firewall rules, control groups and files. What was here before stays; a journal that was
written before the first change tells what that is.

Volumes go with the state directory they are in. Those at a storage.path outside of it are kept unless
--delete-volumes is given.

Without --yes it asks for the node's name. It may be interrupted anywhere: run it again to go on.`,
		Example: `  appliance reset --dry-run           every single thing that it would do
  appliance reset
  appliance reset --yes --keep-config     start over with the same configuration`,
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.dryRun, "dry-run", false, "print every step with its object, and do nothing")
	flags.BoolVar(&f.yes, "yes", false, "do not ask; also stop a daemon that runs in the foreground")
	flags.BoolVar(&f.options.KeepConfig, "keep-config", false, "keep the answer file and the site's signing keys")
	flags.BoolVar(&f.options.KeepVolumes, "keep-volumes", false, "keep the volumes, also those in the state directory")
	flags.BoolVar(&f.options.DeleteVolumes, "delete-volumes", false, "delete the volumes at a storage.path outside of the state directory, too")
	cmd.MarkFlagsMutuallyExclusive("keep-volumes", "delete-volumes")
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), env, *format) }
	return cmd
}

func (f *resetFlags) run(ctx context.Context, env *Env, format Format) error {
	if err := requireRoot("remove the platform"); err != nil {
		return err
	}
	r, err := reset.New(resetTarget(), f.options)
	if errors.Is(err, reset.ErrNotNode) {
		return Exit(CodeNotInstalled, Advise(fmt.Errorf("%w: there is nothing to remove", err), "nothing needs to be done"))
	}
	if err != nil {
		return err
	}
	plan, err := r.Plan(ctx)
	if err != nil {
		return err
	}
	if f.dryRun {
		return env.Print(format, plan, func(w io.Writer) error { return printResetPlan(w, plan) })
	}
	if err := f.confirm(ctx, env, plan); err != nil {
		return err
	}
	report := resetReport{Plan: plan, Done: []resetStep{}}
	err = r.Run(ctx, func(s reset.Step, err error) {
		report.add(s, err)
		if format == FormatText {
			printResetStep(env.Stdio.Out, s, err)
		}
	})
	if format == FormatJSON {
		if printErr := env.Print(format, report, nil); printErr != nil {
			return errors.Join(err, printErr)
		}
	}
	if err != nil {
		return Advise(err, "run `appliance reset` again: it goes on with what is left")
	}
	if format == FormatText {
		printKept(env.Stdio.Out, plan)
		_, err = fmt.Fprintf(env.Stdio.Out, "%s is no longer a node.\n", plan.Node)
	}
	return err
}

// resetReport is the JSON form of a reset: what was planned, and what was done.
type resetReport struct {
	reset.Plan
	Done []resetStep `json:"done"`
}

type resetStep struct {
	reset.Step
	Error string `json:"error,omitempty"`
}

func (r *resetReport) add(s reset.Step, err error) {
	step := resetStep{Step: s}
	if err != nil {
		step.Error = err.Error()
	}
	r.Done = append(r.Done, step)
}

// resetTarget is the node of this machine's configuration. A damaged one must not keep a machine from
// being reset: the journal in the default place then says the rest.
func resetTarget() reset.Target {
	path := layout.Default().Config()
	c, _, err := config.Load(path)
	if j, joining := readJoining(layout.Default()); err != nil && joining == nil {
		return j.target()
	}
	if err != nil {
		return reset.Target{Layout: layout.Default(), Storage: layout.Default().Storage()}
	}
	return reset.NewTarget(c, filepath.Dir(path))
}

// confirm makes sure that a person means this machine, or that --yes was given.
func (f *resetFlags) confirm(ctx context.Context, env *Env, plan reset.Plan) error {
	if f.yes {
		return nil
	}
	if plan.Daemon != 0 {
		return Exit(CodeBusy, Advise(fmt.Errorf("the node daemon runs as process %d, started by no service manager", plan.Daemon),
			"stop it where it was started, or let --yes stop it"))
	}
	in, ok := terminal(env)
	if !ok {
		return Exit(CodeUsage, Advise(errors.New("reset deletes this node with all its data, and there is no terminal to ask on"),
			"look at `appliance reset --dry-run`, then give --yes"))
	}
	if err := printResetPlan(env.Stdio.Err, plan); err != nil {
		return err
	}
	answer, err := ask(ctx, env, in, "\nAll data of this node will be lost. To go on, type the node's name ("+plan.Node+"): ")
	if err != nil {
		return err
	}
	if answer != plan.Node {
		return Exit(CodeUsage, errors.New("that is not the node's name: nothing was done"))
	}
	return nil
}

func printResetPlan(out io.Writer, plan reset.Plan) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "KIND\tOBJECT\tWHAT")
	for _, s := range plan.Steps {
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Kind, s.Object, s.Detail)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if !plan.Journal {
		fmt.Fprintln(out, "\nThere is no journal of what was here before: what may have been is kept.")
	}
	printKept(out, plan)
	return nil
}

func printKept(w io.Writer, plan reset.Plan) {
	for _, k := range plan.Kept {
		fmt.Fprintf(w, "kept: %s: %s\n", k.Object, k.Reason)
	}
}

func printResetStep(w io.Writer, s reset.Step, err error) {
	if err != nil {
		fmt.Fprintf(w, "FAILED  %s %s: %v\n", s.Kind, s.Object, err)
		return
	}
	fmt.Fprintf(w, "done  %s %s: %s\n", s.Kind, s.Object, s.Detail)
}
