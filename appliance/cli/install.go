package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/api"
	"islet/appliance/backup"
	"islet/appliance/config"
	"islet/appliance/fetch"
	"islet/appliance/install"
	"islet/appliance/layout"
	"islet/appliance/plan"
	"islet/appliance/preflight"
	"islet/appliance/reset"
	"islet/appliance/setup"
	"islet/appliance/wizard"
)

// defaultAnswers is the answer file of an installation that was given none.
const defaultAnswers = `# Everything follows the defaults; see: appliance config example
apiVersion: ` + config.APIVersion + `
kind: ` + config.Kind + `
`

type installFlags struct {
	setupFlags
	config string
	yes    bool
	force  bool
	plan   bool
	noKey  bool
	clock  string // the time now, as it was typed
	// answers is the answer file of a wizard; nil where none was asked.
	answers []byte
	asked   bool // by a wizard: the answers are of a person who can see what they replace
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

At the end it shows the recovery key of the site, once: ` + "`appliance backup --help`" + ` says what it is for.

On a terminal, without --config and without --yes, it asks what it must know first: for a single node Enter is the answer
to every question. Nothing is downloaded. Without systemd it stops before the start and tells how to run the node.`,
		Example: `  appliance install                           asks, on a machine that is no node yet
  appliance install --plan                    every side effect, and do nothing
  appliance install --config site.yaml
  appliance install --config new.yaml --force     with another answer file; the old one is kept beside it`,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "answer `FILE` (default: the installed one, or all defaults)")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	flags.BoolVar(&f.force, "force", false, "replace an installed answer file that differs")
	flags.BoolVar(&f.plan, "plan", false, "print every side effect, and do nothing")
	flags.BoolVar(&f.noKey, "no-recovery-key", false, "make no recovery key; one can be made later: appliance backup key create")
	flags.StringVar(&f.clock, "clock", "", "set this machine's clock first: the `TIME` now in UTC, \"YYYY-MM-DD hh:mm\"")
	f.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), env) }
	return cmd
}

// installReport is the JSON form of an installation.
type installReport struct {
	Steps  []install.Step `json:"steps"`
	Status *api.Status    `json:"status,omitempty"` // when it was waited for
	// Fetched says what came from the servers of the site, where this file was not whole.
	Fetched *fetch.Result `json:"fetched,omitempty"`
	// RecoveryKey is there once, when it was made.
	RecoveryKey string           `json:"recoveryKey,omitempty"`
	Restored    *backup.Manifest `json:"restored,omitempty"`
}

func (f *installFlags) run(ctx context.Context, env *Env) error {
	if err := requireRoot("set up a node"); err != nil {
		return err
	}
	if f.clock != "" {
		at, err := wizard.ParseTime(f.clock)
		if err != nil {
			return Exit(CodeUsage, fmt.Errorf("--clock: %w", err))
		}
		f.shift = time.Until(at).Round(time.Second)
	}
	if in, ok := f.asks(env); ok {
		return interview{env: env, begun: recall(), lines: f.lines, do: f.follow}.run(ctx, in)
	}
	return f.carryOut(ctx, env, f.lines(env))
}

// lines is what writes of an installation line by line.
func (f *installFlags) lines(env *Env) setup.Driver {
	return &lines{env: env, format: *f.format, confirms: true, yes: f.yes, advice: "look at `appliance install --plan`, then give --yes"}
}

// follow does what a wizard was answered: the same that flags and a file do.
func (f *installFlags) follow(ctx context.Context, env *Env, o wizard.Order, d setup.Driver) error {
	if o.Join {
		j := joinFlags{setupFlags: f.setupFlags, token: o.Token, name: o.Name, address: o.Address, patient: time.Hour}
		return explainJoin(j.run(ctx, env, d))
	}
	now := *f
	if o.Shift != 0 {
		now.shift = o.Shift
	}
	now.asked, now.answers, now.noKey = true, o.Answers, f.noKey || o.NoKey // answers are nil where they are installed already
	return now.carryOut(ctx, env, d)
}

// carryOut is an installation, whoever drives it.
func (f *installFlags) carryOut(ctx context.Context, env *Env, d setup.Driver) (err error) {
	f.driver = d
	if _, err := os.Stat(layout.Default().Joining()); err == nil && !f.plan {
		return Exit(CodeExists, Advise(errors.New("this machine has been let in by a site and has not fetched everything yet"),
			"go on with the same `appliance join`, or `appliance reset` first"))
	}
	c, options, err := f.options(env)
	if err != nil {
		return err
	}
	options.Shift = f.shift
	options.Force = f.force || f.asked && correctable(options.Target.Layout)
	d.Tell(setup.Planning)
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
	if err := f.checkMachine(ctx, env, preflight.Input{Config: c, Layout: options.Target.Layout, Shift: f.shift}); err != nil {
		return err
	}
	record := f.record(env, options.Target.Layout, plan.Install, "install")
	defer func() { endRecord(env, record, err) }()
	if err := f.driver.Ask(ctx, setup.Plan{Steps: steps, Answers: options.Config}); err != nil {
		return err
	}
	f.begun = func() error {
		return noteInstalling(options.Target.Layout, wizard.Order{Answers: options.Config, NoKey: f.noKey})
	}
	if err := f.do(ctx, steps); err != nil {
		return Advise(err, "correct that and run `appliance install` again: it goes on where it stopped")
	}
	if err := f.finishWithKey(ctx, env, c, options, steps); err != nil {
		return err
	}
	return forgetInstalling(options.Target.Layout)
}

// asks says whether there is somebody to ask, and something: an answer file says it all, and so does one that is installed,
// unless its installation was interrupted.
func (f *installFlags) asks(env *Env) (*os.File, bool) {
	in, person := terminal(env)
	_, err := os.Stat(layout.Default().Config())
	return in, person && f.config == "" && !f.yes && !f.plan && *f.format == FormatText && (errors.Is(err, fs.ErrNotExist) || recall().order != nil)
}

// options reads and checks everything before anything is changed.
func (f *installFlags) options(env *Env) (config.Config, install.Options, error) {
	o, err := f.carry(env)
	if err != nil {
		return config.Config{}, o, err
	}
	path := f.config
	if path == "" {
		path = o.ConfigPath
	}
	o.Config, err = f.answers, nil
	if f.answers != nil {
		path = "the answers"
	} else {
		o.Config, err = os.ReadFile(path)
	}
	if f.config == "" && errors.Is(err, fs.ErrNotExist) {
		if o.Config, err = []byte(defaultAnswers), nil; recall().order != nil {
			o.Config = recall().order.Answers
		}
	}
	if err != nil {
		return config.Config{}, o, Advise(fmt.Errorf("read answer file: %w", err), "name an answer file, or write one: appliance config example")
	}
	c, _, err := config.Decode(bytes.NewReader(o.Config))
	if problems, ok := errors.AsType[config.Problems](err); ok {
		return c, o, Exit(CodeConfig, problems.In(path))
	}
	if err == nil && c.Node.Role == config.RoleAgent && path != o.ConfigPath {
		return c, o, Exit(CodeConfig, Advise(fmt.Errorf("%s: an agent is let in by a site that is there already", path),
			"use `appliance join --token ...`, or make it node.role: server"))
	}
	if err == nil && c.Backup.Recipient != "" {
		if _, err = backup.ParseRecipient(c.Backup.Recipient); err != nil {
			return c, o, Exit(CodeConfig, Advise(fmt.Errorf("%s: backup.recipient: %w", path, err), "copy it as `appliance backup key show` prints it"))
		}
	}
	o.Target = reset.NewTarget(c, filepath.Dir(o.ConfigPath))
	return c, o, err
}
