package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"islet/appliance/lab"
)

func (c *labCommands) execCommand() *cobra.Command {
	var env []string
	cmd := &cobra.Command{
		Use: "exec HOST [-- COMMAND [ARGUMENT...]]", Short: "Run a command in a host, or a shell", Args: cobra.MinimumNArgs(1),
		Long: `exec runs a command in a host, in all its namespaces and control groups, and ends with its exit code.
Without a command it is a shell. It is on a terminal if this is one. The environment is the host's;
nothing of the caller's is passed on but what --env says.`,
		Example: `  appliance lab exec node1
  appliance lab exec node1 -- appliance status
  appliance lab exec rehearsal/node2 -- sh -c 'journal=$(ls /var/lib/appliance); echo $journal'
  tar c site | appliance lab exec node1 -- tar x -C /root`,
		ValidArgsFunction: c.completeHosts,
	}
	cmd.Flags().StringArrayVarP(&env, "env", "e", nil, "`NAME=VALUE` to add to the command's environment; may be repeated")
	cmd.Flags().SetInterspersed(false) // after HOST everything is the command's
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		host, err := c.pickHost(args[0])
		if err != nil {
			return err
		}
		command := lab.Command{
			Args: args[1:], Env: env, Stdin: c.env.Stdio.In, Stdout: c.env.Stdio.Out, Stderr: c.env.Stdio.Err,
		}
		if len(command.Args) > 0 && command.Args[0] == "--" {
			command.Args = command.Args[1:]
		}
		if len(command.Args) == 0 {
			command.Args = []string{"sh", "-c", "command -v bash >/dev/null && exec bash -l || exec sh -l"}
		}
		return childResult(runOnTerminal(cmd.Context(), host, command))
	}
	return cmd
}

// childResult passes on the exit code of a command that has run, without a word: it has told its reason itself.
func childResult(err error) error {
	if code, ran := lab.ExitCode(err); ran && code != 0 {
		return &ExitError{Code: Code(code)}
	}
	return err
}

// runOnTerminal runs the command, on a terminal of its own if its streams are one. The terminal of the caller is then
// raw, so that ^C and the like reach the command, and restored at the end.
func runOnTerminal(ctx context.Context, host *lab.Host, command lab.Command) error {
	in, inOK := command.Stdin.(*os.File)
	out, outOK := command.Stdout.(*os.File)
	if !inOK || !outOK || !term.IsTerminal(int(in.Fd())) || !term.IsTerminal(int(out.Fd())) {
		return host.Exec(ctx, command)
	}
	old, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return err
	}
	defer func() { _ = term.Restore(int(in.Fd()), old) }()
	command.TTY = true
	command.Size = terminalSize(out)
	if name := os.Getenv("TERM"); name != "" {
		command.Env = append([]string{"TERM=" + name}, command.Env...) // --env wins
	}
	changed, resize, quit := make(chan os.Signal, 1), make(chan lab.TTYSize), make(chan struct{})
	signal.Notify(changed, syscall.SIGWINCH)
	defer signal.Stop(changed)
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		for {
			select {
			case <-quit:
				return
			case <-changed:
			}
			select {
			case <-quit:
				return
			case resize <- terminalSize(out):
			}
		}
	}()
	defer func() { close(quit); <-followed }()
	command.Resize = resize
	return host.Exec(ctx, command)
}

func terminalSize(terminal *os.File) lab.TTYSize {
	columns, rows, err := term.GetSize(int(terminal.Fd()))
	if err != nil {
		return lab.TTYSize{}
	}
	return lab.TTYSize{Rows: uint16(rows), Cols: uint16(columns)}
}
