package cli

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"islet/appliance/config"
	"islet/appliance/controlplane"
	"islet/appliance/join"
	"islet/appliance/kubelet"
	"islet/appliance/server"
)

func newNodeCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "node",
		Short:   "List, drain, remove and replace the nodes of the site",
		GroupID: groupLook,
		Long:    `Shows and changes which machines make up the site. Run on a server.`,
		Example: `  appliance node list
  appliance node drain press2      before work on that machine
  appliance node uncordon press2   after it
  appliance node remove press2
  appliance node replace press3    another machine takes its place`,
	}
	cmd.AddCommand(newNodeListCommand(env), newNodeShowCommand(env), newNodeLabelCommand(env), newNodeRemoveCommand(env), newNodeReplaceCommand(env), newNodeApproveCommand(env), newNodeRefuseCommand(env),
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
			if m.Move.Open() {
				nodes[i].Detail = strings.TrimPrefix(nodes[i].Detail+"; moves to "+m.Move.To.String(), "; ")
			}
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
	if c.Datastore.Store.Several() && e.Getenv("KUBECONFIG") == "" { // any server's API will do
		args = append([]string{fmt.Sprintf("--server=https://127.0.0.1:%d", controlplane.BalancerPort)}, args...)
	}
	return e.pass(ctx, environ, program, args)
}
