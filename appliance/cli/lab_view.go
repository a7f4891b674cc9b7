package cli

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/lab"
)

// labView is a lab as the commands print it.
type labView struct {
	Name    string       `json:"name"`
	Subnet  netip.Prefix `json:"subnet"`
	Dir     string       `json:"dir"`
	Hosts   []lab.Status `json:"hosts"`
	Escapes *lab.Escapes `json:"escapes,omitempty"` // nil: the lab is not whole
}

func viewLab(ctx context.Context, l *lab.Lab) (labView, error) {
	view := labView{Name: l.Name(), Subnet: l.Subnet(), Dir: l.Dir()}
	for _, host := range l.Hosts() {
		status, err := host.Status(ctx)
		if err != nil {
			return view, err
		}
		view.Hosts = append(view.Hosts, status)
	}
	if escapes, err := l.Escapes(); err == nil {
		view.Escapes = &escapes
	}
	return view, nil
}

func (c *labCommands) listCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the labs on this machine", Args: cobra.NoArgs,
		Long:    "list shows the labs on this machine with the number of their hosts, and where their disks are.",
		Example: "  appliance lab list\n  appliance lab list -o json | jq -r '.[].name'",
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		labs, err := c.layout().List()
		if err != nil {
			return err
		}
		views := make([]labView, 0, len(labs))
		for _, l := range labs {
			view, err := viewLab(cmd.Context(), l)
			if err != nil {
				return err
			}
			views = append(views, view)
		}
		return c.env.Print(*format, views, func(w io.Writer) error {
			if len(views) == 0 {
				_, err := fmt.Fprintln(w, "no labs; `appliance lab up` makes one")
				return err
			}
			table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "LAB\tHOSTS\tRUNNING\tSUBNET\tDIR")
			for _, view := range views {
				fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%s\n", view.Name, len(view.Hosts), view.running(), view.Subnet, view.Dir)
			}
			return table.Flush()
		})
	}
	return cmd
}

func (v labView) running() int {
	n := 0
	for _, host := range v.Hosts {
		if host.Running {
			n++
		}
	}
	return n
}

func (c *labCommands) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status [LAB]", Short: "Show the hosts of a lab and how they are", Args: cobra.MaximumNArgs(1), ValidArgsFunction: c.completeLabs,
		Long: `status shows each host of a lab, its address, whether it is on, its cable, and its boot command. The last
line tells whether anything ever tried to leave the lab: packets and connections that a host's kernel
refused for want of a route, and frames to outside addresses that reached the switch.`,
		Example: "  appliance lab status\n  appliance lab status rehearsal -o json",
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		l, err := c.pick(append(args, "")[0])
		if err != nil {
			return err
		}
		view, err := viewLab(cmd.Context(), l)
		if err != nil {
			return err
		}
		return c.env.Print(*format, view, func(w io.Writer) error { return printLab(w, view) })
	}
	return cmd
}

func printLab(w io.Writer, view labView) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "HOST\tADDRESS\tPOWER\tCABLE\tBOOT COMMAND\tSINCE\tRESTARTS")
	for _, host := range view.Hosts {
		power, cable, since := "off", "in", "-"
		if host.Running {
			power = "on"
		}
		if host.Cut {
			cable = "pulled"
		}
		if !host.Boot.Since.IsZero() {
			since = time.Since(host.Boot.Since).Round(time.Second).String()
		}
		boot := string(host.Boot.State)
		if host.Boot.LastEnd != "" {
			boot += " (last end: " + host.Boot.LastEnd + ")"
		}
		fmt.Fprintf(table, "%s/%s\t%s\t%s\t%s\t%s\t%s\t%d\n", view.Name, host.Name, host.Addr, power, cable, boot, since, host.Boot.Restarts)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	var err error
	switch {
	case view.Escapes == nil:
		_, err = fmt.Fprintf(w, "the lab is not whole: this machine was rebooted or a command crashed; `appliance lab down %s` clears it away\n", view.Name)
	case view.Escapes.Total() == 0:
		_, err = fmt.Fprintln(w, "nothing tried to leave the lab")
	default:
		_, err = fmt.Fprintf(w, "attempts to leave the lab: %d frames at the switch, without a route by host %v\n", view.Escapes.StrayFrames, view.Escapes.NoRoute)
	}
	return err
}
