package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"islet/appliance/kube/client"
	"islet/appliance/paas/v1alpha1"
)

func newServiceRemoveCommand(env *Env) *cobra.Command {
	var yes, data bool
	cmd := &cobra.Command{
		Use: "remove TENANT-NAME SERVICE", Short: "Remove a service", Args: cobra.ExactArgs(2), ValidArgsFunction: completeServices,
		Long: `Ends and removes a service and its password. Its volume stays, and a service of the same name and class finds what was in it; --delete-data
removes the volume too. A service that has bindings is not removed. Without --yes it asks for the service's name.`,
		Example: "  appliance service remove press-dev cache\n  appliance service remove press-dev cache --delete-data",
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&data, "delete-data", false, "remove its volume, with what is in it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, i, v, err := openService(cmd.Context(), args[0], args[1])
		if err != nil {
			return err
		}
		if len(v.Bindings) > 0 {
			return Exit(CodeNotPossible, Advise(fmt.Errorf("%s is bound: %s", v.Name, strings.Join(bindingNames(v), ", ")),
				"remove the bindings first: appliance service unbind "+v.Environment+" "+v.Bindings[0].Name))
		}
		return removeService(cmd.Context(), env, c, &i, yes, data)
	}
	return cmd
}

func bindingNames(v serviceView) []string {
	var out []string
	for _, b := range v.Bindings {
		out = append(out, b.Name)
	}
	return out
}

func removeService(ctx context.Context, env *Env, c client.Client, i *v1alpha1.ServiceInstance, yes, data bool) error {
	var claims corev1.PersistentVolumeClaimList
	if err := c.List(ctx, &claims, client.InNamespace(i.Namespace), client.WithLabel(v1alpha1.LabelService, i.Name)); err != nil {
		return explainAPI(err)
	}
	lost := fmt.Sprintf("This ends %s in %s; its volume stays.", i.Name, i.Namespace)
	if data {
		lost = fmt.Sprintf("This ends %s in %s, and all that is in it is lost.", i.Name, i.Namespace)
	}
	if err := askName(ctx, env, yes, i.Name, lost); err != nil {
		return err
	}
	if err := c.Delete(ctx, i); err != nil {
		return explainAPI(err)
	}
	var errs []error
	for n := range claims.Items {
		if data {
			errs = append(errs, client.IgnoreNotFound(c.Delete(ctx, &claims.Items[n])))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return explainAPI(err)
	}
	_, err := fmt.Fprintf(env.Stdio.Out, "service %s is removed from %s\n", i.Name, i.Namespace)
	return err
}
