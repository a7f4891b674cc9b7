package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"islet/appliance/kube/client"
	"islet/appliance/paas/v1alpha1"
)

type appLogsFlags struct {
	component, file string
	lines           int
	follow          bool
}

func newAppLogsCommand(env *Env) *cobra.Command {
	f := new(appLogsFlags)
	cmd := &cobra.Command{
		Use: "logs TENANT-NAME APPLICATION", Short: "Print what an application says", Args: cobra.ExactArgs(2), ValidArgsFunction: completeApps,
		Long: `Prints the last lines of all pods of an application, each line after its pod's name. --file prints a file that the application logs to,
one of its logFiles; the image must have the program tail for that.`,
		Example: `  appliance app logs press-dev hello
  appliance app logs press-dev shop --component web --lines 1000 --follow
  appliance app logs press-dev shop --component api --file /var/log/api.log`,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.component, "component", "", "`COMPONENT` to print (default: all)")
	flags.StringVar(&f.file, "file", "", "`PATH` in the container, of one of the logFiles")
	flags.IntVar(&f.lines, "lines", 100, "`NUMBER` of lines of each pod")
	flags.BoolVarP(&f.follow, "follow", "f", false, "go on with what is written, until Ctrl-C")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, a, err := openApp(cmd.Context(), args[0], args[1])
		if err != nil {
			return err
		}
		if f.component != "" && !slices.Contains(componentNames(&a), f.component) {
			return Exit(CodeNoObject, fmt.Errorf("%s has no component %s, but %s", a.Name, f.component, strings.Join(componentNames(&a), ", ")))
		}
		if f.file != "" {
			return f.printFile(cmd.Context(), env, c, &a)
		}
		selector := v1alpha1.LabelApplication + "=" + a.Name
		if f.component != "" {
			selector += "," + v1alpha1.LabelComponent + "=" + f.component
		}
		line := []string{"logs", "-n", a.Namespace, "-l", selector, "--prefix", fmt.Sprintf("--tail=%d", f.lines), "--max-log-requests=100"}
		if f.follow {
			line = append(line, "--follow")
		}
		return env.kubectl(cmd.Context(), line)
	}
	return cmd
}

// printFile prints the end of a log file of one pod.
func (f *appLogsFlags) printFile(ctx context.Context, env *Env, c client.Client, a *v1alpha1.Application) error {
	i := slices.IndexFunc(a.Spec.Components, func(c v1alpha1.Component) bool {
		return (f.component == "" || c.Name == f.component) && slices.Contains(c.LogFiles, f.file)
	})
	if i < 0 {
		return Exit(CodeNoObject, Advise(fmt.Errorf("%s is none of the logFiles of %s", f.file, a.Name), "name it in the component's logFiles"))
	}
	pod, err := runningPod(ctx, c, a, a.Spec.Components[i].Name)
	if err != nil {
		return err
	}
	line := []string{"exec", "-n", a.Namespace, pod, "--", "tail", "-n", fmt.Sprint(f.lines)}
	if f.follow {
		line = append(line, "-f")
	}
	return env.kubectl(ctx, append(line, f.file))
}

// runningPod is the name of a pod of a component in which a program can be run.
func runningPod(ctx context.Context, c client.Client, a *v1alpha1.Application, component string) (string, error) {
	var pods corev1.PodList
	if err := c.List(ctx, &pods, client.InNamespace(a.Namespace), client.WithLabel(v1alpha1.LabelApplication, a.Name)); err != nil {
		return "", explainAPI(err)
	}
	for _, p := range pods.Items {
		if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil && (component == "" || p.Labels[v1alpha1.LabelComponent] == component) {
			return p.Name, nil
		}
	}
	return "", Exit(CodeNotPossible, Advise(fmt.Errorf("no pod of %s runs", a.Name), "see `appliance app show "+a.Namespace+" "+a.Name+"`"))
}

func newAppExecCommand(env *Env) *cobra.Command {
	var component string
	cmd := &cobra.Command{
		Use: "exec TENANT-NAME APPLICATION -- COMMAND [ARGUMENT...]", Short: "Run a program in a container of an application", Args: cobra.MinimumNArgs(3), ValidArgsFunction: completeApps,
		Long: `Runs a program in the container of a pod that runs, with this terminal. The environment's class may refuse that: in prod it does, unless
the environment says otherwise.`,
		Example: "  appliance app exec press-dev hello -- /hello fetch http://127.0.0.1:8080/\n  appliance app exec press-dev shop --component web -- sh",
	}
	cmd.Flags().StringVar(&component, "component", "", "`COMPONENT` to run it in (default: any)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, a, err := openApp(cmd.Context(), args[0], args[1])
		if err != nil {
			return err
		}
		var e v1alpha1.Environment
		if err := c.Get(cmd.Context(), client.ObjectKey{Name: args[0]}, &e); err != nil {
			return explainAPI(err)
		}
		if e.Rules().Exec == v1alpha1.ExecRefused {
			return Exit(CodeRefused, Advise(fmt.Errorf("environment %s is of class %s: nobody runs programs in its containers", e.Name, e.Spec.Class),
				"appliance env set "+e.Name+" --exec Allowed changes that"))
		}
		pod, err := runningPod(cmd.Context(), c, &a, component)
		if err != nil {
			return err
		}
		line := []string{"exec", "-n", a.Namespace, "-i"}
		if _, ok := terminal(env); ok {
			line = append(line, "-t")
		}
		return env.kubectl(cmd.Context(), append(append(line, pod, "--"), args[2:]...))
	}
	return cmd
}

func newAppRemoveCommand(env *Env) *cobra.Command {
	var yes, volumes bool
	cmd := &cobra.Command{
		Use: "remove TENANT-NAME APPLICATION", Short: "Remove an application", Args: cobra.ExactArgs(2), ValidArgsFunction: completeApps,
		Long:    "Ends and removes all of an application but its volumes, which --volumes removes too. Without --yes it asks for the application's name.",
		Example: "  appliance app remove press-dev hello\n  appliance app remove press-dev hello --volumes",
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&volumes, "volumes", false, "remove its volumes, with what is in them")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, a, err := openApp(cmd.Context(), args[0], args[1])
		if err != nil {
			return err
		}
		return removeApp(cmd.Context(), env, c, &a, yes, volumes)
	}
	return cmd
}

func removeApp(ctx context.Context, env *Env, c client.Client, a *v1alpha1.Application, yes, volumes bool) error {
	var claims corev1.PersistentVolumeClaimList
	if err := c.List(ctx, &claims, client.InNamespace(a.Namespace), client.WithLabel(v1alpha1.LabelApplication, a.Name)); err != nil {
		return explainAPI(err)
	}
	lost := fmt.Sprintf("This ends %s in %s; its %d volumes stay.", a.Name, a.Namespace, len(claims.Items))
	if volumes {
		lost = fmt.Sprintf("This ends %s in %s, and what is in its %d volumes is lost.", a.Name, a.Namespace, len(claims.Items))
	}
	if err := askName(ctx, env, yes, a.Name, lost); err != nil {
		return err
	}
	if err := c.Delete(ctx, a); err != nil {
		return explainAPI(err)
	}
	var errs []error
	for i := range claims.Items {
		if volumes {
			errs = append(errs, client.IgnoreNotFound(c.Delete(ctx, &claims.Items[i])))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return explainAPI(err)
	}
	_, err := fmt.Fprintf(env.Stdio.Out, "application %s is removed from %s\n", a.Name, a.Namespace)
	return err
}
