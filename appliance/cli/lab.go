package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"islet/appliance/lab"
)

// defaultLab is the name of a lab that nobody names.
const defaultLab = "demo"

// labCommands is what the lab's subcommands have in common.
type labCommands struct {
	env *Env
	dir string
}

func newLabCommand(env *Env) *cobra.Command {
	c := &labCommands{env: env}
	cmd := &cobra.Command{
		Use: "lab", GroupID: groupTool, Short: "Make isolated hosts on this machine and run the appliance in them",
		Long: `lab makes isolated hosts on this one machine and runs the real appliance in each: to try it out, and to
rehearse an upgrade, a restore or a pulled cable before touching the site. A host has its own
processes, disk, control groups and network, no default route, and no way out of its lab. Nothing on
this machine changes, and "lab down" leaves nothing behind. It needs root and nothing else.

A HOST is written node1 or LAB/node1. Without LAB it is that of the only lab, or of the lab "` + defaultLab + `".`,
		Example: `  appliance lab up                              one host that runs the appliance
  appliance lab exec node1 -- appliance status  how it is doing
  appliance lab exec node1                      a shell in it
  appliance lab forward node1:80                its applications on this machine's port 8080
  appliance lab kill node1                      a power cut; "lab start node1" boots it again
  appliance lab down                            away with it`,
	}
	cmd.PersistentFlags().StringVar(&c.dir, "dir", lab.DefaultStateDir, "`DIR` for the disks of hosts, on a real file system (no overlay, no tmpfs)")
	for _, subcommand := range []func() *cobra.Command{
		c.upCommand, c.demoCommand, c.downCommand, c.listCommand, c.statusCommand, c.execCommand, c.logsCommand, c.forwardCommand,
		c.startCommand, c.stopCommand, c.killCommand, c.serviceCommand, c.cutCommand, c.healCommand,
	} {
		sub := subcommand()
		if run := sub.RunE; run != nil {
			sub.RunE = func(cmd *cobra.Command, args []string) error {
				if os.Geteuid() != 0 {
					return Advise(fmt.Errorf("lab %s: %w", cmd.Name(), ErrNotRoot), "run it with sudo")
				}
				return explainLab(run(cmd, args))
			}
		}
		cmd.AddCommand(sub)
	}
	return cmd
}

// explainLab gives the lab's errors their exit codes and next steps.
func explainLab(err error) error {
	switch {
	case errors.Is(err, lab.ErrExists):
		return Advise(Exit(CodeExists, err), "choose another --name, or remove the lab with `appliance lab down NAME`")
	case errors.Is(err, lab.ErrRunning):
		return Advise(Exit(CodeExists, err), "`appliance lab kill HOST` or `appliance lab stop HOST` first")
	case errors.Is(err, lab.ErrNotFound):
		return Advise(err, "`appliance lab list` shows what there is")
	case errors.Is(err, lab.ErrNotRunning):
		return Advise(err, "`appliance lab status` tells more; `appliance lab start HOST` boots a host that is off")
	case errors.Is(err, lab.ErrBroken):
		return Advise(err, "this machine was rebooted or a command crashed; clear it away with `appliance lab down NAME`")
	}
	return err
}

func (c *labCommands) layout() lab.Layout {
	layout := lab.DefaultLayout()
	layout.StateDir = c.dir
	return layout
}

// pick returns the lab of that name, or, without a name, the only one or the default one.
func (c *labCommands) pick(name string) (*lab.Lab, error) {
	if name != "" {
		return c.layout().Open(name)
	}
	labs, err := c.layout().List()
	if err != nil {
		return nil, err
	}
	if len(labs) == 1 {
		return labs[0], nil
	}
	names := make([]string, 0, len(labs))
	for _, l := range labs {
		if l.Name() == defaultLab {
			return l, nil
		}
		names = append(names, l.Name())
	}
	if len(names) == 0 {
		return nil, Advise(errors.New("there is no lab"), "`appliance lab up` makes one")
	}
	return nil, Advise(fmt.Errorf("there are several labs: %s", strings.Join(names, ", ")), "say which one: LAB/HOST")
}

// pickHost returns the host written as HOST or LAB/HOST.
func (c *labCommands) pickHost(reference string) (*lab.Host, error) {
	name, host, ok := strings.Cut(reference, "/")
	if !ok {
		name, host = "", reference
	}
	l, err := c.pick(name)
	if err != nil {
		return nil, err
	}
	return l.Host(host)
}

// completeLabs offers the labs on this machine.
func (c *labCommands) completeLabs(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	if labs, err := c.layout().List(); err == nil && len(args) == 0 {
		for _, l := range labs {
			names = append(names, l.Name())
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeHosts offers the hosts of all labs for the first argument.
func (c *labCommands) completeHosts(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	labs, err := c.layout().List()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, l := range labs {
		for _, host := range l.Hosts() {
			name := l.Name() + "/" + host.Name()
			if len(labs) == 1 || l.Name() == defaultLab {
				name = host.Name()
			}
			names = append(names, name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
