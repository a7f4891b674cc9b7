package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"

	"islet/appliance/api"
	"islet/appliance/layout"
	"islet/appliance/plan"
	"islet/systemd"
	"islet/tui/dashboard"
)

func newDashboardCommand(env *Env) *cobra.Command {
	var resident, quiet bool
	cmd := &cobra.Command{
		Use:     "dashboard",
		Short:   "Watch the site on a screen: what is wrong, what to do, and what runs",
		GroupID: groupLook,
		Args:    cobra.NoArgs,
		Long: `Shows the site on the terminal and goes on until q: what is wrong now with the next step, the nodes, the components with
their logs, the pods, what happened, what the machine used, the certificates, the machines that wait to be let in, and what was done to this one.
It works while Kubernetes or the daemon is down, and says so. ? lists the keys of a page, c shows its command.

Whatever it changes it does by the command that it shows. Without root rights it only looks, through the socket that
everybody on the machine may open. Where there is no screen it prints ` + "`appliance status`" + `.`,
		Example: `  appliance dashboard
  appliance dashboard --resident                  the console's own screen, which cannot be left
  APPLIANCE_LANG=zh appliance dashboard`,
	}
	cmd.Flags().BoolVar(&resident, "resident", false, "cannot be left: for a console that shows nothing else")
	cmd.Flags().BoolVar(&quiet, "quiet-console", false, "only move the kernel's messages away from the consoles, to number 12; needs root")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if quiet {
			return Advise(systemd.QuietConsoles(), "the screen works without it; Ctrl-L draws it anew")
		}
		shown, in, out, ok := screenOf(env)
		if !ok {
			return env.startAs(cmd, "status")
		}
		source, err := lookThrough()
		if err != nil {
			return err
		}
		if shown.Run != nil {
			shown.Enter = enterTyped
		}
		return show(cmd.Context(), shown, in, out, dashboard.New(shown, sight{source}), resident)
	}
	return cmd
}

// lookThrough is a client of the daemon, by the socket that this process may open.
func lookThrough() (*api.Client, error) {
	_, l, err := installed()
	switch {
	case err == nil && os.Geteuid() == 0:
		return api.NewClient(l.APISocket()), nil
	case err == nil:
		return api.NewClient(l.ViewSocket()), nil
	case errors.Is(err, fs.ErrPermission): // the answer file is private; unless it says otherwise the socket is here
		return api.NewClient(layout.Default().ViewSocket()), nil
	}
	return nil, err
}

// sight is what the dashboard sees: the daemon, and what is known of this machine without it.
type sight struct{ *api.Client }

// At implements dashboard.Source.
func (s sight) At(node string) dashboard.Machine { return s.Client.At(node) }

// Plans implements dashboard.Source. Root reads them from the disk: they are told of while no daemon runs.
func (s sight) Plans(ctx context.Context) ([]plan.Journal, error) {
	if os.Geteuid() == 0 {
		return plan.List(planLayout())
	}
	return s.Client.Plans(ctx)
}

// enterTyped gives the terminal to a command of this program until it ends.
func enterTyped(args []string) tea.Cmd {
	executable, err := os.Executable()
	if err != nil {
		executable = filepath.Clean(os.Args[0])
	}
	return tea.ExecProcess(exec.Command(executable, args...), nil) //nolint:noctx // the person at the terminal ends it
}
