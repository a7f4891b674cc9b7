package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/kube/client"
	"islet/appliance/paas/v1alpha1"
)

// appChange is a command that changes one thing of an application.
type appChange struct {
	use, short, long, example string
	args                      int
	// change says in what the change consists; args are those after the application's name.
	change func(a *v1alpha1.Application, args []string) (string, error)
	want   v1alpha1.State // to wait for
}

func (s appChange) command(env *Env) *cobra.Command {
	cmd := &cobra.Command{Use: s.use, Short: s.short, Long: s.long, Example: s.example, Args: cobra.ExactArgs(2 + s.args), ValidArgsFunction: completeApps}
	wait := waitFlag(cmd)
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		v, done, err := s.run(cmd.Context(), args, *wait)
		if err != nil {
			return err
		}
		return env.Print(*format, v, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%s in %s %s\n", v.Name, v.Environment, done)
			return err
		})
	}
	return cmd
}

func (s appChange) run(ctx context.Context, args []string, wait time.Duration) (v appView, done string, err error) {
	c, a, err := openApp(ctx, args[0], args[1])
	if err != nil {
		return v, "", err
	}
	if done, err = s.change(&a, args[2:]); err != nil {
		return v, "", err
	}
	if err := c.Update(ctx, &a); err != nil {
		return v, "", explainAPI(err)
	}
	v = viewApp(a)
	if wait > 0 {
		v, err = waitApp(ctx, c, client.ObjectKeyFromObject(&a), wait, s.want)
	}
	return v, done, err
}

func newAppStartCommand(env *Env) *cobra.Command {
	return appChange{
		use: "start TENANT-NAME APPLICATION", short: "Start an application that was stopped", want: v1alpha1.StateReady,
		long:    "Starts an application that was stopped, with as many replicas as it had.",
		example: "  appliance app start press-dev hello --wait 2m",
		change: func(a *v1alpha1.Application, _ []string) (string, error) {
			a.Spec.Stopped = false
			return "is started", nil
		},
	}.command(env)
}

func newAppStopCommand(env *Env) *cobra.Command {
	return appChange{
		use: "stop TENANT-NAME APPLICATION", short: "Stop an application, and keep all that it has", want: v1alpha1.StateStopped,
		long:    "Ends all pods of an application. Its volumes, names and routes stay; `appliance app start` brings it back.",
		example: "  appliance app stop press-dev hello",
		change: func(a *v1alpha1.Application, _ []string) (string, error) {
			a.Spec.Stopped = true
			return "is stopped", nil
		},
	}.command(env)
}

func newAppRestartCommand(env *Env) *cobra.Command {
	return appChange{
		use: "restart TENANT-NAME APPLICATION", short: "Replace the pods of an application, one after the other", want: v1alpha1.StateReady,
		long:    "Replaces all pods of an application, each when the one before is ready: it goes on answering.",
		example: "  appliance app restart press-prod hello --wait 5m",
		change: func(a *v1alpha1.Application, _ []string) (string, error) {
			if a.Spec.Stopped {
				return "", Exit(CodeNotPossible, Advise(fmt.Errorf("%s is stopped", a.Name), "start it: appliance app start "+a.Namespace+" "+a.Name))
			}
			now := metav1.Now()
			a.Spec.RestartedAt = &now
			return "is being started anew", nil
		},
	}.command(env)
}

func newAppScaleCommand(env *Env) *cobra.Command {
	return appChange{
		use: "scale TENANT-NAME APPLICATION [COMPONENT=]REPLICAS", short: "Change how many replicas a component has", args: 1, want: v1alpha1.StateReady,
		long:    "Changes how many replicas a component has; that of an application with a single one needs no name. The environment's class says how few there may be.",
		example: "  appliance app scale press-dev hello 3\n  appliance app scale press-prod shop web=4 --wait 2m",
		change:  scaleApp,
	}.command(env)
}

func scaleApp(a *v1alpha1.Application, args []string) (string, error) {
	name, number, named := strings.Cut(args[0], "=")
	if !named {
		name, number = a.Spec.Components[0].Name, args[0]
		if len(a.Spec.Components) > 1 {
			return "", Exit(CodeUsage, fmt.Errorf("which component? %s has %s: give COMPONENT=REPLICAS", a.Name, strings.Join(componentNames(a), ", ")))
		}
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n < 1 {
		return "", Exit(CodeUsage, Advise(fmt.Errorf("%s is no number of replicas", number), "give 1 or more; appliance app stop ends all of them"))
	}
	i := slices.Index(componentNames(a), name)
	if i < 0 {
		return "", Exit(CodeNoObject, fmt.Errorf("%s has no component %s, but %s", a.Name, name, strings.Join(componentNames(a), ", ")))
	}
	a.Spec.Components[i].Replicas = new(int32(n))
	return fmt.Sprintf("is to have %d replicas of %s", n, name), nil
}

func componentNames(a *v1alpha1.Application) []string {
	var out []string
	for _, c := range a.Spec.Components {
		out = append(out, c.Name)
	}
	return out
}
