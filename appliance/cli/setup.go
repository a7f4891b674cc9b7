package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/api"
	"islet/appliance/config"
	"islet/appliance/host"
	"islet/appliance/install"
	"islet/appliance/layout"
	"islet/appliance/preflight"
	"islet/appliance/progress"
)

// setup is what all commands have in common that make a node of this machine.
type setup struct {
	noStart bool
	wait    time.Duration
	format  *Format
	copying *progress.Task
	moved   bool // not copied: the program is fetched
}

func (f *setup) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.noStart, "no-start", false, "do not start the node")
	cmd.Flags().DurationVar(&f.wait, "wait", 15*time.Minute, "wait this `long` for the node to be ready")
	f.format = AddFormatFlag(cmd)
}

// carry says what is installed: this very program with the bundle inside it.
func (f *setup) carry(env *Env) (install.Options, error) {
	o, err := f.begin(env)
	if err != nil {
		return o, err
	}
	b, err := env.OpenBundle("")
	if err != nil {
		return o, err
	}
	return o, b.Close()
}

// begin is carry, whether there is a bundle inside or not.
func (f *setup) begin(env *Env) (install.Options, error) {
	f.copying = progress.New(env.Stdio.Err).Start("copy this program", 0)
	o := install.Options{
		Source: env.Executable, OpenBundle: env.OpenBundle, ConfigPath: layout.Default().Config(), Start: !f.noStart,
		Version: env.Build.Version, Machine: install.ThisMachine(), Progress: f.copying.Set,
	}
	if env.BundlePath() != env.Executable {
		return o, Exit(CodeUsage, Advise(errors.New("one file is copied to this machine, but the bundle is in another: "+env.BundlePath()),
			"put them together: appliance bundle create --executable ..."))
	}
	return o, nil
}

// do carries out a plan and tells of each step.
func (f *setup) do(ctx context.Context, env *Env, steps []install.Step) error {
	return install.Run(ctx, steps, func(s install.Step, err error) {
		if s.Kind == install.KindExecutable && !s.Done && !f.moved {
			f.copying.Done(err)
		}
		if err == nil && *f.format == FormatText {
			printInstallStep(env.Stdio.Out, s)
		}
	})
}

func printInstallStep(w io.Writer, s install.Step) {
	if s.Done {
		fmt.Fprintf(w, "%-10s  %s: unchanged\n", s.Kind, s.Object)
		return
	}
	fmt.Fprintf(w, "%-10s  %s: %s\n", s.Kind, s.Object, s.Detail)
}

// checkMachine refuses a machine that cannot run the platform, and tells of what is worth knowing. It completes in.
func checkMachine(ctx context.Context, env *Env, in preflight.Input) error {
	facts, err := host.Gather(ctx)
	if err != nil {
		env.Logger().Warn("some facts of this machine could not be read", "error", err)
	}
	if _, err := config.Derive(in.Config, facts); err != nil {
		return Exit(CodeConfig, err)
	}
	in.Facts = facts
	in.Build, _ = time.Parse(time.RFC3339, env.Build.Date) // zero when the build was not stamped
	report := preflight.Run(ctx, preflight.Checks(in), preflightDeadline)
	if err := ctx.Err(); err != nil {
		return err
	}
	if report.Status == preflight.Failed {
		return errors.Join(printPreflight(env.Stdio.Err, report),
			Exit(CodePreflight, Advise(errors.New("this machine cannot run the platform as it is"), "follow the advice above; `appliance preflight` checks again")))
	}
	for _, r := range report.Results {
		if r.Status == preflight.Warned {
			fmt.Fprintf(env.Stdio.Err, "warning: %s: %s: %s\n", r.Title, r.Found, r.Advice)
		}
	}
	return nil
}

// finish waits for the node, where something has started it.
func (f *setup) finish(ctx context.Context, env *Env, o install.Options, report installReport) error {
	if !o.Machine.Systemd && *f.format == FormatText {
		_, err := fmt.Fprintf(env.Stdio.Out, "systemd does not run here. Let your service manager run, and restart, as root:\n  %s server\n", o.Machine.Executable)
		return err
	}
	if f.noStart || !o.Machine.Systemd {
		if *f.format == FormatText {
			_, err := fmt.Fprintln(env.Stdio.Out, "Start it with: systemctl start appliance")
			return err
		}
		return env.Print(*f.format, report, nil)
	}
	status, err := watchReady(ctx, api.NewClient(o.Target.Layout.APISocket()), f.wait, env.Stdio.Err)
	if err != nil {
		return err
	}
	report.Status = &status
	return env.Print(*f.format, report, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "Node %s is ready. Applications get names below %s; see `appliance status`.\n", status.Node.Name, status.Node.Domain)
		return err
	})
}

// confirmPlan asks once, if there is anything to do. Without a terminal it gives the advice.
func confirmPlan(ctx context.Context, env *Env, steps []install.Step, yes bool, advice string) error {
	if yes || !slices.ContainsFunc(steps, func(s install.Step) bool { return !s.Done }) {
		return nil
	}
	in, ok := terminal(env)
	if !ok {
		return Exit(CodeUsage, Advise(errors.New("this changes the machine, and there is no terminal to ask on"), advice))
	}
	fmt.Fprint(env.Stdio.Err, "What will be done:\n\n")
	if err := printInstallPlan(env.Stdio.Err, steps); err != nil {
		return err
	}
	answer, err := ask(ctx, env, in, "\nGo on? [y/N] ")
	if err != nil {
		return err
	}
	if answer = strings.ToLower(answer); answer != "y" && answer != "yes" {
		return Exit(CodeUsage, errors.New("not confirmed: nothing was done"))
	}
	return nil
}
