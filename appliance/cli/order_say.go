package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"islet/appliance/kube/client"
	"islet/appliance/paas/v1alpha1"
)

// orderChange is a command by which somebody says something to an order.
type orderChange struct {
	use, short, long, example string
	comment                   bool
	before                    bool // it has begun
	// change is made in the name of who says it.
	change func(o *v1alpha1.ReleaseOrder, by v1alpha1.Opinion)
	done   string
}

func (s orderChange) command(env *Env) *cobra.Command {
	cmd := &cobra.Command{Use: s.use, Short: s.short, Long: s.long, Example: s.example, Args: cobra.ExactArgs(2), ValidArgsFunction: completeOrders}
	comment := new(string)
	if s.comment {
		comment = cmd.Flags().String("comment", "", "`TEXT` that stays with it")
	}
	as, format := asFlag(cmd), AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o, err := s.say(cmd.Context(), args, *as, *comment)
		if err != nil {
			return err
		}
		return env.Print(*format, viewOrder(o), func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "order %s %s\n", o.Name, s.done)
			return err
		})
	}
	return cmd
}

func (s orderChange) say(ctx context.Context, args []string, as, comment string) (o v1alpha1.ReleaseOrder, err error) {
	c, err := openPlatformAs(as)
	if err != nil {
		return o, err
	}
	if err := c.Get(ctx, client.ObjectKey{Namespace: args[0], Name: args[1]}, &o); err != nil {
		return o, explainAPI(err)
	}
	if o.Status.Phase.Ended() {
		return o, Exit(CodeNotPossible, fmt.Errorf("order %s is %s: nothing more becomes of it", o.Name, o.Status.Phase))
	}
	if s.before && o.Status.Phase.Active() {
		return o, Exit(CodeNotPossible, Advise(fmt.Errorf("order %s has begun: it is %s", o.Name, o.Status.Phase), "appliance order rollback undoes it"))
	}
	who, err := whoAmI(ctx, c)
	if err != nil {
		return o, err
	}
	s.change(&o, v1alpha1.Opinion{By: who, Comment: comment})
	return o, explainAPI(c.Update(ctx, &o))
}

func newOrderApproveCommand(env *Env) *cobra.Command {
	return orderChange{
		use: "approve TENANT-NAME ORDER", short: "Approve a release order", comment: true, done: "is approved",
		long: `Approves an order, in the name of whoever runs the command or of --as. Who has made it cannot approve it, and nobody can in the name of
somebody else, also by plain kubectl. Owners of the tenant may, and the site's administrator.`,
		example: "  appliance order approve press-prod hello-1.1-1 --as ann --comment \"seen in test\"",
		change: func(o *v1alpha1.ReleaseOrder, by v1alpha1.Opinion) {
			for _, a := range o.Spec.Approvals {
				if a.By == by.By {
					return
				}
			}
			o.Spec.Approvals = append(o.Spec.Approvals, by)
		},
	}.command(env)
}

func newOrderRefuseCommand(env *Env) *cobra.Command {
	return orderChange{
		use: "refuse TENANT-NAME ORDER", short: "Refuse a release order that has not begun", comment: true, before: true, done: "is refused",
		long:    "Refuses an order, for good. One that has begun is undone by `appliance order rollback`.",
		example: "  appliance order refuse press-prod hello-1.1-1 --as ann --comment \"not before the holidays\"",
		change:  func(o *v1alpha1.ReleaseOrder, by v1alpha1.Opinion) { o.Spec.Refusal = &by },
	}.command(env)
}

func newOrderPauseCommand(env *Env) *cobra.Command {
	return orderChange{
		use: "pause TENANT-NAME ORDER", short: "Hold a release order up where it is", done: "is paused",
		long:    "Holds an order up. Of a rollout that has begun, the pods that are new stay so, and the others stay as they were.",
		example: "  appliance order pause press-prod hello-1.1-1",
		change:  func(o *v1alpha1.ReleaseOrder, _ v1alpha1.Opinion) { o.Spec.Paused = true },
	}.command(env)
}

func newOrderResumeCommand(env *Env) *cobra.Command {
	return orderChange{
		use: "resume TENANT-NAME ORDER", short: "Let a release order that was paused go on", done: "goes on",
		long:    "Lets an order that was paused go on from where it is.",
		example: "  appliance order resume press-prod hello-1.1-1",
		change:  func(o *v1alpha1.ReleaseOrder, _ v1alpha1.Opinion) { o.Spec.Paused = false },
	}.command(env)
}

func newOrderAbandonCommand(env *Env) *cobra.Command {
	return orderChange{
		use: "abandon TENANT-NAME ORDER", short: "Give a release order up", done: "is abandoned",
		long:    "Ends an order for good. One that is being carried out goes back to what was there before.",
		example: "  appliance order abandon press-prod hello-1.1-1",
		change:  func(o *v1alpha1.ReleaseOrder, _ v1alpha1.Opinion) { o.Spec.Abandoned = true },
	}.command(env)
}
