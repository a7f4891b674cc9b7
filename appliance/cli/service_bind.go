package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/kube/client"
	"islet/appliance/paas/v1alpha1"
)

func newServiceBindCommand(env *Env) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "bind TENANT-NAME SERVICE", Short: "Make a Secret by which applications log in to a service", Args: cobra.ExactArgs(2), ValidArgsFunction: completeServices,
		Long: `Makes a binding: a Secret of the same name in the environment with the keys host, port, user, password, database where there are any, and
uri. An application takes single values by env (valueFrom: secretKeyRef), or all of them as files by a volume (secret: NAME).`,
		Example: "  appliance service bind press-dev cache\n  appliance service bind press-dev cache --name shop-cache --wait 30s",
	}
	cmd.Flags().StringVar(&name, "name", "", "`NAME` of the binding and its Secret (default: SERVICE-binding)")
	wait, format := waitFlag(cmd), AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		v, err := bindService(cmd.Context(), args[0], args[1], cmp.Or(name, args[1]+"-binding"), *wait)
		if err != nil {
			return err
		}
		return env.Print(*format, v, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "binding %s is made: applications in %s log in by the Secret of that name\n", v.Name, args[0])
			return err
		})
	}
	return cmd
}

func bindService(ctx context.Context, environment, service, name string, wait time.Duration) (bindingView, error) {
	c, _, _, err := openService(ctx, environment, service)
	if err != nil {
		return bindingView{}, err
	}
	b := v1alpha1.ServiceBinding{}
	b.Namespace, b.Name, b.Spec.Instance = environment, name, service
	if err := c.Create(ctx, &b); err != nil {
		return bindingView{}, explainAPI(err)
	}
	for deadline := time.Now().Add(wait); wait > 0 && b.Status.State != v1alpha1.StateReady; {
		if time.Now().After(deadline) {
			return viewBinding(b), Exit(CodeTimeout, fmt.Errorf("binding %s in %s is not ready after %s: %s", name, environment, wait, b.Status.Message))
		}
		if err := pause(ctx, waitInterval); err != nil {
			return bindingView{}, err
		}
		if err := c.Get(ctx, client.ObjectKeyFromObject(&b), &b); err != nil {
			return bindingView{}, explainAPI(err)
		}
	}
	return viewBinding(b), nil
}

func newServiceUnbindCommand(env *Env) *cobra.Command {
	return &cobra.Command{
		Use: "unbind TENANT-NAME BINDING", Short: "Remove a binding and its Secret", Args: cobra.ExactArgs(2), ValidArgsFunction: completeBindings,
		Long:    "Removes a binding with its Secret. Applications that have read the Secret still know the password, which is the service's.",
		Example: "  appliance service unbind press-dev cache-binding",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := openPlatform()
			if err != nil {
				return err
			}
			var b v1alpha1.ServiceBinding
			b.Namespace, b.Name = args[0], args[1]
			if err := c.Delete(cmd.Context(), &b); err != nil {
				return explainAPI(err)
			}
			_, err = fmt.Fprintf(env.Stdio.Out, "binding %s is removed from %s\n", b.Name, b.Namespace)
			return err
		},
	}
}

// completeBindings offers environments, and then the bindings in the one that was given.
func completeBindings(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return completeEnvironments(cmd, args, typed)
	}
	var names []cobra.Completion
	if c, err := openPlatform(); err == nil && len(args) == 1 {
		list, _ := services(cmd.Context(), c, args[0]) // no API: nothing to offer
		for _, s := range list {
			for _, b := range s.Bindings {
				names = append(names, cobra.CompletionWithDesc(b.Name, s.Name))
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
