package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/api"
	"islet/appliance/config"
	"islet/appliance/host"
	"islet/appliance/install"
	"islet/appliance/layout"
	"islet/appliance/plan"
	"islet/appliance/preflight"
	"islet/appliance/setup"
)

// setup is what all commands have in common that make a node of this machine.
type setupFlags struct {
	noStart bool
	shift   time.Duration // of the clock, before anything else
	wait    time.Duration
	format  *Format
	driver  setup.Driver // of the run
	begun   func() error // called once there is a journal; may be nil
}

func (f *setupFlags) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.noStart, "no-start", false, "do not start the node")
	cmd.Flags().DurationVar(&f.wait, "wait", 15*time.Minute, "wait this `long` for the node to be ready")
	f.format = AddFormatFlag(cmd)
}

// carry says what is installed: this very program with the bundle inside it.
func (f *setupFlags) carry(env *Env) (install.Options, error) {
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
func (f *setupFlags) begin(env *Env) (install.Options, error) {
	o := install.Options{
		Source: env.Executable, OpenBundle: env.OpenBundle, ConfigPath: layout.Default().Config(), Start: !f.noStart,
		Version: env.Build.Version, Machine: install.ThisMachine(), Progress: func(done, total int64) {
			f.driver.Tell(setup.Progress{What: "copy this program", Done: done, Total: total})
		},
	}
	if env.BundlePath() != env.Executable {
		return o, Exit(CodeUsage, Advise(errors.New("one file is copied to this machine, but the bundle is in another: "+env.BundlePath()),
			"put them together: appliance bundle create --executable ..."))
	}
	return o, nil
}

// do carries out a plan and tells of each step.
func (f *setupFlags) do(ctx context.Context, steps []install.Step) error {
	f.driver.Tell(setup.Working)
	var begun error
	err := install.Run(ctx, steps, func(s install.Step, err error) {
		f.driver.Tell(setup.Ended{Step: s, Err: err})
		if s.Kind == install.KindJournal && err == nil && f.begun != nil {
			begun = f.begun()
		}
	})
	return errors.Join(err, begun)
}

// checkMachine refuses a machine that cannot run the platform, and tells of what is worth knowing. It completes in. Who drives
// may put things right meanwhile, and have it checked again.
func (f *setupFlags) checkMachine(ctx context.Context, env *Env, in preflight.Input) error {
	for {
		f.driver.Tell(setup.Checking)
		report, err := inspectMachine(ctx, env, in)
		if err != nil {
			return err
		}
		switch err := f.driver.Ask(ctx, setup.Checked{Report: report}); {
		case errors.Is(err, setup.ErrAgain):
		case err != nil:
			return err
		case report.Status == preflight.Failed:
			return Exit(CodePreflight, Advise(errors.New("this machine cannot run the platform as it is"), "follow the advice above; `appliance preflight` checks again"))
		default:
			return nil
		}
	}
}

func inspectMachine(ctx context.Context, env *Env, in preflight.Input) (preflight.Report, error) {
	facts, err := host.Gather(ctx)
	if err != nil {
		env.Logger().Warn("some facts of this machine could not be read", "error", err)
	}
	if _, err := config.Derive(in.Config, facts); err != nil {
		return preflight.Report{}, Exit(CodeConfig, err)
	}
	in.Facts = facts
	in.Build, _ = time.Parse(time.RFC3339, env.Build.Date) // zero when the build was not stamped
	report := preflight.Run(ctx, preflight.Checks(in), preflightDeadline)
	return report, ctx.Err()
}

// record keeps a journal of what follows, in the store of the machine that it is done to. The caller ends it.
func (f *setupFlags) record(env *Env, l layout.Layout, kind plan.Kind, resume ...string) *setup.Recorder {
	r := setup.Record(f.driver, plan.Store{Layout: l}, kind, env.Build.Version, resume...)
	f.driver = r
	return r
}

// endRecord ends a journal with what its plan came to.
func endRecord(env *Env, r *setup.Recorder, err error) {
	if lost := r.Close(err, collectAdvice(err, nil)...); lost != nil {
		env.Logger().Warn("the journal of this plan is not kept", "error", lost)
	}
}

// finish waits for the node, where something has started it.
func (f *setupFlags) finish(ctx context.Context, env *Env, o install.Options, report installReport) error {
	if f.noStart || !o.Machine.Systemd {
		start := setup.Unmanaged{Program: o.Machine.Executable, Systemd: o.Machine.Systemd}
		switch err := f.driver.Ask(ctx, setup.Wait{Unmanaged: start}); {
		case errors.Is(err, setup.ErrDecline) && *f.format == FormatText:
			return nil
		case errors.Is(err, setup.ErrDecline):
			return env.Print(*f.format, report, nil)
		case err != nil:
			return err
		}
	}
	f.driver.Tell(setup.Starting)
	status, err := followReadyNode(ctx, api.NewClient(o.Target.Layout.APISocket()), f.wait, func(s api.Status, err error) {
		f.driver.Tell(setup.Status{Node: s, Err: err})
	})
	f.driver.Tell(setup.Started{Err: err})
	if err != nil {
		return err
	}
	report.Status = &status
	return env.Print(*f.format, report, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "Node %s is ready. Applications get names below %s; see `appliance status`.\n", status.Node.Name, status.Node.Domain)
		return err
	})
}
