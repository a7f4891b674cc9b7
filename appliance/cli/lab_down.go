package cli

import (
	"errors"
	"fmt"
	"net"

	"github.com/spf13/cobra"
)

func (c *labCommands) downCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "down [LAB | --all]", Short: "Remove a lab with everything in it", Args: cobra.MaximumNArgs(1), ValidArgsFunction: c.completeLabs,
		Long: `down removes a lab: its processes, networks, control groups and disks, and returns when all of it is gone.
Without a name it is the only lab, or the lab "` + defaultLab + `". It also clears away what a crashed command or a reboot
of this machine has left of a lab, and may be repeated.`,
		Example: "  appliance lab down\n  appliance lab down rehearsal\n  appliance lab down --all",
	}
	cmd.Flags().BoolVar(&all, "all", false, "remove every lab, and what is left of any")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case all && len(args) > 0:
			return Exit(CodeUsage, errors.New("a name and --all exclude each other"))
		case all:
			return c.layout().DownAll(cmd.Context())
		case len(args) > 0:
			return c.layout().Down(cmd.Context(), args[0])
		}
		l, err := c.pick("")
		if err != nil {
			return err
		}
		return l.Down(cmd.Context())
	}
	return cmd
}

func (c *labCommands) logsCommand() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "logs HOST", Short: "Show what the boot command of a host has written", Args: cobra.ExactArgs(1),
		Long: `logs shows the output of a host's boot command, normally "appliance server", over all its boots. The log
is kept on this machine and may be read while the host is off.`,
		Example:           "  appliance lab logs node1\n  appliance lab logs -f node1",
		ValidArgsFunction: c.completeHosts,
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until interrupted")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		host, err := c.pickHost(args[0])
		if err != nil {
			return err
		}
		return host.CopyLog(cmd.Context(), c.env.Stdio.Out, follow)
	}
	return cmd
}

func (c *labCommands) forwardCommand() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use: "forward [LAB] HOST:PORT", Short: "Make a port of a host reachable from this machine", Args: cobra.RangeArgs(1, 2),
		Long: `forward listens on this machine and passes each connection on to a port of a host, until interrupted. It
is the only way into a lab from outside, and there is none out of it.`,
		Example: `  appliance lab forward node1:80
  appliance lab forward rehearsal node2:6443 --listen 127.0.0.1:6443`,
		ValidArgsFunction: c.completeHosts,
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "`ADDRESS:PORT` of this machine to listen on")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name := ""
		if len(args) == 2 {
			name = args[0]
		}
		l, err := c.pick(name)
		if err != nil {
			return err
		}
		var config net.ListenConfig
		listener, err := config.Listen(cmd.Context(), "tcp", listen)
		if err != nil {
			return Advise(fmt.Errorf("listen for connections: %w", err), "choose another --listen ADDRESS:PORT")
		}
		target := args[len(args)-1]
		if _, err := fmt.Fprintf(c.env.Stdio.Out, "http://%s is %s of lab %s; Ctrl-C ends it\n", listener.Addr(), target, l.Name()); err != nil {
			return errors.Join(err, listener.Close())
		}
		return l.Forward(cmd.Context(), listener, target)
	}
	return cmd
}
