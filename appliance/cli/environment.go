package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/kube/client"
	"islet/appliance/paas/v1alpha1"
)

func newEnvironmentCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "env", Aliases: []string{"environment"}, Short: "Make, change and remove the environments of tenants: dev, test, release, prod", GroupID: groupPaaS,
		Long: `An environment is a place where a tenant's applications run: a namespace with a quota, network policies that let nothing in
and out but what applications need, the rights of the tenant's members, and the rules of its class. The same kind can be had by kubectl:
environments.islet.dev, or env. Run on a server.`,
		Example: `  appliance env create press dev
  appliance env create press prod --quota cpu=8,memory=16Gi
  appliance env list press
  appliance env remove press-dev`,
	}
	cmd.AddCommand(newEnvironmentCreateCommand(env), newEnvironmentSetCommand(env), newEnvironmentListCommand(env), newEnvironmentRemoveCommand(env))
	return cmd
}

type environmentFlags struct {
	class, quota, pool, domain, exec string
	order, replicas, approvals       int32
	soak                             metav1.Duration
	format                           *Format
}

func classes() []string {
	return []string{string(v1alpha1.ClassDev), string(v1alpha1.ClassTest), string(v1alpha1.ClassRelease), string(v1alpha1.ClassProd)}
}

func (f *environmentFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.class, "class", "", "`CLASS`: dev, test, release or prod (default: the environment's name, where it is one of these)")
	flags.StringVar(&f.quota, "quota", "", "what may be used here, as `RESOURCE=AMOUNT,...`; an empty amount takes the bound away")
	flags.StringVar(&f.pool, "node-pool", "", "`POOL` of nodes to run on")
	flags.StringVar(&f.domain, "domain", "", "`DOMAIN` that the names of applications end in (default: NAME.TENANT.SITE-DOMAIN)")
	flags.StringVar(&f.exec, "exec", "", "`Allowed|Refused`: a shell in a container, for members (default: Refused in prod)")
	flags.Int32Var(&f.order, "order", 0, "`PLACE` in the line in which releases are promoted (default: that of the class)")
	flags.Int32Var(&f.replicas, "min-replicas", 0, "least `NUMBER` of replicas of everything that runs (default: 1 in dev, else 2)")
	flags.Int32Var(&f.approvals, "approvals", 0, "`NUMBER` of people who must agree to a release (default: 1 in prod, else 0)")
	flags.DurationVar(&f.soak.Duration, "soak", 0, "`TIME` that a release must have run in the environment before")
	offer(cmd, "class", classes()...)
	offer(cmd, "exec", string(v1alpha1.ExecAllowed), string(v1alpha1.ExecRefused))
	f.format = AddFormatFlag(cmd)
}

// apply puts into an environment what the flags say.
func (f *environmentFlags) apply(cmd *cobra.Command, e *v1alpha1.Environment) error {
	for name, set := range map[string]func(){
		"class":        func() { e.Spec.Class = v1alpha1.Class(f.class) },
		"node-pool":    func() { e.Spec.NodePool = f.pool },
		"domain":       func() { e.Spec.Domain = f.domain },
		"exec":         func() { e.Spec.Policy.Exec = v1alpha1.Exec(f.exec) },
		"order":        func() { e.Spec.Order = f.order },
		"min-replicas": func() { e.Spec.Policy.MinReplicas = &f.replicas },
		"approvals":    func() { e.Spec.Policy.Approvals = &f.approvals },
		"soak":         func() { e.Spec.Policy.Soak = f.soak },
	} {
		if cmd.Flags().Changed(name) {
			set()
		}
	}
	return setQuantities(&e.Spec.Quota, "--quota", f.quota)
}

func newEnvironmentCreateCommand(env *Env) *cobra.Command {
	f := new(environmentFlags)
	cmd := &cobra.Command{
		Use: "create TENANT NAME", Short: "Make an environment", Args: cobra.ExactArgs(2), ValidArgsFunction: completeTenants,
		Long: "Makes an environment of a tenant. It is called TENANT-NAME everywhere else, and so is its namespace.",
		Example: `  appliance env create press dev
  appliance env create press live --class prod --quota cpu=8,memory=16Gi --approvals 2`,
	}
	f.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		e := &v1alpha1.Environment{ObjectMeta: metav1.ObjectMeta{Name: args[0] + "-" + args[1]}}
		e.Spec.Tenant, e.Spec.Name = args[0], args[1]
		if slices.Contains(classes(), args[1]) {
			e.Spec.Class = v1alpha1.Class(args[1])
		}
		if err := f.apply(cmd, e); err != nil {
			return err
		}
		if e.Spec.Class == "" {
			return Exit(CodeUsage, fmt.Errorf("of which class is %s? give --class dev, test, release or prod", e.Name))
		}
		return createEnvironment(cmd.Context(), env, f.format, e)
	}
	return cmd
}

func createEnvironment(ctx context.Context, env *Env, format *Format, e *v1alpha1.Environment) error {
	c, err := openPlatform()
	if err != nil {
		return err
	}
	if err := c.Get(ctx, client.ObjectKey{Name: e.Spec.Tenant}, &v1alpha1.Tenant{}); err != nil {
		return explainAPI(err)
	}
	if err := c.Create(ctx, e); err != nil {
		return explainAPI(err)
	}
	return env.Print(*format, viewEnvironment(*e), func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "environment %s is made, of class %s\n", e.Name, e.Spec.Class)
		return err
	})
}

func newEnvironmentSetCommand(env *Env) *cobra.Command {
	f := new(environmentFlags)
	cmd := &cobra.Command{
		Use: "set TENANT-NAME", Short: "Change an environment", Args: cobra.ExactArgs(1), ValidArgsFunction: completeEnvironments,
		Long:    "Changes what the flags name, and leaves the rest of the environment as it is.",
		Example: "  appliance env set press-prod --quota cpu=16 --approvals 2",
	}
	f.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := openPlatform()
		if err != nil {
			return err
		}
		var e v1alpha1.Environment
		if err := c.Get(cmd.Context(), client.ObjectKey{Name: args[0]}, &e); err != nil {
			return explainAPI(err)
		}
		if err := f.apply(cmd, &e); err != nil {
			return err
		}
		if err := c.Update(cmd.Context(), &e); err != nil {
			return explainAPI(err)
		}
		return env.Print(*f.format, viewEnvironment(e), func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "environment %s is changed\n", e.Name)
			return err
		})
	}
	return cmd
}

// environmentView is the JSON form of an environment, with the rules that hold in it.
type environmentView struct {
	Name        string            `json:"name"`
	Tenant      string            `json:"tenant"`
	Class       v1alpha1.Class    `json:"class"`
	Order       int32             `json:"order"`
	Domain      string            `json:"domain,omitempty"`
	Quota       map[string]string `json:"quota"`
	NodePool    string            `json:"nodePool,omitempty"`
	MinReplicas int32             `json:"minReplicas"`
	Approvals   int32             `json:"approvals"`
	Exec        v1alpha1.Exec     `json:"exec"`
	Ready       bool              `json:"ready"`
	Why         string            `json:"why,omitempty"` // it is not ready
}

func viewEnvironment(e v1alpha1.Environment) environmentView {
	ready, why := readiness(e.Status.Conditions)
	r := e.Rules()
	return environmentView{
		Name: e.Name, Tenant: e.Spec.Tenant, Class: e.Spec.Class, Order: r.Order, Domain: e.Status.Domain, Quota: amounts(e.Spec.Quota), NodePool: e.Spec.NodePool,
		MinReplicas: r.MinReplicas, Approvals: r.Approvals, Exec: r.Exec, Ready: ready, Why: why,
	}
}

// environments lists those of a tenant, or all, in the order in which releases are promoted.
func environments(ctx context.Context, c client.Client, tenant string) ([]environmentView, error) {
	var list v1alpha1.EnvironmentList
	if err := c.List(ctx, &list); err != nil {
		return nil, explainAPI(err)
	}
	out := []environmentView{}
	for _, e := range list.Items {
		if tenant == "" || e.Spec.Tenant == tenant {
			out = append(out, viewEnvironment(e))
		}
	}
	slices.SortFunc(out, func(a, b environmentView) int {
		return cmp.Or(strings.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Order, b.Order), strings.Compare(a.Name, b.Name))
	})
	return out, nil
}

func newEnvironmentListCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [TENANT]", Short: "List the environments, in the order of promotion", Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeTenants,
		Long:    "Lists the environments of a tenant, or of all, with the rules that hold in each.",
		Example: "  appliance env list\n  appliance env list press -o json",
	}
	return listing(env, cmd, environments, printEnvironments)
}

func printEnvironments(out io.Writer, list []environmentView) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ENVIRONMENT\tCLASS\tREPLICAS\tAPPROVALS\tSHELL\tQUOTA\tDOMAIN\tSTATE")
	for _, e := range list {
		fmt.Fprintf(w, "%s\t%s\tat least %d\t%d\t%s\t%s\t%s\t%s\n", e.Name, e.Class, e.MinReplicas, e.Approvals, strings.ToLower(string(e.Exec)),
			shares(e.Quota, nil), e.Domain, stateOf(e.Ready, e.Why))
	}
	return w.Flush()
}

func newEnvironmentRemoveCommand(env *Env) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "remove TENANT-NAME", Short: "Remove an environment with everything in it", Args: cobra.ExactArgs(1), ValidArgsFunction: completeEnvironments,
		Long: `Removes an environment: its namespace, its applications and their volumes. Without --yes it says what is there and asks for
the environment's name.`,
		Example: "  appliance env remove press-dev",
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return removeEnvironment(cmd.Context(), env, args[0], yes)
	}
	return cmd
}

func removeEnvironment(ctx context.Context, env *Env, name string, yes bool) error {
	c, err := openPlatform()
	if err != nil {
		return err
	}
	var e v1alpha1.Environment
	if err := c.Get(ctx, client.ObjectKey{Name: name}, &e); err != nil {
		return explainAPI(err)
	}
	var pods corev1.PodList
	var volumes corev1.PersistentVolumeClaimList
	for _, list := range []client.ObjectList{&pods, &volumes} {
		if err := c.List(ctx, list, client.InNamespace(name)); err != nil {
			return explainAPI(err)
		}
	}
	lost := fmt.Sprintf("%s is of class %s: %d pods will end, and what is in its %d volumes is lost.", name, e.Spec.Class, len(pods.Items), len(volumes.Items))
	if err := askName(ctx, env, yes, name, lost); err != nil {
		return err
	}
	if err := c.Delete(ctx, &e); err != nil {
		return explainAPI(err)
	}
	_, err = fmt.Fprintf(env.Stdio.Out, "environment %s is removed\n", name)
	return err
}

// completeEnvironments offers the names of the environments.
func completeEnvironments(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	if c, err := openPlatform(); err == nil && len(args) == 0 {
		list, _ := environments(cmd.Context(), c, "") // no API: nothing to offer
		for _, e := range list {
			names = append(names, cobra.CompletionWithDesc(e.Name, string(e.Class)))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
