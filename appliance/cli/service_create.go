package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"

	"islet/appliance/kube/client"
	"islet/appliance/paas/v1alpha1"
)

func newServiceCreateCommand(env *Env) *cobra.Command {
	var plan, size string
	cmd := &cobra.Command{
		Use: "create TENANT-NAME CLASS SERVICE", Short: "Make a service in an environment", Args: cobra.ExactArgs(3), ValidArgsFunction: completeNewService,
		Long: `Makes a service of the catalogue in an environment, by one of its plans. Its volume is kept when it is removed: a service of the same name
and class finds what was in it.`,
		Example: "  appliance service create press-dev redis cache --plan small --wait 2m\n  appliance service create press-dev redis queue --plan large --size 20Gi",
	}
	cmd.Flags().StringVar(&plan, "plan", "", "`PLAN` of the service; it need not be said where there is one only")
	cmd.Flags().StringVar(&size, "size", "", "`AMOUNT` of the volume, such as 20Gi (default: the plan's)")
	complete := func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return plansOf(cmd.Context(), args), cobra.ShellCompDirectiveNoFileComp
	}
	_ = cmd.RegisterFlagCompletionFunc("plan", complete) // fails only for a flag that there is not
	wait, format := waitFlag(cmd), AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		v, err := createService(cmd.Context(), args, plan, size, *wait)
		if err != nil {
			return err
		}
		return env.Print(*format, v, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "service %s is made; `appliance service bind %s %s` lets applications log in\n", v.Name, v.Environment, v.Name)
			return err
		})
	}
	return cmd
}

func createService(ctx context.Context, args []string, plan, size string, wait time.Duration) (serviceView, error) {
	i := v1alpha1.ServiceInstance{}
	i.Namespace, i.Name, i.Spec.Class, i.Spec.Plan = args[0], args[2], args[1], plan
	if size != "" {
		q, err := resource.ParseQuantity(size)
		if err != nil {
			return serviceView{}, Exit(CodeUsage, fmt.Errorf("--size %s: is no amount: want such as 20Gi", size))
		}
		i.Spec.Size = &q
	}
	c, err := openPlatform()
	if err != nil {
		return serviceView{}, err
	}
	var class v1alpha1.ServiceClass
	if err := errors.Join(c.Get(ctx, client.ObjectKey{Name: i.Namespace}, &v1alpha1.Environment{}), c.Get(ctx, client.ObjectKey{Name: i.Spec.Class}, &class)); err != nil {
		return serviceView{}, explainAPI(err)
	}
	if plan == "" && len(class.Spec.Plans) > 1 {
		return serviceView{}, Exit(CodeUsage, Advise(errors.New("by which plan? give --plan"), "see `appliance service classes`"))
	}
	i.Spec.Plan = cmp.Or(plan, class.Spec.Plans[0].Name)
	if err := c.Create(ctx, &i); err != nil {
		return serviceView{}, explainAPI(err)
	}
	if wait > 0 {
		return waitService(ctx, c, client.ObjectKeyFromObject(&i), wait)
	}
	return viewService(i, nil), nil
}

// waitService waits until a service is ready. A cause that waiting does not cure ends it sooner.
func waitService(ctx context.Context, c client.Client, key client.ObjectKey, wait time.Duration) (serviceView, error) {
	deadline := time.Now().Add(wait)
	for {
		v, err := getService(ctx, c, key, new(v1alpha1.ServiceInstance))
		switch {
		case err != nil:
			return v, err
		case v.State == v1alpha1.StateReady:
			return v, nil
		case v.State == v1alpha1.StateDegraded:
			return v, Exit(CodeUnhealthy, fmt.Errorf("%s in %s is degraded: %s", key.Name, key.Namespace, v.Message))
		case time.Now().After(deadline):
			return v, Exit(CodeTimeout, fmt.Errorf("%s in %s is not ready after %s: %s", key.Name, key.Namespace, wait, v.Message))
		}
		if err := pause(ctx, waitInterval); err != nil {
			return v, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// completeNewService offers environments, and then the services of the catalogue.
func completeNewService(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return completeEnvironments(cmd, args, typed)
	}
	var names []cobra.Completion
	if c, err := openPlatform(); err == nil && len(args) == 1 {
		list, _ := serviceClasses(cmd.Context(), c, "") // no API: nothing to offer
		for _, class := range list {
			names = append(names, cobra.CompletionWithDesc(class.Name, class.Title))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// plansOf are those of the class in the arguments of `service create`.
func plansOf(ctx context.Context, args []string) (names []cobra.Completion) {
	c, err := openPlatform()
	if err != nil || len(args) < 2 {
		return nil
	}
	list, _ := serviceClasses(ctx, c, "") // no API: nothing to offer
	i := slices.IndexFunc(list, func(v serviceClassView) bool { return v.Name == args[1] })
	if i < 0 {
		return nil
	}
	for _, p := range list[i].Plans {
		names = append(names, cobra.CompletionWithDesc(p.Name, p.Description))
	}
	return names
}
