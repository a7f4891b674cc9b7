package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/api"
	"islet/appliance/config"
	"islet/appliance/join"
	"islet/appliance/pki"
	"islet/appliance/server"
)

type rotateFlags struct {
	overlap, wait     time.Duration
	plan, status, yes bool
	format            *Format
}

func newCertRotateCommand(env *Env) *cobra.Command {
	f := new(rotateFlags)
	cmd := &cobra.Command{
		Use: "rotate-ca [NAME...]", Short: "Give the site new authorities while it works",
		Args: func(_ *cobra.Command, names []string) error {
			for _, name := range names {
				if !slices.Contains(pki.AuthorityNames(), name) {
					return Exit(CodeUsage, fmt.Errorf("no authority is named %q: want some of %s, or none for all", name, strings.Join(pki.AuthorityNames(), ", ")))
				}
			}
			return nil
		},
		ValidArgs: pki.AuthorityNames(),
		Long: `Makes new authorities for those that are named, or for all, and takes the old ones out of use: first every node gets its
certificates from the new ones, then every node stops trusting the old ones, which restarts the programs of one server after
the other, and at last, after --overlap, nothing is shown any more that lets programs in pods go on with the old ones. Each
step begins when all nodes have taken the one before it. Pods are not restarted.

The servers carry it on by themselves, whatever becomes of this command, of daemons and of machines. While one is unfinished
the command shows how far it is. A node that is off holds it up until it is back, or removed from the site.

The key that signs service account tokens and the one that encrypts secrets are no authorities: they stay.`,
		Example: `  appliance cert rotate-ca --plan
  appliance cert rotate-ca node-ca etcd-ca
  appliance cert rotate-ca --status -o json`,
	}
	flags := cmd.Flags()
	flags.DurationVar(&f.overlap, "overlap", 10*time.Minute, "`TIME` that programs in pods have to read the new cluster-ca")
	flags.DurationVar(&f.wait, "wait", time.Hour, "how `LONG` to follow it; it goes on afterwards")
	flags.BoolVar(&f.plan, "plan", false, "check everything, print every step, and do nothing")
	flags.BoolVar(&f.status, "status", false, "show the last rotation, and do nothing")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	cmd.MarkFlagsMutuallyExclusive("plan", "status")
	f.format = AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if len(names) == 0 {
			names = pki.AuthorityNames()
		}
		return f.run(cmd.Context(), env, names, len(cmd.Flags().Args()) > 0)
	}
	return cmd
}

// rotationPlan is what a rotation would do.
type rotationPlan struct {
	Authorities []string           `json:"authorities"`
	Servers     []string           `json:"servers"`
	Agents      []string           `json:"agents"`
	Absent      []string           `json:"absent"` // nodes that nothing was heard of lately: they must be there
	Tokens      []string           `json:"tokens"` // join tokens that will be revoked, by ID
	Steps       []rotationPlanStep `json:"steps"`
}

type rotationPlanStep struct {
	Step  string `json:"step"`
	What  string `json:"what"`
	Takes string `json:"takes"`
}

func (f *rotateFlags) run(ctx context.Context, env *Env, names []string, named bool) error {
	if f.overlap < 0 || f.overlap > 30*24*time.Hour {
		return Exit(CodeUsage, fmt.Errorf("--overlap %s: want 0s to 720h", f.overlap))
	}
	site, err := openCluster()
	if err != nil {
		return err
	}
	client, err := daemon()
	if err != nil {
		return err
	}
	status, err := client.Status(ctx)
	if err != nil {
		return explainDaemon(err)
	}
	show := func(r *api.Rotation) error {
		return env.Print(*f.format, r, func(w io.Writer) error { return printRotation(w, r) })
	}
	unfinished := status.Rotation.Unfinished()
	switch {
	case f.status:
		return show(status.Rotation)
	case unfinished && named && !slices.Equal(slices.Sorted(slices.Values(names)), slices.Sorted(slices.Values(status.Rotation.Authorities))):
		return Advise(fmt.Errorf("%w: of %s", join.ErrRotating, strings.Join(status.Rotation.Authorities, ", ")),
			"wait for its end: `appliance cert rotate-ca` without names shows how far it is")
	}
	if !unfinished || f.plan {
		plan, err := f.prepare(ctx, site, client, names)
		if err != nil {
			return err
		}
		if f.plan {
			return env.Print(*f.format, plan, func(w io.Writer) error { return printRotationPlan(w, plan) })
		}
		if err := f.begin(ctx, env, client, plan); err != nil {
			return err
		}
	}
	r, err := f.follow(ctx, env, client)
	if err != nil {
		return err
	}
	return show(r)
}

// prepare finds out what there is to be done, and for whom.
func (f *rotateFlags) prepare(ctx context.Context, site cluster, client *api.Client, names []string) (rotationPlan, error) {
	plan := rotationPlan{Authorities: names, Absent: []string{}, Tokens: []string{}, Servers: []string{}, Agents: []string{}}
	members, err := server.Members(site.client).List(ctx)
	if err != nil {
		return plan, explainCluster(err)
	}
	reports, err := client.Site(ctx)
	if err != nil {
		return plan, explainDaemon(err)
	}
	for _, m := range members {
		switch {
		case m.Removed != nil:
			continue
		case m.Role == config.RoleServer:
			plan.Servers = append(plan.Servers, m.Name)
		default:
			plan.Agents = append(plan.Agents, m.Name)
		}
		if !slices.ContainsFunc(reports, func(r api.Report) bool { return r.Status.Node.Name == m.Name && time.Since(r.Received) < staleAfter }) {
			plan.Absent = append(plan.Absent, m.Name)
		}
	}
	if slices.Contains(names, pki.NodeCA) {
		tokens, err := server.Tokens(site.client).List(ctx)
		if err != nil {
			return plan, explainCluster(err)
		}
		for _, t := range tokens {
			if t.Revoked == nil && time.Now().Before(t.Expires) && len(t.Uses) < t.MaxUses {
				plan.Tokens = append(plan.Tokens, t.ID)
			}
		}
	}
	plan.Steps = []rotationPlanStep{
		{string(join.StepIssue), "every node gets the new authorities, keeps the old ones, and has its certificates signed anew", "about a minute"},
		{string(join.StepTrust), "every node forgets the old authorities: one server after the other starts its programs anew (" +
			strings.Join(plan.Servers, ", ") + "), agents restart kubelet, network agent and kube-proxy; pods go on", fmt.Sprintf("about %d minutes", max(1, len(plan.Servers)))},
		{string(join.StepFinish), "certificates without a trace of the old authorities; old kubeconfigs and join tokens are refused", fmt.Sprintf("about a minute, %s later", f.overlap)},
	}
	return plan, nil
}

// begin asks, and gives the order.
func (f *rotateFlags) begin(ctx context.Context, env *Env, client *api.Client, plan rotationPlan) error {
	if len(plan.Absent) > 0 {
		return Exit(CodeNotPossible, Advise(fmt.Errorf("%w: nothing was heard lately of %s", server.ErrAbsent, strings.Join(plan.Absent, ", ")),
			"switch them on, or remove them: appliance node remove NAME"))
	}
	if !f.yes {
		in, ok := terminal(env)
		if !ok {
			return Exit(CodeUsage, Advise(errors.New("this gives the site new authorities, and there is no terminal to ask on"), "look at it with --plan, then give --yes"))
		}
		if err := printRotationPlan(env.Stdio.Err, plan); err != nil {
			return err
		}
		answer, err := ask(ctx, env, in, "\nGo on? Type yes: ")
		if err == nil && answer != "yes" {
			err = Exit(CodeUsage, errors.New("not confirmed: nothing was done"))
		}
		if err != nil {
			return err
		}
	}
	if err := client.Rotate(ctx, api.RotationOrder{Authorities: plan.Authorities, Overlap: f.overlap}); err != nil {
		return explainDaemon(err)
	}
	return nil
}

// follow shows each change until the rotation is done. This server's daemon starts anew in the middle of it.
func (f *rotateFlags) follow(ctx context.Context, env *Env, client *api.Client) (*api.Rotation, error) {
	ctx, cancel := context.WithTimeout(ctx, f.wait)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	said := ""
	for {
		status, err := client.Status(ctx)
		if r := status.Rotation; err == nil && r != nil {
			if !r.Unfinished() {
				return r, nil
			}
			if now := r.Step + ": waits for " + strings.Join(r.WaitsFor, "; "); now != said && len(r.WaitsFor) > 0 {
				said = now
				fmt.Fprintf(env.Stdio.Err, "%s  %s\n", time.Now().Format(time.TimeOnly), now)
			}
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil, Exit(CodeTimeout, Advise(fmt.Errorf("the rotation is not done after %s: %s", f.wait, said),
					"it goes on by itself; see `appliance cert rotate-ca --status`"))
			}
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

func printRotation(w io.Writer, r *api.Rotation) error {
	if r == nil {
		_, err := fmt.Fprintln(w, "the site has the authorities that it was made with")
		return err
	}
	if !r.Unfinished() {
		_, err := fmt.Fprintf(w, "rotation of %s: done at %s\n", strings.Join(r.Authorities, ", "), r.Since.Local().Format(time.DateTime))
		return err
	}
	fmt.Fprintf(w, "rotation of %s: step %q since %s\n", strings.Join(r.Authorities, ", "), r.Step, r.Since.Local().Format(time.DateTime))
	for _, what := range r.WaitsFor {
		fmt.Fprintln(w, "  waits for", what)
	}
	return nil
}

func printRotationPlan(out io.Writer, p rotationPlan) error {
	list := func(names []string) string {
		if len(names) == 0 {
			return "-"
		}
		return strings.Join(names, ", ")
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "Authorities\t%s\n", list(p.Authorities))
	fmt.Fprintf(w, "Servers\t%s\n", list(p.Servers))
	fmt.Fprintf(w, "Agents\t%s\n", list(p.Agents))
	if len(p.Absent) > 0 {
		fmt.Fprintf(w, "Absent\t%s: they must be there first\n", list(p.Absent))
	}
	if len(p.Tokens) > 0 {
		fmt.Fprintf(w, "Tokens\t%s will be revoked\n", list(p.Tokens))
	}
	for i, s := range p.Steps {
		fmt.Fprintf(w, "%d. %s\t%s (%s)\n", i+1, s.Step, s.What, s.Takes)
	}
	return w.Flush()
}
