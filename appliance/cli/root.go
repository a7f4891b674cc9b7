// Package cli is the operator's command line: one file per group of commands, wired together in root.go.
package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"islet/bundle/trust"
)

const (
	groupRun  = "run"
	groupLook = "look"
	groupPaaS = "paas"
	groupTool = "tool"
)

// commands is the table of everything `appliance` can do. A command group is one file, added here, with its GroupID set
// to one of the constants above. Constructors only describe: what a command needs is opened in its RunE, so that each
// call pays for its own command alone.
func commands() []func(*Env) *cobra.Command {
	return []func(*Env) *cobra.Command{
		newInstallCommand,
		newJoinCommand,
		newTokenCommand,
		newNodeCommand,
		newReaddressCommand,
		newBackupCommand,
		newServerCommand,
		newTenantCommand,
		newEnvironmentCommand,
		newRouteCommand,
		newAppCommand,
		newReleaseCommand,
		newOrderCommand,
		newServiceCommand,
		newAuditCommand,
		newResetCommand,
		newStatusCommand,
		newDashboardCommand,
		newHistoryCommand,
		newPlanCommand,
		newDoctorCommand,
		newSupportBundleCommand,
		newComponentCommand,
		newDatastoreCommand,
		newCertCommand,
		newPreflightCommand,
		newKubectlCommand,
		newCtrCommand,
		newImageCommand,
		newRegistryCommand,
		newAddonCommand,
		newVersionCommand,
		newBundleCommand,
		newConfigCommand,
		newLabCommand,
		newCompletionCommand,
	}
}

// Main runs the command line args (without the program's name) and returns the exit code. Errors are printed on stdio.Err.
// It returns when the command ended; cancelling ctx asks the command to.
func Main(ctx context.Context, args []string, stdio Stdio) int {
	return NewEnv(stdio).Run(ctx, args)
}

// Run is Main with an Env of the caller's making.
func (e *Env) Run(ctx context.Context, args []string) int {
	root := newRoot(e)
	started := false
	prepare(root, &started)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return int(CodeOK)
	}
	code := CodeOf(err)
	var exit *ExitError
	switch {
	case !started && !errors.As(err, &exit):
		// cobra refused the arguments before any command ran
		code = CodeUsage
		err = Advise(err, usageAdvice(root, args))
	case code == CodeInterrupted:
		err = Advise(fmt.Errorf("interrupted: %w", err), "run the same command again to go on; what was half done was not put in place")
	}
	printError(e.Stdio.Err, err)
	return int(code)
}

func newRoot(e *Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "appliance",
		Short: "An air-gapped platform in one file",
		Long: `appliance installs and runs a Kubernetes-based application platform on one to a handful of
machines that have no network but their own. Everything it needs is inside this file.`,
		Example: `  appliance                          as root on a new machine: asks what it is to be, and does it
  appliance version                  what is inside this file
  appliance bundle verify FILE       check a file before carrying it on
  appliance COMMAND --help           more on any command, with examples
  appliance help TOPIC               the manual, which is inside this file`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              knownCommand,
		PersistentPreRunE: func(*cobra.Command, []string) error { return e.checkGlobals() },
	}
	root.RunE = e.start
	root.SetIn(e.Stdio.In)
	root.SetOut(e.Stdio.Out)
	root.SetErr(e.Stdio.Err)
	flags := root.PersistentFlags()
	flags.StringVar(&e.bundlePath, "bundle", "", "bundle `FILE` to use instead of the one inside this executable (or $"+BundleVariable+")")
	flags.StringVar(&e.trustDir, "trust-dir", trust.DefaultDir, "`DIR` with the site's additional signing keys (*.pub)")
	flags.StringVar(&e.logLevel, "log-level", "info", "least `LEVEL` to log: debug, info, warn or error")
	flags.StringVar(&e.logFormat, "log-format", "text", "log `FORMAT` on standard error: text or json")
	root.AddGroup(&cobra.Group{ID: groupRun, Title: "Install and run:"},
		&cobra.Group{ID: groupLook, Title: "Look and repair:"},
		&cobra.Group{ID: groupPaaS, Title: "Tenants and what they run:"},
		&cobra.Group{ID: groupTool, Title: "Files and tools:"})
	root.SetHelpCommand(newHelpCommand(e))
	for _, newCommand := range commands() {
		root.AddCommand(newCommand(e))
	}
	root.InitDefaultHelpCmd()
	offer(root, "log-level", "debug", "info", "warn", "error")
	offer(root, "log-format", "text", "json")
	completeValues(root)
	return root
}

// prepare walks the tree below cmd: a group refuses a subcommand it does not know instead of printing its help and
// succeeding, and every RunE notes in started that the arguments were accepted.
func prepare(cmd *cobra.Command, started *bool) {
	for _, sub := range cmd.Commands() {
		prepare(sub, started)
	}
	if cmd.RunE == nil && cmd.Run == nil {
		cmd.Args = knownCommand
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*started = true
			return run(cmd, args)
		}
	}
}

// knownCommand refuses what is left over where a subcommand should be.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return unknownCommand(cmd, args[0])
}

func unknownCommand(cmd *cobra.Command, name string) error {
	message := fmt.Sprintf("unknown command %q for %q", name, cmd.CommandPath())
	if cmd.SuggestionsMinimumDistance <= 0 {
		cmd.SuggestionsMinimumDistance = 2
	}
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		message += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return errors.New(message)
}

func usageAdvice(root *cobra.Command, args []string) string {
	cmd, _, err := root.Find(args)
	if err != nil || cmd == nil {
		cmd = root
	}
	return fmt.Sprintf("`%s --help` shows what it takes, with examples", cmd.CommandPath())
}
