package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"islet/appliance/join"
	"islet/appliance/kube/client"
	"islet/appliance/progress"
)

// nodeDetail is all that the site knows of one node.
type nodeDetail struct {
	siteNode
	OS         string            `json:"os,omitempty"`
	Kernel     string            `json:"kernel,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	Taints     []string          `json:"taints,omitempty"`
	Conditions []string          `json:"conditions,omitempty"` // those that tell of trouble
	CPU        amount            `json:"cpu"`                  // in millicores
	Memory     amount            `json:"memory"`               // in bytes
	Pods       []nodePod         `json:"pods,omitempty"`
}

// amount is what pods may have of the node, and what they have asked for.
type amount struct {
	Allocatable int64 `json:"allocatable"`
	Requested   int64 `json:"requested"`
}

type nodePod struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Phase     string `json:"phase"`
}

func newNodeShowCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Show one node: what it is, what it has room for, what runs there", Args: cobra.ExactArgs(1), ValidArgsFunction: completeNodes,
		Long:    "Shows what the site knows of one node. `appliance status` on the machine itself shows its components.",
		Example: "  appliance node show press2\n  appliance node show press2 -o json | jq .pods",
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		site, err := openCluster()
		if err != nil {
			return err
		}
		detail, err := site.node(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return env.Print(*format, detail, func(w io.Writer) error { return printNode(w, detail) })
	}
	return cmd
}

func (c cluster) node(ctx context.Context, name string) (nodeDetail, error) {
	nodes, err := c.nodes(ctx)
	if err != nil {
		return nodeDetail{}, explainCluster(err)
	}
	i := slices.IndexFunc(nodes, func(n siteNode) bool { return n.Name == name })
	if i < 0 {
		return nodeDetail{}, Advise(fmt.Errorf("%w: %s", join.ErrNotMember, name), "see `appliance node list`")
	}
	var (
		node corev1.Node
		pods corev1.PodList
	)
	if err := c.client.Get(ctx, client.ObjectKey{Name: name}, &node); client.IgnoreNotFound(err) != nil {
		return nodeDetail{}, explainCluster(err)
	}
	if err := c.client.List(ctx, &pods, client.MatchingFields(map[string]string{"spec.nodeName": name})); err != nil {
		return nodeDetail{}, explainCluster(err)
	}
	return describe(nodes[i], node, pods.Items), nil
}

// describe puts together what is known. node is empty for a machine that has not come up yet.
func describe(n siteNode, node corev1.Node, pods []corev1.Pod) nodeDetail {
	d := nodeDetail{
		siteNode: n, OS: node.Status.NodeInfo.OSImage, Kernel: node.Status.NodeInfo.KernelVersion, Labels: node.Labels,
		CPU:    amount{Allocatable: node.Status.Allocatable.Cpu().MilliValue()},
		Memory: amount{Allocatable: node.Status.Allocatable.Memory().Value()},
	}
	for _, t := range node.Spec.Taints {
		d.Taints = append(d.Taints, t.ToString())
	}
	for _, c := range node.Status.Conditions {
		if (c.Type == corev1.NodeReady) != (c.Status == corev1.ConditionTrue) {
			d.Conditions = append(d.Conditions, fmt.Sprintf("%s is %s since %s: %s", c.Type, c.Status, c.LastTransitionTime.Local().Format(time.DateTime), c.Message))
		}
	}
	for _, p := range pods {
		d.Pods = append(d.Pods, nodePod{p.Namespace, p.Name, string(p.Status.Phase)})
		if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue // it takes nothing any more
		}
		for _, container := range p.Spec.Containers {
			d.CPU.Requested += container.Resources.Requests.Cpu().MilliValue()
			d.Memory.Requested += container.Resources.Requests.Memory().Value()
		}
	}
	return d
}

func printNode(out io.Writer, d nodeDetail) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	row := func(name string, values ...string) {
		for _, v := range values {
			if v != "" {
				fmt.Fprintf(w, "%s\t%s\n", name, v)
			}
			name = ""
		}
	}
	row("Node", d.Name)
	row("Role", string(d.Role))
	row("Pool", d.Pool)
	row("Address", d.addressText())
	row("State", strings.TrimSuffix(d.State+": "+d.Detail, ": "))
	row("Joined", d.Joined.Local().Format(time.DateTime))
	row("Kubernetes", d.Version)
	row("System", strings.Trim(d.OS+", kernel "+d.Kernel, ", "))
	if d.CPU.Allocatable > 0 {
		row("CPU", fmt.Sprintf("%s of %s requested", resource.NewMilliQuantity(d.CPU.Requested, resource.DecimalSI), resource.NewMilliQuantity(d.CPU.Allocatable, resource.DecimalSI)))
		row("Memory", fmt.Sprintf("%s of %s requested", progress.Bytes(d.Memory.Requested), progress.Bytes(d.Memory.Allocatable)))
	}
	row("Taints", d.Taints...)
	row("Trouble", d.Conditions...)
	for _, key := range slices.Sorted(maps.Keys(d.Labels)) {
		row("Label", key+"="+d.Labels[key])
	}
	if err := w.Flush(); err != nil || len(d.Pods) == 0 {
		return err
	}
	fmt.Fprintln(w, "\nNAMESPACE\tPOD\tPHASE")
	for _, p := range d.Pods {
		fmt.Fprintf(w, "%s\t%s\t%s\n", p.Namespace, p.Name, p.Phase)
	}
	return w.Flush()
}

func newNodeLabelCommand(env *Env) *cobra.Command {
	return &cobra.Command{
		Use: "label NAME KEY=VALUE|KEY-...", Short: "Set and remove labels of a node, its pool among them", Args: cobra.MinimumNArgs(2),
		ValidArgsFunction: completeNodes,
		Long:              "Sets labels, and removes those that end with a dash. The label of the pool is node.islet.dev/pool.",
		Example: `  appliance node label press2 node.islet.dev/pool=presses
  appliance node label press2 example.com/hall=3 example.com/rack-`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := openCluster(); err != nil {
				return err
			}
			return env.kubectl(cmd.Context(), append([]string{"label", "--overwrite", "node", "--"}, args...))
		},
	}
}
