package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/kube/client"
	"islet/appliance/paas/v1alpha1"
)

// tenantView is the JSON form of a tenant.
type tenantView struct {
	Name         string            `json:"name"`
	DisplayName  string            `json:"displayName,omitempty"`
	Members      []v1alpha1.Member `json:"members"`
	Quota        map[string]string `json:"quota"`
	Granted      map[string]string `json:"granted"`
	NodePools    []string          `json:"nodePools,omitempty"`
	Environments int               `json:"environments"`
	Ready        bool              `json:"ready"`
	Why          string            `json:"why,omitempty"` // it is not ready
}

func viewTenant(t v1alpha1.Tenant) tenantView {
	ready, why := readiness(t.Status.Conditions)
	return tenantView{
		Name: t.Name, DisplayName: t.Spec.DisplayName, Members: t.Spec.Members, Quota: amounts(t.Spec.Quota), Granted: amounts(t.Status.Granted),
		NodePools: t.Spec.NodePools, Environments: int(t.Status.Environments), Ready: ready, Why: why,
	}
}

// readiness is what the controller says, or that it has said nothing yet.
func readiness(conditions []metav1.Condition) (ready bool, why string) {
	c := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	if c == nil {
		return false, "the controller has not looked at it yet"
	}
	return c.Status == metav1.ConditionTrue, c.Message
}

func amounts(list corev1.ResourceList) map[string]string {
	out := map[string]string{}
	for name, q := range list {
		out[string(name)] = q.String()
	}
	return out
}

// shares shows amounts for people, by name: used of bound where both are known.
func shares(bound, used map[string]string) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(bound)) {
		text := name + "=" + bound[name]
		if u, ok := used[name]; ok {
			text = name + "=" + u + " of " + bound[name]
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func newTenantListCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the tenants", Args: cobra.NoArgs,
		Long:    "Lists the tenants with their members, how much they may use and how much of that is given to environments.",
		Example: "  appliance tenant list\n  appliance tenant list -o json | jq '.[] | select(.ready | not)'",
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		list, err := tenants(cmd.Context())
		if err != nil {
			return err
		}
		return env.Print(*format, list, func(w io.Writer) error { return printTenants(w, list) })
	}
	return cmd
}

func tenants(ctx context.Context) ([]tenantView, error) {
	c, err := openPlatform()
	if err != nil {
		return nil, err
	}
	var list v1alpha1.TenantList
	if err := c.List(ctx, &list); err != nil {
		return nil, explainAPI(err)
	}
	out := []tenantView{}
	for _, t := range list.Items {
		out = append(out, viewTenant(t))
	}
	return out, nil
}

func printTenants(out io.Writer, list []tenantView) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "TENANT\tENVIRONMENTS\tMEMBERS\tQUOTA\tSTATE")
	for _, t := range list {
		var members []string
		for _, m := range t.Members {
			members = append(members, m.Name+" ("+string(m.Role)+")")
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", t.Name, t.Environments, strings.Join(members, ", "), shares(t.Quota, t.Granted), stateOf(t.Ready, t.Why))
	}
	return w.Flush()
}

func stateOf(ready bool, why string) string {
	if ready {
		return "ready"
	}
	return "NOT READY: " + why
}

func newTenantRemoveCommand(env *Env) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Remove a tenant that has no environment left", Args: cobra.ExactArgs(1), ValidArgsFunction: completeTenants,
		Long:    "Removes a tenant and its members' rights. It is refused while the tenant has environments: `appliance env remove` comes first.",
		Example: "  appliance tenant remove press",
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return removeTenant(cmd.Context(), env, args[0], yes) }
	return cmd
}

func removeTenant(ctx context.Context, env *Env, name string, yes bool) error {
	c, err := openPlatform()
	if err != nil {
		return err
	}
	var t v1alpha1.Tenant
	if err := c.Get(ctx, client.ObjectKey{Name: name}, &t); err != nil {
		return explainAPI(err)
	}
	own, err := environments(ctx, c, name)
	if err != nil {
		return err
	}
	if len(own) > 0 {
		return Exit(CodeNotPossible, Advise(fmt.Errorf("tenant %s has %d environments, such as %s", name, len(own), own[0].Name), "remove them first: appliance env remove"))
	}
	if err := askName(ctx, env, yes, name, "This takes the rights of its "+fmt.Sprint(len(t.Spec.Members))+" members away."); err != nil {
		return err
	}
	if err := c.Delete(ctx, &t); err != nil {
		return explainAPI(err)
	}
	_, err = fmt.Fprintf(env.Stdio.Out, "tenant %s is removed\n", name)
	return err
}

// completeTenants offers the names of the tenants.
func completeTenants(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	if list, err := tenants(cmd.Context()); err == nil && len(args) == 0 {
		for _, t := range list {
			names = append(names, cobra.CompletionWithDesc(t.Name, t.DisplayName))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
