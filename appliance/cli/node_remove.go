package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"islet/appliance/config"
	"islet/appliance/host"
	"islet/appliance/join"
	"islet/appliance/kube/client"
	"islet/appliance/server"
)

func newNodeRemoveCommand(env *Env) *cobra.Command {
	f := new(removeFlags)
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Remove a node from the site, and clean its machine", Args: cobra.ExactArgs(1), ValidArgsFunction: completeNodes,
		Long: `Moves the node's pods elsewhere if it can still be reached, takes it out of Kubernetes and lets it have no new
certificates. Its machine then cleans itself as ` + "`appliance reset`" + ` does, local volumes included; one that is off does so when it
is back. --keep-machine leaves it alone.

Without --yes it asks for the node's name. It may be interrupted anywhere: run it again to go on.`,
		Example: "  appliance node remove press2\n  appliance node remove press2 --keep-machine",
	}
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&f.keep, "keep-machine", false, "do not clean the machine: `appliance reset` on it does that later")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), env, args[0]) }
	return cmd
}

type removeFlags struct{ yes, keep bool }

func (f *removeFlags) run(ctx context.Context, env *Env, name string) error {
	site, err := openCluster()
	if err != nil {
		return err
	}
	nodes, err := site.nodes(ctx)
	if err != nil {
		return explainCluster(err)
	}
	i := slices.IndexFunc(nodes, func(n siteNode) bool { return n.Name == name })
	switch {
	case i < 0:
		return Advise(fmt.Errorf("%w: %s", join.ErrNotMember, name), "see `appliance node list`")
	case nodes[i].isApplicant():
		return Advise(fmt.Errorf("%w: %s only asks to become one", join.ErrNotMember, name), "turn it away with `appliance node refuse "+name+"`")
	case nodes[i].Role == config.RoleServer:
		if err := mayRemoveServer(ctx, nodes, name); err != nil {
			return err
		}
	}
	if err := f.confirm(ctx, env, name); err != nil {
		return err
	}
	if nodes[i].State == "ready" {
		if err := env.kubectl(ctx, append([]string{"drain", name}, drainFlags...)); err != nil {
			return Advise(err, "the node is still a member; what keeps its pods is told above. Run the command again to go on")
		}
	}
	if nodes[i].Role == config.RoleServer {
		if err := removeVoter(ctx, name); err != nil {
			return err
		}
	}
	members := server.Members(site.client)
	if err := insist(ctx, func() error { return f.strike(ctx, site, members, name) }); err != nil {
		return explainCluster(err)
	}
	return f.tell(ctx, env, members, nodes[i])
}

// strike takes the node off the site's list, and out of Kubernetes.
func (f *removeFlags) strike(ctx context.Context, site cluster, members join.Members, name string) error {
	var err error
	if f.keep {
		err = members.Remove(ctx, name)
	} else {
		err = members.Dismiss(ctx, name)
	}
	node := &corev1.Node{}
	node.Name = name
	return errors.Join(err, client.IgnoreNotFound(site.client.Delete(ctx, node)))
}

// insistFor is how long a command goes on that is in the middle of something.
const insistFor = 30 * time.Second

// insist repeats what fails: the connection to the API may have been one to the server that has just lost its vote.
func insist(ctx context.Context, do func() error) error {
	for deadline := time.Now().Add(insistFor); ; {
		err := do()
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// mayRemoveServer refuses what the site would not survive, or this program could not finish.
func mayRemoveServer(ctx context.Context, nodes []siteNode, name string) error {
	servers := 0
	for _, n := range nodes {
		if n.Role == config.RoleServer && !n.isApplicant() {
			servers++
		}
	}
	if servers < 2 {
		return Exit(CodeNotPossible, Advise(fmt.Errorf("%s is the site's only server: the site is nothing without it", name), "to end the site, `appliance reset` on every node, agents first"))
	}
	own, err := ownName(ctx)
	if err == nil && own == name {
		err = Exit(CodeNotPossible, Advise(fmt.Errorf("%s is this machine, which could not finish the command", name), "run it on another server"))
	}
	return err
}

// removeVoter takes a server out of the datastore's members. It comes before its machine is cleaned: a vote that nobody can
// cast any more counts as one against (LESSONS 17).
func removeVoter(ctx context.Context, name string) error {
	store, err := openStore(ctx)
	if err != nil || store.External != nil { // where servers come and go
		return err
	}
	return store.RemoveMember(ctx, name)
}

// ownName is the name of this node.
func ownName(ctx context.Context) (string, error) {
	c, _, err := installed()
	if err != nil {
		return "", err
	}
	facts, err := host.Gather(ctx)
	if err != nil && facts.Hostname == "" {
		return "", err
	}
	derived, err := config.Derive(c, facts)
	return derived.NodeName, err
}

// leaveWait is more than the time between two questions of an agent.
const leaveWait = 45 * time.Second

// tell says what becomes of the machine: it waits until one that was ready begins to clean itself.
func (f *removeFlags) tell(ctx context.Context, env *Env, members join.Members, n siteNode) error {
	what := "the machine cleans itself when it is back; or on it: appliance reset"
	switch {
	case f.keep:
		what = "on the machine itself: appliance reset"
	case n.State == "ready":
		fmt.Fprintf(env.Stdio.Err, "%s is no longer a node of the site; waiting until its machine has heard of it, %s at most\n", n.Name, leaveWait)
		if heard, err := awaitLeft(ctx, members, n.Name); err != nil {
			return err
		} else if heard {
			what = "its machine is being cleaned"
		}
	}
	_, err := fmt.Fprintf(env.Stdio.Out, "%s is no longer a node of the site: %s\n", n.Name, what)
	return err
}

// awaitLeft waits until a member that was dismissed has gone.
func awaitLeft(ctx context.Context, members join.Members, name string) (bool, error) {
	for deadline := time.Now().Add(leaveWait); time.Now().Before(deadline); {
		var all []join.Member
		err := insist(ctx, func() (err error) {
			all, err = members.List(ctx)
			return err
		})
		if err != nil {
			return false, explainCluster(err)
		}
		if !slices.ContainsFunc(all, func(m join.Member) bool { return m.Name == name }) {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(time.Second):
		}
	}
	return false, nil
}

func (f *removeFlags) confirm(ctx context.Context, env *Env, name string) error {
	lost := "Its pods will move, and its machine is cleaned: what they keep on its disk is lost."
	if f.keep {
		lost = "Its pods will move, and what they keep on its disk is lost to the site."
	}
	return askName(ctx, env, f.yes, name, lost)
}
