package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/kube/client"
	"islet/appliance/paas/v1alpha1"
)

func newTenantCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "tenant", Short: "Make, change and remove tenants: who may use the site, and how much of it", GroupID: groupPaaS,
		Long: `A tenant is a team, customer or department with environments of its own, which other tenants cannot see, reach or
exhaust. Members are users or groups of the Kubernetes API. The same kind can be had by kubectl: tenants.islet.dev. Run on a server.`,
		Example: `  appliance tenant create press --member User:ann=owner --quota cpu=8,memory=16Gi
  appliance tenant set press --member Group:night-shift=viewer --member User:bob=-
  appliance tenant list
  appliance tenant remove press`,
	}
	cmd.AddCommand(newTenantCreateCommand(env), newTenantSetCommand(env), newTenantListCommand(env), newTenantRemoveCommand(env))
	return cmd
}

// openPlatform is a server's access to the platform's kinds.
func openPlatform() (client.Client, error) {
	site, err := openCluster()
	if err != nil {
		return nil, err
	}
	return site.client, nil
}

// listing makes a command that lists what of the platform's kinds is in the place that its argument names, or everywhere.
func listing[V any](env *Env, cmd *cobra.Command, list func(ctx context.Context, c client.Client, where string) ([]V, error), show func(io.Writer, []V) error) *cobra.Command {
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := openPlatform()
		if err != nil {
			return err
		}
		found, err := list(cmd.Context(), c, strings.Join(args, ""))
		if err != nil {
			return err
		}
		return env.Print(*format, found, func(w io.Writer) error { return show(w, found) })
	}
	return cmd
}

// explainAPI gives what the API refuses its exit code. The API's own words say what is wrong with which field.
func explainAPI(err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err):
		return Exit(CodeRefused, Advise(err, "correct that and run it again; nothing was changed"))
	case apierrors.IsAlreadyExists(err):
		return Exit(CodeExists, Advise(err, "change it with `set`, or take another name"))
	case apierrors.IsNotFound(err):
		return Exit(CodeNoObject, Advise(err, "see `list`"))
	case meta.IsNoMatchError(err):
		return Exit(CodeNoObject, Advise(err, "the site is not up yet: see `appliance status`"))
	}
	return explainCluster(err)
}

type tenantFlags struct {
	display string
	members []string
	quota   string
	pools   []string
	format  *Format
}

func (f *tenantFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.display, "display-name", "", "`TEXT` for people")
	flags.StringArrayVar(&f.members, "member", nil, "`KIND:NAME=ROLE`: User or Group; owner, deployer, viewer or auditor; the role - takes the member out")
	flags.StringVar(&f.quota, "quota", "", "what all environments together may use, as `RESOURCE=AMOUNT,...`; an empty amount takes the bound away")
	flags.StringSliceVar(&f.pools, "node-pools", nil, "`POOLS` that environments may ask for; none means any")
	f.format = AddFormatFlag(cmd)
}

// apply puts into a tenant what the flags say.
func (f *tenantFlags) apply(cmd *cobra.Command, t *v1alpha1.Tenant) error {
	if cmd.Flags().Changed("display-name") {
		t.Spec.DisplayName = f.display
	}
	if cmd.Flags().Changed("node-pools") {
		t.Spec.NodePools = f.pools
	}
	for _, text := range f.members {
		if err := setMember(&t.Spec.Members, text); err != nil {
			return err
		}
	}
	return setQuantities(&t.Spec.Quota, "--quota", f.quota)
}

// setMember reads KIND:NAME=ROLE.
func setMember(members *[]v1alpha1.Member, text string) error {
	who, role, ok := cutLast(text, "=")
	kind, name, named := strings.Cut(who, ":")
	if !ok || !named || name == "" || kind != "User" && kind != "Group" {
		return Exit(CodeUsage, fmt.Errorf("--member %s: want KIND:NAME=ROLE, such as User:ann=owner or Group:night-shift=viewer", text))
	}
	roles := []v1alpha1.Role{v1alpha1.RoleOwner, v1alpha1.RoleDeployer, v1alpha1.RoleViewer, v1alpha1.RoleAuditor}
	if role != "-" && !slices.Contains(roles, v1alpha1.Role(role)) {
		return Exit(CodeUsage, fmt.Errorf("--member %s: %q is no role; want owner, deployer, viewer, auditor, or - to take the member out", text, role))
	}
	*members = slices.DeleteFunc(*members, func(m v1alpha1.Member) bool { return m.Kind == kind && m.Name == name })
	if role != "-" {
		*members = append(*members, v1alpha1.Member{Kind: kind, Name: name, Role: v1alpha1.Role(role)})
	}
	return nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// setQuantities reads RESOURCE=AMOUNT,... into a list.
func setQuantities(list *corev1.ResourceList, flag, text string) error {
	if text == "" {
		return nil
	}
	for item := range strings.SplitSeq(text, ",") {
		name, amount, ok := strings.Cut(strings.TrimSpace(item), "=")
		if !ok || name == "" {
			return Exit(CodeUsage, fmt.Errorf("%s %s: want RESOURCE=AMOUNT, such as cpu=4,memory=8Gi,pods=50", flag, item))
		}
		if *list == nil {
			*list = corev1.ResourceList{}
		}
		if amount == "" {
			delete(*list, corev1.ResourceName(name))
			continue
		}
		q, err := resource.ParseQuantity(amount)
		if err != nil {
			return Exit(CodeUsage, fmt.Errorf("%s %s: %q is no amount: want such as 4, 500m, 8Gi", flag, item, amount))
		}
		(*list)[corev1.ResourceName(name)] = q
	}
	return nil
}

func newTenantCreateCommand(env *Env) *cobra.Command {
	f := new(tenantFlags)
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a tenant", Args: cobra.ExactArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Makes a tenant. Its environments are made by `appliance env create`. Its name is part of host names.",
		Example: `  appliance tenant create press
  appliance tenant create press --member User:ann=owner --quota cpu=8,memory=16Gi`,
	}
	f.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t := &v1alpha1.Tenant{ObjectMeta: metav1.ObjectMeta{Name: args[0]}}
		if err := f.apply(cmd, t); err != nil {
			return err
		}
		c, err := openPlatform()
		if err != nil {
			return err
		}
		if err := c.Create(cmd.Context(), t); err != nil {
			return explainAPI(err)
		}
		return env.Print(*f.format, viewTenant(*t), func(w io.Writer) error { _, err := fmt.Fprintf(w, "tenant %s is made\n", t.Name); return err })
	}
	return cmd
}

func newTenantSetCommand(env *Env) *cobra.Command {
	f := new(tenantFlags)
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Change a tenant", Args: cobra.ExactArgs(1), ValidArgsFunction: completeTenants,
		Long: "Changes what the flags name, and leaves the rest of the tenant as it is.",
		Example: `  appliance tenant set press --quota cpu=16
  appliance tenant set press --member User:bob=deployer --member User:ann=-`,
	}
	f.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := openPlatform()
		if err != nil {
			return err
		}
		var t v1alpha1.Tenant
		if err := c.Get(cmd.Context(), client.ObjectKey{Name: args[0]}, &t); err != nil {
			return explainAPI(err)
		}
		if err := f.apply(cmd, &t); err != nil {
			return err
		}
		if err := c.Update(cmd.Context(), &t); err != nil {
			return explainAPI(err)
		}
		return env.Print(*f.format, viewTenant(t), func(w io.Writer) error { _, err := fmt.Fprintf(w, "tenant %s is changed\n", t.Name); return err })
	}
	return cmd
}
