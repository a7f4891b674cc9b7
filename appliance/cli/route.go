package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/kube/client"
	"islet/appliance/paas/v1alpha1"
)

func newRouteCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "route", Short: "Ways from outside to applications: what does not fit together, and its repair", GroupID: groupPaaS,
		Long: `The controllers compare rules (HTTPRoute, Ingress), services, endpoints, pods and nodes all the time. What does not fit together is
shown here and in appliance status; what can be repaired without a decision is repaired by itself, unless you want to be asked. The
same report can be had by kubectl: healthreports.islet.dev. Run on a server.`,
		Example: `  appliance route list
  appliance route set --repair asked
  appliance route repair`,
	}
	cmd.AddCommand(newRouteListCommand(env), newRouteSetCommand(env), newRouteRepairCommand(env))
	return cmd
}

// routesReport reads the report. On a site that has just come up there is none yet, which is a report without findings.
func routesReport(ctx context.Context, c client.Client) (r v1alpha1.HealthReport, err error) {
	err = c.Get(ctx, client.ObjectKey{Name: v1alpha1.RoutesReport}, &r)
	if apierrors.IsNotFound(err) {
		err = fmt.Errorf("the controllers have not looked at the routes yet: %w", err)
	}
	return r, explainAPI(err)
}

// routesView is the JSON form of the report.
type routesView struct {
	Repair   v1alpha1.Repair     `json:"repair"`
	Findings []v1alpha1.Finding  `json:"findings"`
	Count    int                 `json:"count"` // of all findings, of which at most 100 are listed
	Repaired []v1alpha1.Repaired `json:"repaired"`
}

func viewRoutes(r v1alpha1.HealthReport) routesView {
	v := routesView{Repair: r.Spec.Repair, Findings: r.Status.Findings, Count: int(r.Status.Count), Repaired: r.Status.Repaired}
	if v.Findings == nil {
		v.Findings = []v1alpha1.Finding{}
	}
	if v.Repaired == nil {
		v.Repaired = []v1alpha1.Repaired{}
	}
	return v
}

func newRouteListCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"check"}, Short: "List what does not fit together, and what was repaired lately", Args: cobra.NoArgs,
		Long:    "Lists the findings with what would repair them. The exit code is that of something wrong while there is any.",
		Example: "  appliance route list\n  appliance route list -o json | jq .findings",
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := openPlatform()
		if err != nil {
			return err
		}
		r, err := routesReport(cmd.Context(), c)
		if err != nil {
			return err
		}
		v := viewRoutes(r)
		if err := env.Print(*format, v, func(w io.Writer) error { return printRoutes(w, v, time.Now()) }); err != nil || v.Count == 0 {
			return err
		}
		return Exit(CodeUnhealthy, fmt.Errorf("%d findings", v.Count))
	}
	return cmd
}

func printRoutes(out io.Writer, v routesView, now time.Time) error {
	if v.Count == 0 {
		fmt.Fprintln(out, "All routes, services, endpoints, pods and nodes fit together.")
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	if v.Count > 0 {
		fmt.Fprintln(w, "SUBJECT\tSINCE\tWHAT\tWHY\tREMEDY")
	}
	for _, f := range v.Findings {
		remedy := f.Remedy
		if remedy == "" {
			remedy = "yours to decide"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", f.Subject, now.Sub(f.Since.Time).Round(time.Second), f.Code, f.Detail, remedy)
	}
	if len(v.Repaired) > 0 {
		fmt.Fprintln(w, "\nREPAIRED\tAGO\tWHAT\tHOW")
	}
	for _, r := range v.Repaired {
		how := r.Finding.Remedy
		if r.Error != "" {
			how = "FAILED: " + r.Error
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Finding.Subject, now.Sub(r.At.Time).Round(time.Second), r.Finding.Code, how)
	}
	if v.Repair == v1alpha1.RepairAsked {
		fmt.Fprintln(w, "\nNothing is repaired until it is asked for: appliance route repair")
	}
	return w.Flush()
}

func newRouteSetCommand(env *Env) *cobra.Command {
	repair := ""
	cmd := &cobra.Command{
		Use: "set", Short: "Say whether repairs are made by themselves or when asked for", Args: cobra.NoArgs,
		Long:    "Says who decides on repairs that need no other decision. Findings are shown in either case.",
		Example: "  appliance route set --repair asked\n  appliance route set --repair automatic",
	}
	cmd.Flags().StringVar(&repair, "repair", "", "`automatic|asked`")
	offer(cmd, "repair", "automatic", "asked")
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		modes := map[string]v1alpha1.Repair{"automatic": v1alpha1.RepairAutomatic, "asked": v1alpha1.RepairAsked}
		mode, ok := modes[strings.ToLower(repair)]
		if !ok {
			return Exit(CodeUsage, fmt.Errorf("--repair %q: want automatic or asked", repair))
		}
		return changeRoutes(cmd.Context(), env, *format, func(r *v1alpha1.HealthReport) { r.Spec.Repair = mode }, "repairs are made "+map[bool]string{true: "by themselves", false: "when asked for"}[mode == v1alpha1.RepairAutomatic])
	}
	return cmd
}

func newRouteRepairCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "repair", Short: "Have repaired once what was found so far", Args: cobra.NoArgs,
		Long:    "Asks for the repair of all findings that have a remedy. The controllers make it within seconds: appliance route list shows it.",
		Example: "  appliance route list\n  appliance route repair",
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return changeRoutes(cmd.Context(), env, *format, func(r *v1alpha1.HealthReport) { r.Spec.RepairAsked = new(metav1.Now()) }, "the repair is asked for")
	}
	return cmd
}

func changeRoutes(ctx context.Context, env *Env, format Format, change func(*v1alpha1.HealthReport), done string) error {
	c, err := openPlatform()
	if err != nil {
		return err
	}
	r, err := routesReport(ctx, c)
	if err != nil {
		return err
	}
	change(&r)
	if err := c.Update(ctx, &r); err != nil {
		return explainAPI(err)
	}
	return env.Print(format, viewRoutes(r), func(w io.Writer) error { _, err := fmt.Fprintln(w, done); return err })
}
