package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/kube/client"
	"islet/appliance/paas/v1alpha1"
)

func newOrderCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "order", Short: "Roll releases out: make, approve, watch and undo release orders", GroupID: groupPaaS,
		Long: `A release order brings a release into an environment: it is checked, approved where the environment asks for that, waits for its time,
changes the application, watches it, and goes back by itself when it is not well. The same kind can be had by kubectl:
releaseorders.islet.dev, or order. Run on a server.`,
		Example: `  appliance order create press-dev hello-1.1 --wait 5m
  appliance order create press-prod hello-1.1 --as bob
  appliance order approve press-prod hello-1.1-1 --as ann
  appliance order show press-prod hello-1.1-1
  appliance order rollback press-prod hello-1.1-1`,
	}
	cmd.AddCommand(newOrderCreateCommand(env), newOrderApproveCommand(env), newOrderRefuseCommand(env), newOrderListCommand(env), newOrderShowCommand(env),
		newOrderRollbackCommand(env), newOrderPauseCommand(env), newOrderResumeCommand(env), newOrderAbandonCommand(env))
	return cmd
}

// orderView is the JSON form of a release order.
type orderView struct {
	Environment string                `json:"environment"`
	Name        string                `json:"name"`
	Application string                `json:"application"`
	Release     string                `json:"release"`
	Author      string                `json:"author"`
	Phase       v1alpha1.Phase        `json:"phase"`
	Message     string                `json:"message,omitempty"`
	Since       *metav1.Time          `json:"since,omitempty"` // it is in this phase
	RollbackOf  string                `json:"rollbackOf,omitempty"`
	Strategy    *v1alpha1.Strategy    `json:"strategy,omitempty"` // none: rolling
	Approvals   []v1alpha1.Opinion    `json:"approvals"`
	Previous    string                `json:"previousRelease,omitempty"`
	Failure     string                `json:"failure,omitempty"` // why it was rolled back
	History     []v1alpha1.OrderEvent `json:"history"`
}

func viewOrder(o v1alpha1.ReleaseOrder) orderView {
	s := o.Status
	return orderView{Environment: o.Namespace, Name: o.Name, Application: o.Spec.Application, Release: o.Spec.Release, Author: o.Spec.Author,
		Phase: cmp.Or(s.Phase, v1alpha1.PhaseDraft), Message: s.Message, Since: s.Since, RollbackOf: o.Spec.RollbackOf, Strategy: o.Spec.Strategy,
		Approvals: append([]v1alpha1.Opinion{}, o.Spec.Approvals...), Previous: s.PreviousRelease, Failure: s.Failure, History: append([]v1alpha1.OrderEvent{}, s.History...)}
}

func newOrderListCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [TENANT-NAME]", Short: "List the release orders of an environment, or of all", Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeEnvironments,
		Long:    "Lists the release orders, the newest first, with how far each has come and what it waits for.",
		Example: "  appliance order list press-prod\n  appliance order list -o json | jq '.[] | select(.phase == \"PendingApproval\")'",
	}
	return listing(env, cmd, orderViews, printOrders)
}

func orderViews(ctx context.Context, c client.Client, environment string) ([]orderView, error) {
	list, err := orders(ctx, c, environment)
	out := []orderView{}
	for _, o := range list {
		out = append(out, viewOrder(o))
	}
	return out, err
}

// orders lists them, the newest first.
func orders(ctx context.Context, c client.Client, environment string) ([]v1alpha1.ReleaseOrder, error) {
	var list v1alpha1.ReleaseOrderList
	if err := c.List(ctx, &list, client.InNamespace(environment)); err != nil {
		return nil, explainAPI(err)
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.ReleaseOrder) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), b.CreationTimestamp.Compare(a.CreationTimestamp.Time), strings.Compare(b.Name, a.Name))
	})
	return list.Items, nil
}

func printOrders(out io.Writer, list []orderView) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ENVIRONMENT\tORDER\tRELEASE\tBY\tPHASE\tWHY")
	for _, o := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", o.Environment, o.Name, o.Release, o.Author, o.Phase, o.Message)
	}
	return w.Flush()
}

func newOrderShowCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show TENANT-NAME ORDER", Short: "Show a release order: how it went, step by step", Args: cobra.ExactArgs(2), ValidArgsFunction: completeOrders,
		Long:    "Shows who made and approved an order, each phase that it came to with the time, and why it went back if it did.",
		Example: "  appliance order show press-prod hello-1.1-1\n  appliance order show press-prod hello-1.1-1 --wait 10m",
	}
	wait, format := waitFlag(cmd), AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := openPlatform()
		if err != nil {
			return err
		}
		o, err := waitOrder(cmd.Context(), c, client.ObjectKey{Namespace: args[0], Name: args[1]}, *wait)
		if err != nil {
			return err
		}
		return env.Print(*format, viewOrder(o), func(w io.Writer) error { return printOrder(w, viewOrder(o)) })
	}
	return cmd
}

func printOrder(out io.Writer, o orderView) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "order %s brings %s to %s: %s\n", o.Name, o.Release, o.Environment, strings.ToUpper(string(o.Phase)))
	strategy := ""
	if o.Strategy != nil {
		strategy = o.Strategy.Kind
	}
	for _, row := range [][2]string{{"why", o.Message}, {"made by", o.Author}, {"strategy", strategy}, {"undoes", o.RollbackOf}, {"before it", o.Previous}, {"failed", o.Failure}} {
		if row[1] != "" {
			fmt.Fprintf(w, "%s:\t%s\n", row[0], row[1])
		}
	}
	for _, a := range o.Approvals {
		fmt.Fprintf(w, "approved by:\t%s\t%s\n", a.By, a.Comment)
	}
	fmt.Fprintln(w)
	for _, e := range o.History {
		fmt.Fprintf(w, "%s\t%s\t%s\n", e.At.UTC().Format(time.DateTime), e.Phase, e.Message)
	}
	return w.Flush()
}

// waitOrder waits until an order has ended, or for nothing.
func waitOrder(ctx context.Context, c client.Client, key client.ObjectKey, wait time.Duration) (v1alpha1.ReleaseOrder, error) {
	deadline := time.Now().Add(wait)
	tick := time.NewTicker(waitInterval)
	defer tick.Stop()
	for {
		var o v1alpha1.ReleaseOrder
		if err := c.Get(ctx, key, &o); err != nil || wait == 0 {
			return o, explainAPI(err)
		}
		switch {
		case o.Status.Phase == v1alpha1.PhaseDone:
			return o, nil
		case o.Status.Phase == v1alpha1.PhaseRefused:
			return o, Exit(CodeRefused, fmt.Errorf("order %s is refused: %s", o.Name, o.Status.Message))
		case o.Status.Phase.Ended():
			return o, Exit(CodeUnhealthy, Advise(fmt.Errorf("order %s is %s: %s", o.Name, o.Status.Phase, o.Status.Message), "see `appliance order show "+o.Namespace+" "+o.Name+"`"))
		case time.Now().After(deadline):
			return o, Exit(CodeTimeout, fmt.Errorf("order %s has not ended after %s: it is %s: %s", o.Name, wait, cmp.Or(o.Status.Phase, v1alpha1.PhaseDraft), o.Status.Message))
		}
		select {
		case <-ctx.Done():
			return o, ctx.Err()
		case <-tick.C:
		}
	}
}

// completeOrders offers environments, and then the orders in the one that was given.
func completeOrders(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return completeEnvironments(cmd, args, typed)
	}
	var names []cobra.Completion
	if c, err := openPlatform(); err == nil && len(args) == 1 {
		list, _ := orders(cmd.Context(), c, args[0]) // no API: nothing to offer
		for _, o := range list {
			names = append(names, cobra.CompletionWithDesc(o.Name, string(o.Status.Phase)))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
