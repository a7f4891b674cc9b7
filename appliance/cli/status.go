package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/api"
	"islet/appliance/component"
	"islet/appliance/config"
	"islet/appliance/progress"
	"islet/appliance/vip"
)

func newStatusCommand(env *Env) *cobra.Command {
	var (
		wait, every time.Duration
		watch       bool
	)
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Show this node on one screen: what runs, what is wrong, what to do",
		GroupID: groupLook,
		Args:    cobra.NoArgs,
		Long: `Shows this node: its components and addresses, the datastore, the certificates, and what is wrong with
the next step for each problem. It asks the node daemon and works while Kubernetes is down.

The exit code is 0 when everything is ready and nothing is wrong, ` + fmt.Sprint(int(CodeUnhealthy)) + ` otherwise.

With --watch it goes on until Ctrl-C, also while the daemon is down: a terminal is drawn anew every second; elsewhere each
change is a line, with -o json a line of JSON with the whole status.`,
		Example: `  appliance status
  appliance status --watch
  appliance status --wait 5m       wait until everything is ready
  appliance status -o json | jq .problems`,
	}
	format := AddFormatFlag(cmd)
	cmd.Flags().DurationVar(&wait, "wait", 0, "wait this `long` for everything to be ready")
	cmd.Flags().BoolVar(&watch, "watch", false, "go on showing it until Ctrl-C")
	cmd.Flags().DurationVar(&every, "every", time.Second, "with --watch, look again after this `long`")
	cmd.MarkFlagsMutuallyExclusive("watch", "wait")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := daemon()
		if err != nil {
			return err
		}
		if watch {
			return newStatusWatch(env, client, *format, max(every, 100*time.Millisecond)).run(cmd.Context())
		}
		status, err := waitReady(cmd.Context(), client, wait)
		if err != nil {
			return explainDaemon(err)
		}
		if err := env.Print(*format, status, func(w io.Writer) error { return printStatus(w, status) }); err != nil {
			return err
		}
		if !status.Ready || len(status.Problems) > 0 {
			return &ExitError{Code: CodeUnhealthy}
		}
		return nil
	}
	return cmd
}

func printStatus(out io.Writer, s api.Status) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	state := "ready"
	if !s.Ready {
		state = "NOT READY"
	}
	fmt.Fprintf(w, "Site\t%s\t%s\n", s.Site, s.Zone)
	fmt.Fprintf(w, "Node\t%s\t%s %s, %s, up %s\n", s.Node.Name, s.Node.Role, state, s.Version, age(s.StartedAt))
	fmt.Fprintf(w, "Address\t%s\ton %s, pods %s over %s (MTU %d), services %s\n", s.Node.Address, s.Node.Interface,
		cmp.Or(s.Node.PodCIDR, "not connected yet"), s.Node.Backend, s.Node.MTU, s.Node.ServiceCIDR)
	fmt.Fprintf(w, "Applications\t*.%s\tports %d and %d\n", s.Node.Domain, s.Node.HTTPPort, s.Node.HTTPSPort)
	for _, v := range s.VIPs {
		fmt.Fprintf(w, "Virtual\t%s\t%s\n", v.Address, vipState(v))
	}
	if s.Datastore != nil {
		fmt.Fprintf(w, "Datastore\t%s\t%s, %s\n", s.Datastore.Store, progress.Bytes(s.Datastore.Bytes), snapshots(*s.Datastore))
	}
	for _, server := range s.Servers {
		state := "answers"
		if !server.Healthy {
			state = "DOES NOT ANSWER: " + server.Reason
		}
		fmt.Fprintf(w, "API server\t%s\t%s, for %s; %d connections\n", server.Address, state, age(server.Since), server.Connections)
	}
	fmt.Fprintf(w, "Images\t%d carried\t%d imported (%s) since the start\n", s.Images.Carried, s.Images.Imported, progress.Bytes(s.Images.Bytes))
	fmt.Fprintf(w, "Certificates\t%d\t%s\n", len(s.Certificates), nextExpiry(s))
	fmt.Fprintln(w)
	fmt.Fprintln(w, "COMPONENT\tSTATE\tSINCE\tRESTARTS\tREASON")
	for _, c := range s.Components {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", c.Name, c.State, age(c.Since), c.Restarts, c.Reason)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(s.Problems) == 0 {
		_, err := fmt.Fprintln(out, "\nNothing is wrong.")
		return err
	}
	fmt.Fprintln(out, "\nPROBLEMS")
	for _, p := range s.Problems {
		if p.HiddenBy != "" {
			continue
		}
		fmt.Fprintf(out, "  %s: %s, for %s", p.Severity, p.Headline(), age(p.Since))
		if p.Detail != "" {
			fmt.Fprintf(out, " (%s)", p.Detail)
		}
		fmt.Fprintf(out, "\n      next: %s [%s]\n", p.Advice, p.Code)
	}
	return nil
}

// vipState says in words what a virtual address is for and who holds it.
func vipState(v vip.Status) string {
	text := map[vip.Purpose]string{vip.API: "for the Kubernetes API, ", vip.Applications: "for applications, "}[v.Purpose]
	switch {
	case v.State == vip.Held:
		text += "held by this server"
	case v.Looked.IsZero():
		return text + "held elsewhere or not at all: " + v.Reason
	case v.Holder != "":
		text += "held by " + v.Holder
	case v.Missing():
		text += "HELD BY NOBODY"
	}
	text += map[vip.State]string{vip.Standby: "; this server stands by", vip.Unfit: "; NOT FOR THIS SERVER"}[v.State]
	if v.Reason != "" {
		text += ": " + v.Reason
	}
	if v.Duplicate != "" {
		text += "; ALSO AT " + v.Duplicate
	}
	return text
}

func snapshots(d api.Datastore) string {
	if d.Store == string(config.StoreExternal) {
		if d.Database == nil {
			return d.Path
		}
		return cmp.Or(d.Database.Wrong(), d.Database.Server+" at "+d.Path)
	}
	text := fmt.Sprintf("%d snapshots", d.Snapshots)
	if d.Snapshots > 0 {
		text += ", newest " + age(d.NewestSnapshot) + " ago"
	}
	if d.Restored != "" {
		text += "; restored " + d.Restored
	}
	return text
}

func nextExpiry(s api.Status) string {
	if len(s.Certificates) == 0 {
		return ""
	}
	first := s.Certificates[0]
	for _, c := range s.Certificates {
		if c.NotAfter.Before(first.NotAfter) {
			first = c
		}
	}
	return fmt.Sprintf("first to expire: %s in %d days, renewed by itself", first.Name, first.DaysLeft)
}

// age is a duration for people: its largest unit, or two below a minute.
func age(t time.Time) string {
	d := time.Since(t)
	switch {
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// unready lists the components that a wait is for.
func unready(s api.Status) []component.Status {
	return slices.DeleteFunc(slices.Clone(s.Components), func(c component.Status) bool { return c.State == component.Ready })
}
