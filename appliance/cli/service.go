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

func newServiceCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "service", Short: "Services of the catalogue, such as PostgreSQL and Redis: make them, bind them to applications, remove them", GroupID: groupPaaS,
		Long: `A service is what applications need and nobody wants to build: it comes from the site's catalogue, runs in an environment, and keeps what
it was given over power cuts. A binding is a Secret by which applications log in; its keys are the same whatever the service: host, port,
user, password, database where there are any, and uri. The same kinds can be had by kubectl: serviceclasses, serviceinstances and
servicebindings of islet.dev. Run on a server.`,
		Example: `  appliance service classes
  appliance service create press-dev redis cache --plan small --wait 2m
  appliance service bind press-dev cache
  appliance service list`,
	}
	cmd.AddCommand(newServiceClassesCommand(env), newServiceCreateCommand(env), newServiceListCommand(env), newServiceShowCommand(env),
		newServiceBindCommand(env), newServiceUnbindCommand(env), newServiceRemoveCommand(env))
	return cmd
}

// serviceClassView is the JSON form of a class of the catalogue.
type serviceClassView struct {
	Name        string            `json:"name"`
	Title       string            `json:"title"`
	Version     string            `json:"version"`
	Description string            `json:"description,omitempty"`
	Plans       []servicePlanView `json:"plans"`
}

// servicePlanView is the JSON form of a plan.
type servicePlanView struct {
	Name        string `json:"name"`
	Replicas    int32  `json:"replicas"`
	Memory      string `json:"memory"`
	CPU         string `json:"cpu"`
	Size        string `json:"size"` // of the volume, where an instance asks for no other
	Description string `json:"description,omitempty"`
}

// serviceView is the JSON form of an instance.
type serviceView struct {
	Environment string         `json:"environment"`
	Name        string         `json:"name"`
	Class       string         `json:"class"`
	Plan        string         `json:"plan"`
	Version     string         `json:"version,omitempty"`
	State       v1alpha1.State `json:"state"`
	Reason      string         `json:"reason,omitempty"`  // the one cause, in a word
	Message     string         `json:"message,omitempty"` // the same for people
	Host        string         `json:"host,omitempty"`    // for the environment's applications
	Port        int32          `json:"port,omitempty"`
	Bindings    []bindingView  `json:"bindings"`
}

// bindingView is the JSON form of a binding.
type bindingView struct {
	Name    string         `json:"name"`
	State   v1alpha1.State `json:"state"`
	Message string         `json:"message,omitempty"`
	Secret  string         `json:"secret,omitempty"` // with the keys host, port, user, password, database and uri
}

func viewService(i v1alpha1.ServiceInstance, bindings []v1alpha1.ServiceBinding) serviceView {
	s := i.Status
	v := serviceView{Environment: i.Namespace, Name: i.Name, Class: i.Spec.Class, Plan: i.Spec.Plan, Version: s.Version, State: s.State, Reason: s.Reason, Message: s.Message,
		Host: s.Host, Port: s.Port, Bindings: []bindingView{}}
	if s.ObservedGeneration < i.Generation {
		v.State, v.Reason, v.Message = v1alpha1.StateProgressing, "NotSeen", "the controller has not looked at it yet"
	}
	for _, b := range bindings {
		if b.Namespace == i.Namespace && b.Spec.Instance == i.Name {
			v.Bindings = append(v.Bindings, viewBinding(b))
		}
	}
	return v
}

func viewBinding(b v1alpha1.ServiceBinding) bindingView {
	return bindingView{Name: b.Name, State: cmp.Or(b.Status.State, v1alpha1.StateProgressing), Message: b.Status.Message, Secret: b.Status.Secret}
}

func serviceClasses(ctx context.Context, c client.Client, _ string) ([]serviceClassView, error) {
	var list v1alpha1.ServiceClassList
	if err := c.List(ctx, &list); err != nil {
		return nil, explainAPI(err)
	}
	out := []serviceClassView{}
	for _, class := range list.Items {
		v := serviceClassView{Name: class.Name, Title: class.Spec.Title, Version: class.Spec.Version, Description: class.Spec.Description}
		for _, p := range class.Spec.Plans {
			v.Plans = append(v.Plans, servicePlanView{Name: p.Name, Replicas: p.Replicas, Memory: p.Memory.String(), CPU: p.CPU.String(), Size: p.Size.String(), Description: p.Description})
		}
		out = append(out, v)
	}
	return out, nil
}

func services(ctx context.Context, c client.Client, environment string) ([]serviceView, error) {
	var list v1alpha1.ServiceInstanceList
	var bindings v1alpha1.ServiceBindingList
	for _, l := range []client.ObjectList{&list, &bindings} {
		if err := c.List(ctx, l, client.InNamespace(environment)); err != nil {
			return nil, explainAPI(err)
		}
	}
	out := []serviceView{}
	for _, i := range list.Items {
		out = append(out, viewService(i, bindings.Items))
	}
	slices.SortFunc(out, func(a, b serviceView) int {
		return cmp.Or(strings.Compare(a.Environment, b.Environment), strings.Compare(a.Name, b.Name))
	})
	return out, nil
}

func newServiceClassesCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "classes", Short: "List what there is to have, with its plans", Args: cobra.NoArgs,
		Long:    "Lists the services of the catalogue, each with the plans by which one can have it.",
		Example: "  appliance service classes\n  appliance service classes -o json | jq -r '.[].plans[].name'",
	}
	return listing(env, cmd, serviceClasses, func(out io.Writer, list []serviceClassView) error {
		w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
		fmt.Fprintln(w, "SERVICE\tVERSION\tPLAN\tREPLICAS\tMEMORY\tVOLUME\tWHAT IT IS")
		for _, c := range list {
			for _, p := range c.Plans {
				fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", c.Name, c.Version, p.Name, p.Replicas, p.Memory, p.Size, p.Description)
			}
		}
		return w.Flush()
	})
}

func newServiceListCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [TENANT-NAME]", Short: "List the services of an environment, or of all", Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeEnvironments,
		Long:    "Lists the services with their state, how many bindings they have and, where they are not ready, the cause.",
		Example: "  appliance service list\n  appliance service list press-dev -o json | jq '.[] | select(.state != \"Ready\")'",
	}
	return listing(env, cmd, services, printServices)
}

func printServices(out io.Writer, list []serviceView) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ENVIRONMENT\tSERVICE\tCLASS\tPLAN\tSTATE\tBINDINGS\tWHY")
	for _, s := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", s.Environment, s.Name, s.Class, s.Plan, s.State, len(s.Bindings), s.Message)
	}
	return w.Flush()
}

func newServiceShowCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show TENANT-NAME SERVICE", Short: "Show a service: where it answers, its bindings, and what is wrong", Args: cobra.ExactArgs(2), ValidArgsFunction: completeServices,
		Long:    "Shows the state of a service with its one cause, where the environment's applications reach it, and the Secrets by which they log in. Passwords are not shown.",
		Example: "  appliance service show press-dev cache\n  appliance service show press-dev cache -o json | jq -r .host",
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		_, _, v, err := openService(cmd.Context(), args[0], args[1])
		if err != nil {
			return err
		}
		return env.Print(*format, v, func(w io.Writer) error { return printService(w, v) })
	}
	return cmd
}

// openService gets an instance, how it looks with its bindings, and the access to change it.
func openService(ctx context.Context, environment, name string) (client.Client, v1alpha1.ServiceInstance, serviceView, error) {
	var i v1alpha1.ServiceInstance
	c, err := openPlatform()
	if err != nil {
		return nil, i, serviceView{}, err
	}
	v, err := getService(ctx, c, client.ObjectKey{Namespace: environment, Name: name}, &i)
	return c, i, v, err
}

func getService(ctx context.Context, c client.Client, key client.ObjectKey, i *v1alpha1.ServiceInstance) (serviceView, error) {
	var bindings v1alpha1.ServiceBindingList
	if err := c.Get(ctx, key, i); err != nil {
		return serviceView{}, explainAPI(err)
	}
	if err := c.List(ctx, &bindings, client.InNamespace(key.Namespace)); err != nil {
		return serviceView{}, explainAPI(err)
	}
	return viewService(*i, bindings.Items), nil
}

func printService(out io.Writer, s serviceView) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "%s in %s is %s\n", s.Name, s.Environment, strings.ToUpper(string(s.State)))
	if s.Message != "" {
		fmt.Fprintf(w, "why:\t%s\n", s.Message)
	}
	fmt.Fprintf(w, "service:\t%s %s, plan %s\n", s.Class, s.Version, s.Plan)
	if s.Host != "" {
		fmt.Fprintf(w, "reached at:\t%s:%d\n", s.Host, s.Port)
	}
	fmt.Fprint(w, "\nBINDING\tSTATE\tSECRET\tWHY\n")
	for _, b := range s.Bindings {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", b.Name, b.State, b.Secret, b.Message)
	}
	return w.Flush()
}

// completeServices offers environments, and then the services in the one that was given.
func completeServices(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return completeEnvironments(cmd, args, typed)
	}
	var names []cobra.Completion
	if c, err := openPlatform(); err == nil && len(args) == 1 {
		list, _ := services(cmd.Context(), c, args[0]) // no API: nothing to offer
		for _, s := range list {
			names = append(names, cobra.CompletionWithDesc(s.Name, s.Class+", "+string(s.State)))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
