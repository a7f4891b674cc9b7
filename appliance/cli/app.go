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

	"islet/appliance/kube/client"
	"islet/appliance/paas/v1alpha1"
)

func newAppCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "app", Aliases: []string{"application"}, Short: "Run applications in the environments of tenants, and look after them", GroupID: groupPaaS,
		Long: `An application is what runs in an environment: components by image digest, how they are reached, and what they keep. The
platform makes Deployments, StatefulSets, Services and routes of it, keeps to the rules of the environment's class, and says in one
sentence what is wrong. The same kind can be had by kubectl: applications.islet.dev, or app. Run on a server.`,
		Example: `  appliance app apply -f hello.yaml
  appliance app list press-dev
  appliance app show press-dev hello
  appliance app scale press-dev hello 3
  appliance app logs press-dev hello --follow`,
	}
	cmd.AddCommand(newAppListCommand(env), newAppShowCommand(env), newAppApplyCommand(env), newAppStartCommand(env), newAppStopCommand(env),
		newAppRestartCommand(env), newAppScaleCommand(env), newAppLogsCommand(env), newAppExecCommand(env), newAppRemoveCommand(env))
	return cmd
}

// appView is the JSON form of an application.
type appView struct {
	Environment string                     `json:"environment"`
	Name        string                     `json:"name"`
	State       v1alpha1.State             `json:"state"`
	Reason      string                     `json:"reason,omitempty"`  // the one cause, in a word
	Message     string                     `json:"message,omitempty"` // the same for people
	Ready       string                     `json:"ready"`             // how many of the wanted replicas
	Release     string                     `json:"release,omitempty"`
	URLs        []string                   `json:"urls"`
	Components  []v1alpha1.ComponentStatus `json:"components"`
	Objects     []string                   `json:"objects"` // that were made for it, as KIND/NAME
	Beside      *besideView                `json:"beside,omitempty"`
}

// besideView is the JSON form of a release that runs beside an application.
type besideView struct {
	Release string `json:"release,omitempty"`
	Weight  int32  `json:"weight"` // of 100 requests from outside
	v1alpha1.BesideStatus
}

func viewApp(a v1alpha1.Application) appView {
	s := a.Status
	v := appView{Environment: a.Namespace, Name: a.Name, State: s.State, Reason: s.Reason, Message: s.Message, Ready: s.Ready, Release: a.Spec.Release,
		URLs: append([]string{}, s.URLs...), Components: append([]v1alpha1.ComponentStatus{}, s.Components...), Objects: append([]string{}, s.Objects...)}
	if s.ObservedGeneration < a.Generation {
		v.State, v.Reason, v.Message = v1alpha1.StateProgressing, "NotSeen", "the controller has not looked at it yet"
	}
	if b := a.Spec.Beside; b != nil && s.Beside != nil {
		v.Beside = &besideView{b.Release, b.Weight, *s.Beside}
	}
	return v
}

func apps(ctx context.Context, c client.Client, environment string) ([]appView, error) {
	var list v1alpha1.ApplicationList
	var in []client.ListOption
	if environment != "" {
		in = append(in, client.InNamespace(environment))
	}
	if err := c.List(ctx, &list, in...); err != nil {
		return nil, explainAPI(err)
	}
	out := []appView{}
	for _, a := range list.Items {
		out = append(out, viewApp(a))
	}
	slices.SortFunc(out, func(a, b appView) int {
		return cmp.Or(strings.Compare(a.Environment, b.Environment), strings.Compare(a.Name, b.Name))
	})
	return out, nil
}

func newAppListCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [TENANT-NAME]", Short: "List the applications of an environment, or of all", Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeEnvironments,
		Long:    "Lists the applications with their state and, where they are not ready, the cause.",
		Example: "  appliance app list\n  appliance app list press-prod -o json | jq '.[] | select(.state != \"Ready\")'",
	}
	return listing(env, cmd, apps, printApps)
}

func printApps(out io.Writer, list []appView) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ENVIRONMENT\tAPPLICATION\tSTATE\tREADY\tRELEASE\tWHY")
	for _, a := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", a.Environment, a.Name, a.State, a.Ready, cmp.Or(a.Release, "-"), a.Message)
	}
	return w.Flush()
}

func newAppShowCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show TENANT-NAME APPLICATION", Short: "Show an application: its components, where it is reached, and what is wrong", Args: cobra.ExactArgs(2), ValidArgsFunction: completeApps,
		Long:    "Shows the state of an application with its one cause, its components with their images, its names for browsers, and the Kubernetes objects that it consists of.",
		Example: "  appliance app show press-dev hello\n  appliance app show press-dev hello -o json | jq -r .message",
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		_, a, err := openApp(cmd.Context(), args[0], args[1])
		if err != nil {
			return err
		}
		v := viewApp(a)
		return env.Print(*format, v, func(w io.Writer) error { return printApp(w, v) })
	}
	return cmd
}

// openApp gets an application and the access to change it.
func openApp(ctx context.Context, environment, name string) (client.Client, v1alpha1.Application, error) {
	var a v1alpha1.Application
	c, err := openPlatform()
	if err != nil {
		return nil, a, err
	}
	return c, a, explainAPI(c.Get(ctx, client.ObjectKey{Namespace: environment, Name: name}, &a))
}

func printApp(out io.Writer, a appView) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "%s in %s is %s\n", a.Name, a.Environment, strings.ToUpper(string(a.State)))
	if a.Message != "" {
		fmt.Fprintf(w, "why:\t%s\n", a.Message)
	}
	fmt.Fprintf(w, "release:\t%s\nready:\t%s\n", cmp.Or(a.Release, "none: it was applied as it is"), a.Ready)
	if b := a.Beside; b != nil {
		fmt.Fprintf(w, "beside it:\t%s, %s, %s ready, gets %d of 100 requests  %s\n", cmp.Or(b.Release, "another release"), b.State, b.BesideStatus.Ready, b.Weight, b.Message)
	}
	for _, u := range a.URLs {
		fmt.Fprintf(w, "reached at:\t%s\n", u)
	}
	fmt.Fprintf(w, "consists of:\t%s\n\nCOMPONENT\tREADY\tNEW\tIMAGE\n", strings.Join(a.Objects, ", "))
	for _, c := range a.Components {
		fmt.Fprintf(w, "%s\t%d of %d\t%d\t%s\n", c.Name, c.Ready, c.Wanted, c.Updated, c.Image)
	}
	return w.Flush()
}

// completeApps offers environments, and then the applications in the one that was given.
func completeApps(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return completeEnvironments(cmd, args, typed)
	}
	var names []cobra.Completion
	if c, err := openPlatform(); err == nil && len(args) == 1 {
		list, _ := apps(cmd.Context(), c, args[0]) // no API: nothing to offer
		for _, a := range list {
			names = append(names, cobra.CompletionWithDesc(a.Name, string(a.State)))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
