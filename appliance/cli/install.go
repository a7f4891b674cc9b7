package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
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
	"islet/appliance/reset"
)

// defaultAnswers is the answer file of an installation that was given none.
const defaultAnswers = `# Everything follows the defaults; see: appliance config example
apiVersion: ` + config.APIVersion + `
kind: ` + config.Kind + `
`

type installFlags struct {
	config  string
	yes     bool
	force   bool
	noStart bool
	plan    bool
	wait    time.Duration
	format  *Format
}

func newInstallCommand(env *Env) *cobra.Command {
	f := new(installFlags)
	cmd := &cobra.Command{
		Use:     "install",
		Short:   "Set this machine up as a node and start it",
		GroupID: groupRun,
		Args:    cobra.NoArgs,
		Long: `Checks the machine and the answer file, copies this program to /usr/local/bin/appliance, writes the answer
file to /etc/appliance/config.yaml and a systemd unit, starts the node and waits until it is ready. What is as it
should be is left alone, so it can be run again at any time.

Nothing is downloaded. Without systemd it stops before the start and tells how to run the node.`,
		Example: `  appliance install --plan                    every side effect, and do nothing
  appliance install --config site.yaml
  appliance install --config new.yaml --force     with another answer file; the old one is kept beside it`,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "answer `FILE` (default: the installed one, or all defaults)")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	flags.BoolVar(&f.force, "force", false, "replace an installed answer file that differs")
	flags.BoolVar(&f.noStart, "no-start", false, "do not start the node")
	flags.BoolVar(&f.plan, "plan", false, "print every side effect, and do nothing")
	flags.DurationVar(&f.wait, "wait", 15*time.Minute, "wait this `long` for the node to be ready")
	f.format = AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), env) }
	return cmd
}

// installReport is the JSON form of an installation.
type installReport struct {
	Steps  []install.Step `json:"steps"`
	Status *api.Status    `json:"status,omitempty"` // when it was waited for
}

func (f *installFlags) run(ctx context.Context, env *Env) error {
	if err := requireRoot("set up a node"); err != nil {
		return err
	}
	c, options, err := f.options(env)
	if err != nil {
		return err
	}
	copying := progress.New(env.Stdio.Err).Start("copy this program", 0)
	options.Progress = copying.Set
	steps, err := install.NewPlan(ctx, options)
	if errors.Is(err, install.ErrDiffers) {
		return Exit(CodeExists, Advise(err, "compare the two; --force replaces it and keeps the old one beside it"))
	}
	if err != nil {
		return err
	}
	if f.plan {
		return env.Print(*f.format, installReport{Steps: steps}, func(w io.Writer) error { return printInstallPlan(w, steps) })
	}
	if err := f.preflight(ctx, env, c, options.Target.Layout); err != nil {
		return err
	}
	if err := f.confirm(ctx, env, steps); err != nil {
		return err
	}
	err = install.Run(ctx, steps, func(s install.Step, err error) {
		if s.Kind == install.KindExecutable && !s.Done {
			copying.Done(err)
		}
		if err == nil && *f.format == FormatText {
			printInstallStep(env.Stdio.Out, s)
		}
	})
	if err != nil {
		return Advise(err, "correct that and run `appliance install` again: it goes on where it stopped")
	}
	return f.finish(ctx, env, options, installReport{Steps: steps})
}

// options reads and checks everything before anything is changed.
func (f *installFlags) options(env *Env) (config.Config, install.Options, error) {
	own := layout.Default()
	o := install.Options{
		Source: env.Executable, OpenBundle: env.OpenBundle, ConfigPath: own.Config(), Force: f.force, Start: !f.noStart,
		Version: env.Build.Version, Machine: install.ThisMachine(),
	}
	if env.BundlePath() != env.Executable {
		return config.Config{}, o, Exit(CodeUsage, Advise(errors.New("install copies one file, but the bundle is in another: "+env.BundlePath()),
			"put them together: appliance bundle create --executable ..."))
	}
	b, err := env.OpenBundle("")
	if err != nil {
		return config.Config{}, o, err
	}
	defer b.Close()
	path := f.config
	if path == "" {
		path = own.Config()
	}
	o.Config, err = os.ReadFile(path)
	if f.config == "" && errors.Is(err, fs.ErrNotExist) {
		o.Config, err = []byte(defaultAnswers), nil
	}
	if err != nil {
		return config.Config{}, o, Advise(fmt.Errorf("read answer file: %w", err), "name an answer file, or write one: appliance config example")
	}
	c, _, err := config.Decode(bytes.NewReader(o.Config))
	if problems, ok := errors.AsType[config.Problems](err); ok {
		return c, o, Exit(CodeConfig, problems.In(path))
	}
	o.Target = reset.NewTarget(c, own.EtcDir)
	return c, o, err
}

// preflight refuses a machine that cannot run the platform, and tells of what is worth knowing.
func (f *installFlags) preflight(ctx context.Context, env *Env, c config.Config, l layout.Layout) error {
	facts, err := host.Gather(ctx)
	if err != nil {
		env.Logger().Warn("some facts of this machine could not be read", "error", err)
	}
	if _, err := config.Derive(c, facts); err != nil {
		return Exit(CodeConfig, err)
	}
	built, _ := time.Parse(time.RFC3339, env.Build.Date) // zero when the build was not stamped
	report := preflight.Run(ctx, preflight.Checks(preflight.Input{Config: c, Layout: l, Facts: facts, Build: built}), preflightDeadline)
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

// confirm asks once, if there is anything to do.
func (f *installFlags) confirm(ctx context.Context, env *Env, steps []install.Step) error {
	if f.yes || !slices.ContainsFunc(steps, func(s install.Step) bool { return !s.Done }) {
		return nil
	}
	in, ok := terminal(env)
	if !ok {
		return Exit(CodeUsage, Advise(errors.New("install changes this machine, and there is no terminal to ask on"), "look at `appliance install --plan`, then give --yes"))
	}
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

func printInstallPlan(w io.Writer, steps []install.Step) error {
	for _, s := range steps {
		printInstallStep(w, s)
	}
	return nil
}

func printInstallStep(w io.Writer, s install.Step) {
	if s.Done {
		fmt.Fprintf(w, "%-10s  %s: unchanged\n", s.Kind, s.Object)
		return
	}
	fmt.Fprintf(w, "%-10s  %s: %s\n", s.Kind, s.Object, s.Detail)
}

// finish waits for the node, where something has started it.
func (f *installFlags) finish(ctx context.Context, env *Env, o install.Options, report installReport) error {
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
