package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"islet/appliance/config"
	"islet/appliance/controlplane"
	"islet/appliance/join"
	"islet/appliance/kubelet"
	"islet/appliance/server"
)

func newNodeCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "node",
		Short:   "List, drain and remove the nodes of the site",
		GroupID: groupLook,
		Long:    `Shows and changes which machines make up the site. Run on a server.`,
		Example: `  appliance node list
  appliance node drain press2      before work on that machine
  appliance node uncordon press2   after it
  appliance node remove press2`,
	}
	cmd.AddCommand(newNodeListCommand(env), newNodeShowCommand(env), newNodeLabelCommand(env), newNodeRemoveCommand(env), newNodeApproveCommand(env), newNodeRefuseCommand(env),
		newNodeKubectlCommand(env, "cordon", "Let no new pods onto a node", "Keeps new pods off the node; those that run there go on."),
		newNodeKubectlCommand(env, "uncordon", "Let pods onto a node again", "Takes back `cordon` and `drain`."),
		newNodeKubectlCommand(env, "drain", "Move the pods of a node elsewhere", "Keeps new pods off the node and moves those that run there, as far as their disruption budgets allow. Pods of the\nplatform that every node has stay.", drainFlags...),
	)
	return cmd
}

// drainFlags move everything but what each node has. What pods keep in emptyDirs is theirs to lose; pods without a
// controller come back nowhere, which an operator who drains a node wants rather than a node that stays full.
var drainFlags = []string{"--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=5m"}

// siteNode is one node as the site knows it: a member, a node of Kubernetes, or both.
type siteNode struct {
	Name        string      `json:"name"`
	Role        config.Role `json:"role"`
	Pool        string      `json:"pool,omitempty"`
	Address     netip.Addr  `json:"address"`
	State       string      `json:"state"` // ready, not-ready, unreachable, joining, waiting (for approval) or refused
	Detail      string      `json:"detail,omitempty"`
	Schedulable bool        `json:"schedulable"`
	Version     string      `json:"version,omitempty"` // of the kubelet
	Joined      time.Time   `json:"joined"`
	Token       string      `json:"token,omitempty"`
	Key         join.Key    `json:"key,omitempty"`   // of a machine that waits for approval
	Words       string      `json:"words,omitempty"` // the same for people
}

// isApplicant says whether this is a machine that asks to become a node.
func (n siteNode) isApplicant() bool { return n.Key != "" }

// addressText is the node's address; a node that has just registered may have none.
func (n siteNode) addressText() string {
	if !n.Address.IsValid() {
		return "unknown"
	}
	return n.Address.String()
}

func newNodeListCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the nodes of the site", Args: cobra.NoArgs,
		Long:    `Lists the nodes, also those that were let in and have not come up yet.`,
		Example: "  appliance node list\n  appliance node list -o json | jq -r '.[] | select(.state != \"ready\") | .name'",
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		site, err := openCluster()
		if err != nil {
			return err
		}
		nodes, err := site.nodes(cmd.Context())
		if err != nil {
			return explainCluster(err)
		}
		return env.Print(*format, nodes, func(w io.Writer) error { return printNodes(w, nodes) })
	}
	return cmd
}

func (c cluster) nodes(ctx context.Context) ([]siteNode, error) {
	var registered corev1.NodeList
	if err := c.client.List(ctx, &registered); err != nil {
		return nil, err
	}
	members, err := server.Members(c.client).List(ctx)
	if err != nil {
		return nil, err
	}
	requests, err := server.Requests(c.client).List(ctx)
	if err != nil {
		return nil, err
	}
	return append(siteNodes(registered.Items, members), waitingNodes(requests)...), nil
}

// waitingNodes are machines that want to become nodes.
func waitingNodes(requests []join.Request) []siteNode {
	var nodes []siteNode
	for _, r := range requests {
		n := siteNode{
			Name: r.Name, Role: r.Role, Address: r.Address, State: "waiting", Joined: r.Asked, Token: r.Token, Key: r.Key, Words: r.Key.Words(),
			Detail: "for approval: " + r.Key.Words(),
		}
		if r.Replaces {
			n.Detail += "; takes the place of the node of that name"
		}
		if r.Refused != nil {
			n.State, n.Detail = "refused", ""
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// siteNodes puts together what Kubernetes and the site know, servers first, then by name.
func siteNodes(registered []corev1.Node, members []join.Member) []siteNode {
	nodes := []siteNode{}
	for _, r := range registered {
		n := siteNode{
			Name: r.Name, Role: config.Role(r.Labels[kubelet.RoleLabel]), Pool: r.Labels[kubelet.PoolLabel], Schedulable: !r.Spec.Unschedulable,
			Version: r.Status.NodeInfo.KubeletVersion, Joined: r.CreationTimestamp.UTC(), State: "not-ready",
		}
		for _, a := range r.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				n.Address, _ = netip.ParseAddr(a.Address)
			}
		}
		for _, cond := range r.Status.Conditions {
			switch {
			case cond.Type != corev1.NodeReady:
			case cond.Status == corev1.ConditionTrue:
				n.State = "ready"
			case cond.Status == corev1.ConditionUnknown:
				n.State, n.Detail = "unreachable", "since "+cond.LastTransitionTime.Local().Format(time.DateTime)
			default:
				n.Detail = cond.Message
			}
		}
		nodes = append(nodes, n)
	}
	for _, m := range members {
		if m.Removed != nil {
			continue
		}
		i := slices.IndexFunc(nodes, func(n siteNode) bool { return n.Name == m.Name })
		if i < 0 {
			nodes = append(nodes, siteNode{Name: m.Name, Role: m.Role, Address: m.Address, State: "joining", Joined: m.Admitted, Token: m.Token})
		} else {
			nodes[i].Joined, nodes[i].Token = m.Admitted, m.Token
		}
	}
	slices.SortFunc(nodes, func(a, b siteNode) int {
		if (a.Role == config.RoleServer) != (b.Role == config.RoleServer) {
			return map[bool]int{true: -1, false: 1}[a.Role == config.RoleServer]
		}
		return map[bool]int{true: -1, false: 1}[a.Name < b.Name]
	})
	return nodes
}

func printNodes(out io.Writer, nodes []siteNode) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tROLE\tPOOL\tADDRESS\tSTATE\tKUBERNETES\tJOINED\t")
	for _, n := range nodes {
		state := n.State
		if !n.Schedulable && n.Version != "" {
			state += ", takes no pods"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", n.Name, n.Role, n.Pool, n.addressText(), state, n.Version, n.Joined.Local().Format(time.DateTime), n.Detail)
	}
	return w.Flush()
}

// newNodeKubectlCommand is a verb that kubectl has.
func newNodeKubectlCommand(env *Env, verb, short, long string, flags ...string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NAME", Short: short, Long: long, Args: cobra.ExactArgs(1),
		Example:           "  appliance node " + verb + " press2",
		ValidArgsFunction: completeNodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := openCluster(); err != nil {
				return err
			}
			return env.kubectl(cmd.Context(), append([]string{verb, args[0]}, flags...))
		},
	}
}

// completeNodes offers the names of nodes to a shell.
func completeNodes(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	site, err := openCluster()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	nodes, _ := site.nodes(cmd.Context())
	var names []cobra.Completion
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func newNodeApproveCommand(env *Env) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "approve NAME", Short: "Let a machine in that waits for approval", Args: cobra.ExactArgs(1), ValidArgsFunction: completeNodes,
		Long: `Lets a machine in that has shown a good token and waits: because the site wants every machine approved
(site.requireApproval), or because it takes the name of a node that is not ready, as a machine does that was installed anew.
Compare the words with those on the machine's own screen: they stand for its key.`,
		Example: "  appliance node list\n  appliance node approve press2",
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask whether the words are the same")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return decide(cmd.Context(), env, args[0], true, yes) }
	return cmd
}

func newNodeRefuseCommand(env *Env) *cobra.Command {
	return &cobra.Command{
		Use: "refuse NAME", Short: "Turn a machine away that waits for approval", Args: cobra.ExactArgs(1), ValidArgsFunction: completeNodes,
		Long:    "Turns a machine away. Its token stays as it is: `appliance token revoke` ends that.",
		Example: "  appliance node refuse press2",
		RunE:    func(cmd *cobra.Command, args []string) error { return decide(cmd.Context(), env, args[0], false, true) },
	}
}

// decide answers a machine that waits.
func decide(ctx context.Context, env *Env, name string, approve, yes bool) error {
	site, err := openCluster()
	if err != nil {
		return err
	}
	requests := server.Requests(site.client)
	list, err := requests.List(ctx)
	if err != nil {
		return explainCluster(err)
	}
	i := slices.IndexFunc(list, func(r join.Request) bool { return r.Name == name })
	if i < 0 {
		return Advise(fmt.Errorf("%w: nobody asks to join as %s", join.ErrNotMember, name), "see `appliance node list`")
	}
	if !yes {
		if err := confirmWords(ctx, env, list[i]); err != nil {
			return err
		}
	}
	if _, err := requests.Decide(ctx, name, list[i].Key, approve); err != nil {
		return explainCluster(err)
	}
	verdict := "is approved: it is let in when it asks the next time, within seconds"
	if !approve {
		verdict = "is refused"
	}
	_, err = fmt.Fprintf(env.Stdio.Out, "%s %s\n", name, verdict)
	return err
}

func confirmWords(ctx context.Context, env *Env, r join.Request) error {
	in, ok := terminal(env)
	if !ok {
		return Exit(CodeUsage, Advise(errors.New("the machine's words have to be compared, and there is no terminal to ask on"), "compare them in `appliance node list`, then give --yes"))
	}
	what := "a new " + string(r.Role)
	if r.Replaces {
		what = "in the place of the node of that name, which is not ready"
	}
	answer, err := ask(ctx, env, in, fmt.Sprintf("%s at %s asks to join, %s.\nIts words: %s\nDoes its own screen show the same? Type yes: ", r.Name, r.Address, what, r.Key.Words()))
	if err == nil && answer != "yes" {
		err = Exit(CodeUsage, errors.New("not confirmed: nothing was done"))
	}
	return err
}

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
	members := server.Members(site.client)
	if f.keep {
		err = members.Remove(ctx, name)
	} else {
		err = members.Dismiss(ctx, name)
	}
	if err == nil && nodes[i].Role == config.RoleServer {
		err = removeVoter(ctx, name)
	}
	node := &corev1.Node{}
	node.Name = name
	if err := errors.Join(err, client.IgnoreNotFound(site.client.Delete(ctx, node))); err != nil {
		return explainCluster(err)
	}
	return f.tell(ctx, env, members, nodes[i])
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
	store, err := openStore(ctx)
	if err == nil && store.Etcd.NodeName == name {
		err = Exit(CodeNotPossible, Advise(fmt.Errorf("%s is this machine, which could not finish the command", name), "run it on another server"))
	}
	return err
}

// removeVoter takes a server out of the datastore's members. It comes before its machine is cleaned: a vote that nobody can
// cast any more counts as one against (LESSONS 17).
func removeVoter(ctx context.Context, name string) error {
	store, err := openStore(ctx)
	if err != nil {
		return err
	}
	return store.RemoveMember(ctx, name)
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
		all, err := members.List(ctx)
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
	if f.yes {
		return nil
	}
	in, ok := terminal(env)
	if !ok {
		return Exit(CodeUsage, Advise(errors.New("this removes a node, and there is no terminal to ask on"), "give --yes"))
	}
	lost := "Its pods will move, and its machine is cleaned: what they keep on its disk is lost."
	if f.keep {
		lost = "Its pods will move, and what they keep on its disk is lost to the site."
	}
	answer, err := ask(ctx, env, in, lost+" To go on, type the node's name ("+name+"): ")
	if err == nil && answer != name {
		err = Exit(CodeUsage, errors.New("that is not the node's name: nothing was done"))
	}
	return err
}

// kubectl runs the kubectl of this node as the site's administrator.
func (e *Env) kubectl(ctx context.Context, args []string) error {
	c, l, err := installed()
	if err != nil {
		return err
	}
	program, err := engineProgram(l, "kubectl")
	if err != nil {
		return err
	}
	environ := os.Environ()
	if e.Getenv("KUBECONFIG") == "" {
		environ = append(environ, "KUBECONFIG="+l.AdminKubeconfig())
	}
	if e.Getenv("KUBECACHEDIR") == "" { // else it leaves a .kube in the operator's home for ever
		environ = append(environ, "KUBECACHEDIR="+filepath.Join(l.Tmp(), "kubectl"))
	}
	if c.Datastore.Store == config.StoreEtcd && e.Getenv("KUBECONFIG") == "" { // any server's API will do
		args = append([]string{fmt.Sprintf("--server=https://127.0.0.1:%d", controlplane.BalancerPort)}, args...)
	}
	return e.pass(ctx, environ, program, args)
}
