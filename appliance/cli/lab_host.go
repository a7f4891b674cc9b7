package cli

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"islet/appliance/lab"
)

// hostCommand is a subcommand that does one thing to one host.
func (c *labCommands) hostCommand(use, short, long, example string, do func(context.Context, *lab.Host) error) *cobra.Command {
	return &cobra.Command{
		Use: use + " HOST", Short: short, Long: long, Example: example, Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeHosts,
		RunE: func(cmd *cobra.Command, args []string) error {
			host, err := c.pickHost(args[0])
			if err != nil {
				return err
			}
			return do(cmd.Context(), host)
		},
	}
}

func (c *labCommands) startCommand() *cobra.Command {
	return c.orAll(c.hostCommand("start", "Boot a host that is off",
		"start boots a host that was killed or stopped: the same disk and address, everything else is new.",
		"  appliance lab start node1\n  appliance lab start --all",
		func(ctx context.Context, h *lab.Host) error { return h.Start(ctx) }),
		(*lab.Lab).Start)
}

func (c *labCommands) killCommand() *cobra.Command {
	return c.orAll(c.hostCommand("kill", "Cut the power of a host",
		`kill ends every process of a host at once, without warning, and with them its mounts and connections.
The disk stays as it was at that moment. What was written without fsync is there as well, as this
machine's memory has not lost power: that part of a real power cut is not shown.`,
		"  appliance lab kill node1 && appliance lab start node1\n  appliance lab kill --all rehearsal     all of its hosts in one moment",
		func(ctx context.Context, h *lab.Host) error { return h.Kill(ctx) }),
		(*lab.Lab).Kill)
}

// orAll lets a command do the same to all hosts of a lab at once.
func (c *labCommands) orAll(cmd *cobra.Command, do func(*lab.Lab, context.Context) error) *cobra.Command {
	var all bool
	one := cmd.RunE
	cmd.Use = cmd.Name() + " HOST | --all [LAB]"
	cmd.Flags().BoolVar(&all, "all", false, "all hosts of the lab at once")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if all {
			return cobra.MaximumNArgs(1)(cmd, args)
		}
		return cobra.ExactArgs(1)(cmd, args)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !all {
			return one(cmd, args)
		}
		l, err := c.pick(strings.Join(args, ""))
		if err != nil {
			return err
		}
		return do(l, cmd.Context())
	}
	return cmd
}

func (c *labCommands) stopCommand() *cobra.Command {
	var timeout time.Duration
	cmd := c.hostCommand("stop", "Shut a host down",
		`stop shuts a host down in order: its boot command gets SIGTERM and time to end, then everything else.
When the time is up, the host is still shutting down; "lab kill" ends it then.`,
		"  appliance lab stop node1\n  appliance lab stop node1 --timeout 5m",
		func(ctx context.Context, h *lab.Host) error {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			return h.Stop(ctx)
		})
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "how `LONG` to wait")
	return cmd
}

func (c *labCommands) serviceCommand() *cobra.Command {
	var signal string
	cmd := &cobra.Command{
		Use: "service HOST start|stop|restart|signal", Short: "Control the boot command of a host",
		Long: `service does to the boot command of a host, normally "appliance server", what systemctl does to a unit.
What the command has started lives on when it ends (KillMode=process). A command that ends by itself,
or by a signal, is started again after a second (Restart=always).`,
		Example: `  appliance lab service node1 restart
  appliance lab service node1 signal            kill -9 of the daemon: pods must not notice
  appliance lab service node1 signal -s HUP`,
		ValidArgsFunction: c.completeHosts, Args: cobra.ExactArgs(2),
	}
	cmd.Flags().StringVarP(&signal, "signal", "s", "KILL", "`NAME` of the signal that \"signal\" sends")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		host, err := c.pickHost(args[0])
		if err != nil {
			return err
		}
		switch args[1] {
		case "start":
			return host.StartBoot(cmd.Context())
		case "stop":
			return host.StopBoot(cmd.Context())
		case "restart":
			return host.RestartBoot(cmd.Context())
		case "signal":
			number, err := parseSignal(signal)
			if err != nil {
				return err
			}
			return host.SignalBoot(cmd.Context(), number)
		}
		return Exit(CodeUsage, fmt.Errorf("service %s: want start, stop, restart or signal", args[1]))
	}
	return cmd
}

func parseSignal(name string) (syscall.Signal, error) {
	for _, candidate := range []string{name, "SIG" + name} {
		if number := unix.SignalNum(candidate); number != 0 {
			return number, nil
		}
	}
	return 0, Exit(CodeUsage, fmt.Errorf("--signal %s: no such signal; want a name such as KILL, TERM or HUP", name))
}

func (c *labCommands) cutCommand() *cobra.Command {
	return c.cableCommand("cut", "Pull the cable of a host, or between two hosts",
		`cut HOST pulls the host's cable out of the switch: its network device loses the carrier. It stays pulled
over a power cut. cut HOST OTHER drops everything between the two hosts, which keep their carrier and
reach all others: a partition.`,
		"  appliance lab cut node1\n  appliance lab cut node1 node2",
		(*lab.Host).Cut, (*lab.Host).CutFrom)
}

func (c *labCommands) healCommand() *cobra.Command {
	return c.cableCommand("heal", "Undo a cut",
		"heal HOST plugs the host's cable in again; heal HOST OTHER lets the two hosts reach each other again.",
		"  appliance lab heal node1\n  appliance lab heal node1 node2",
		(*lab.Host).Heal, (*lab.Host).HealFrom)
}

func (c *labCommands) cableCommand(use, short, long, example string,
	one func(*lab.Host, context.Context) error, two func(*lab.Host, context.Context, *lab.Host) error,
) *cobra.Command {
	return &cobra.Command{
		Use: use + " HOST [OTHER]", Short: short, Long: long, Example: example, ValidArgsFunction: c.completeHosts,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			host, err := c.pickHost(args[0])
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return one(host, cmd.Context())
			}
			other, err := host.Lab().Host(args[1])
			if err != nil {
				return err
			}
			return two(host, cmd.Context(), other)
		},
	}
}
