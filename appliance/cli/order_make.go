package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"islet/appliance/kube/client"
	"islet/appliance/paas/v1alpha1"
)

type orderFlags struct {
	start           string
	verify, timeout time.Duration
	maxErrors       int32
	strategy        strategyFlags
	wait            *time.Duration
	as              *string
	format          *Format
}

func (f *orderFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.start, "start", "", "earliest `TIME` to begin, as 2026-11-22T22:00:00Z (default: as soon as it may)")
	flags.DurationVar(&f.verify, "verify", 0, "`TIME` that the application must be well for (default: 10s)")
	flags.DurationVar(&f.timeout, "timeout", 0, "`TIME` that the rollout may take before it goes back (default: 10m)")
	flags.Int32Var(&f.maxErrors, "max-errors", -1, "`PERCENT` of the new release's answers through the gateway that may be errors (default: they are not counted)")
	f.strategy.add(cmd)
	f.wait, f.as, f.format = waitFlag(cmd), asFlag(cmd), AddFormatFlag(cmd)
}

func (f *orderFlags) apply(spec *v1alpha1.OrderSpec) error {
	spec.VerifySeconds, spec.TimeoutSeconds = int32(f.verify/time.Second), int32(f.timeout/time.Second)
	if f.maxErrors > 100 || f.maxErrors < -1 {
		return Exit(CodeUsage, fmt.Errorf("--max-errors %d: want a number from 0 to 100", f.maxErrors))
	}
	if f.maxErrors >= 0 {
		spec.MaxErrorPercent = &f.maxErrors
	}
	var err error
	if spec.Strategy, err = f.strategy.strategy(); err != nil {
		return Exit(CodeUsage, err)
	}
	if f.start == "" {
		return nil
	}
	at, err := time.Parse(time.RFC3339, f.start)
	if err != nil {
		return Exit(CodeUsage, fmt.Errorf("--start %s: want a time such as 2026-11-22T22:00:00Z", f.start))
	}
	start := metav1.NewTime(at)
	spec.Start = &start
	return nil
}

func newOrderCreateCommand(env *Env) *cobra.Command {
	f := new(orderFlags)
	cmd := &cobra.Command{
		Use: "create TENANT-NAME RELEASE", Short: "Order a release for an environment", Args: cobra.ExactArgs(2), ValidArgsFunction: completeReleases,
		Long: `Makes a release order. In the first environment of a tenant's line the release must be there; in the others it must have been rolled out
in the one before, for as long as the environment asks, and comes from there as it is. It is called RELEASE-NUMBER.

With --strategy rolling pods are replaced one after the other. With blue-green all of the new release is started beside the old one, and
is sent all requests at once when it is ready. With ab it is sent a part of them first, and who sends a header or a cookie gets to it in
any case. In both the old release is kept for a while, and whatever is not well goes back to it.`,
		Example: `  appliance order create press-dev hello-1.1 --wait 5m
  appliance order create press-prod hello-1.1 --as bob --start 2026-11-22T22:00:00Z --verify 5m
  appliance order create press-prod hello-1.1 --strategy blue-green --keep 10m
  appliance order create press-prod hello-1.1 --strategy ab --step 10:5m --step 50:10m --header X-Try=new`,
	}
	f.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := openPlatformAs(*f.as)
		if err != nil {
			return err
		}
		spec := v1alpha1.OrderSpec{Release: args[1]}
		if spec.Application, err = releasedOf(cmd.Context(), args[0], args[1]); err != nil {
			return err
		}
		return makeOrder(cmd.Context(), env, c, f, args[0], spec)
	}
	return cmd
}

// releasedOf finds the application of a release, here or in any environment of the same tenant.
func releasedOf(ctx context.Context, environment, release string) (string, error) {
	c, err := openPlatform()
	if err != nil {
		return "", err
	}
	var e v1alpha1.Environment
	if err := c.Get(ctx, client.ObjectKey{Name: environment}, &e); err != nil {
		return "", explainAPI(err)
	}
	list, err := releases(ctx, c, "")
	if err != nil {
		return "", err
	}
	for _, r := range list {
		if r.Name == release && (r.Environment == environment || strings.HasPrefix(r.Environment, e.Spec.Tenant+"-")) {
			return r.Application, nil
		}
	}
	return "", Exit(CodeNoObject, Advise(fmt.Errorf("tenant %s has no release %s", e.Spec.Tenant, release), "see `appliance release list`; `appliance release create` makes one"))
}

// whoAmI is the user that the API takes the client for: an order says who makes it.
func whoAmI(ctx context.Context, c client.Client) (string, error) {
	review := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}}
	if err := c.Create(ctx, review); err != nil {
		return "", explainAPI(err)
	}
	name, _, err := unstructured.NestedString(review.Object, "status", "userInfo", "username")
	return name, err
}

func makeOrder(ctx context.Context, env *Env, c client.Client, f *orderFlags, environment string, spec v1alpha1.OrderSpec) error {
	if err := f.apply(&spec); err != nil {
		return err
	}
	var err error
	if spec.Author, err = whoAmI(ctx, c); err != nil {
		return err
	}
	spec.Approvals = []v1alpha1.Opinion{}
	o, err := createOrder(ctx, c, environment, spec)
	if err != nil {
		return err
	}
	if *f.wait > 0 {
		if o, err = waitOrder(ctx, c, client.ObjectKeyFromObject(&o), *f.wait); err != nil {
			return err
		}
	}
	return env.Print(*f.format, viewOrder(o), func(w io.Writer) error {
		if *f.wait > 0 {
			return printOrder(w, viewOrder(o))
		}
		_, err := fmt.Fprintf(w, "order %s is made; `appliance order show %s %s --wait 10m` follows it\n", o.Name, environment, o.Name)
		return err
	})
}

// createOrder takes the first number that is free.
func createOrder(ctx context.Context, c client.Client, environment string, spec v1alpha1.OrderSpec) (v1alpha1.ReleaseOrder, error) {
	const most = 1000
	for n := 1; ; n++ {
		o := v1alpha1.ReleaseOrder{ObjectMeta: metav1.ObjectMeta{Namespace: environment, Name: fmt.Sprintf("%s-%d", spec.Release, n)}, Spec: spec}
		err := c.Create(ctx, &o)
		if !apierrors.IsAlreadyExists(err) || n == most {
			return o, explainAPI(err)
		}
	}
}

func newOrderRollbackCommand(env *Env) *cobra.Command {
	f := new(orderFlags)
	cmd := &cobra.Command{
		Use: "rollback TENANT-NAME ORDER", Short: "Undo a release order", Args: cobra.ExactArgs(2), ValidArgsFunction: completeOrders,
		Long: `Undoes a release order. One that is being carried out is abandoned, and goes back by itself. For one that is done a new order is made,
for the release that was there before: it was approved then, so it needs neither approval nor soak, and no freeze holds it up.`,
		Example: "  appliance order rollback press-prod hello-1.1-1 --wait 5m",
	}
	f.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := openPlatformAs(*f.as)
		if err != nil {
			return err
		}
		var o v1alpha1.ReleaseOrder
		if err := c.Get(cmd.Context(), client.ObjectKey{Namespace: args[0], Name: args[1]}, &o); err != nil {
			return explainAPI(err)
		}
		return rollBackOrder(cmd.Context(), env, c, f, &o)
	}
	return cmd
}

func rollBackOrder(ctx context.Context, env *Env, c client.Client, f *orderFlags, o *v1alpha1.ReleaseOrder) error {
	switch {
	case o.Status.Phase != v1alpha1.PhaseDone && !o.Status.Phase.Ended():
		o.Spec.Abandoned = true
		if err := c.Update(ctx, o); err != nil {
			return explainAPI(err)
		}
		return env.Print(*f.format, viewOrder(*o), func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "order %s is abandoned, and goes back by itself if it has begun\n", o.Name)
			return err
		})
	case o.Status.Phase != v1alpha1.PhaseDone:
		return Exit(CodeNotPossible, fmt.Errorf("order %s is %s: there is nothing to undo", o.Name, o.Status.Phase))
	case o.Status.PreviousRelease == "":
		return Exit(CodeNotPossible, Advise(fmt.Errorf("no release was there before order %s", o.Name), "appliance app stop ends the application"))
	}
	return makeOrder(ctx, env, c, f, o.Namespace, v1alpha1.OrderSpec{Application: o.Spec.Application, Release: o.Status.PreviousRelease, RollbackOf: o.Name})
}
