package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/arp"
	"islet/appliance/config"
	"islet/appliance/datastore"
	"islet/appliance/host"
	"islet/appliance/join"
	"islet/appliance/server"
)

const (
	readdressWait = 500 * time.Millisecond // for who has the address
	// A node hears of it within hearTime, and is away while it starts anew.
	hearTime  = 45 * time.Second
	startTime = time.Minute
)

type readdressFlags struct {
	plan, yes, moved bool
	timeout          time.Duration
	format           *Format
}

// readdressing is the JSON form of what a change of address did, or would do.
type readdressing struct {
	Node  string         `json:"node"`
	From  netip.Addr     `json:"from"`
	To    netip.Addr     `json:"to"`
	Steps []string       `json:"steps"`
	State join.MoveState `json:"state,omitempty"` // none with --plan
	Why   string         `json:"why,omitempty"`   // it was taken back
}

func newReaddressCommand(env *Env) *cobra.Command {
	f := new(readdressFlags)
	cmd := &cobra.Command{
		Use: "readdress NODE ADDRESS", Short: "Give a node of the site another address", Args: cobra.ExactArgs(2), GroupID: groupLook,
		ValidArgsFunction: completeNodes,
		Long: `Changes the address of a node, of this server or another: certificates, the datastore's member, the lists of servers on
all nodes, the peers of virtual addresses and of the registry, the answer file, and the address on the node's interface. Run on a server.

For a while the node has both addresses. Once the other servers reach it at the new one the old one goes; if they do not within
--timeout, the node takes back the old one by itself, also after a power cut in between. Pods go on; of a site's only server
Kubernetes is away for some seconds. One node at a time.

The node keeps the new address over restarts. Write it into the machine's own network settings all the same.
--moved is for a machine that has the new address already, and may have lost the old one: its node hears of it when it next
asks the other servers, or when it starts.`,
		Example: `  appliance readdress press2 10.0.0.42 --plan      check everything, print every side effect
  appliance readdress press2 10.0.0.42
  appliance readdress press2 10.0.0.42 --yes --timeout 5m`,
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.plan, "plan", false, "check what can be checked from here, print every side effect, and do nothing")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	flags.BoolVar(&f.moved, "moved", false, "the machine has the address already, and may have lost the old one")
	flags.DurationVar(&f.timeout, "timeout", 2*time.Minute, "how `LONG` the others have to reach the node at its new address, its restart included")
	f.format = AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), env, args[0], args[1]) }
	return cmd
}

func (f *readdressFlags) run(ctx context.Context, env *Env, name, text string) error {
	const shortest, longest = 10 * time.Second, time.Hour
	to, err := netip.ParseAddr(text)
	switch {
	case err != nil || !to.Is4():
		return Exit(CodeUsage, Advise(fmt.Errorf("%q is not an IPv4 address", text), "give the address alone: the network stays the same"))
	case f.timeout < shortest || f.timeout > longest:
		return Exit(CodeUsage, fmt.Errorf("--timeout %s: want %s to %s", f.timeout, shortest, longest))
	}
	site, err := openCluster()
	if err != nil {
		return err
	}
	nodes, err := site.nodes(ctx)
	if err != nil {
		return explainCluster(err)
	}
	members, err := server.Members(site.client).List(ctx)
	if err != nil {
		return explainCluster(err)
	}
	r, err := f.judge(site.config, nodes, members, name, to)
	if err == nil {
		err = f.look(ctx, site.config, r)
	}
	if err != nil {
		return err
	}
	if !f.plan {
		if err := f.confirm(ctx, env, r); err != nil {
			return err
		}
		if err := f.do(ctx, env, server.Members(site.client), &r); err != nil {
			return err
		}
	}
	return env.Print(*f.format, r, func(w io.Writer) error { return printReaddressing(w, r) })
}

// judge refuses what the site knows cannot be, and says what will be done.
func (f *readdressFlags) judge(c config.Config, nodes []siteNode, members []join.Member, name string, to netip.Addr) (readdressing, error) {
	i := slices.IndexFunc(members, func(m join.Member) bool { return m.Name == name && m.Removed == nil })
	at := slices.IndexFunc(nodes, func(n siteNode) bool { return n.Name == name && !n.isApplicant() })
	if i < 0 || at < 0 {
		return readdressing{}, Advise(fmt.Errorf("%w: %s", join.ErrNotMember, name), "see `appliance node list`")
	}
	m := members[i]
	r := readdressing{Node: name, From: m.Address, To: to}
	if m.Address == to {
		return r, Exit(CodeExists, fmt.Errorf("%s has the address %s already", name, to))
	}
	if err := addressFree(c, members, name, to); err != nil {
		return r, err
	}
	if !f.moved && nodes[at].State != "ready" {
		return r, Exit(CodeNotPossible, Advise(fmt.Errorf("%s is %s: it would not hear of it", name, nodes[at].State),
			"see `appliance status` on that machine; if it has the address "+to.String()+" already, give --moved"))
	}
	r.Steps = []string{
		"issue certificates for " + r.From.String() + " and " + to.String(),
		"give the interface of " + name + " the address " + to.String() + " beside " + r.From.String() + ", and speak from it",
		"write node.address: " + to.String() + " into its answer file, and start its daemon anew; pods go on",
	}
	if m.Role == config.RoleServer && c.Datastore.Store == config.StoreEtcd {
		r.Steps = append(r.Steps, "have the datastore's members find it at "+to.String())
	}
	if m.Role == config.RoleServer {
		r.Steps = append(r.Steps, "put it into the lists of servers on all nodes, for the API, the registry and the virtual addresses")
	}
	r.Steps = append(r.Steps,
		fmt.Sprintf("if the others do not reach it within %s, take all of this back", f.timeout),
		"take "+r.From.String()+" off its interface and out of its certificates")
	return r, nil
}

// addressFree refuses an address that has, or may get, another use in the site.
func addressFree(c config.Config, members []join.Member, name string, to netip.Addr) error {
	taken := ""
	switch {
	case !to.IsGlobalUnicast():
		return Exit(CodeUsage, fmt.Errorf("%s is not an address that a machine can have", to))
	case c.Network.VIP.API == to || c.Network.VIP.Applications == to:
		taken = "it is a virtual address of the site"
	case c.Network.PodCIDR.Contains(to):
		taken = "it is in the network of pods, " + c.Network.PodCIDR.String()
	case c.Network.ServiceCIDR.Contains(to):
		taken = "it is in the network of services, " + c.Network.ServiceCIDR.String()
	}
	for _, m := range members {
		if m.Name == name || m.Removed != nil {
			continue
		}
		if m.Address == to || m.Move.Open() && m.IsAt(to) {
			taken = "it is the node " + m.Name
		}
		if m.Move.Open() {
			return Advise(fmt.Errorf("%w: of %s to %s", join.ErrMoving, m.Name, m.Move.To), "wait until it is done: appliance node list")
		}
	}
	if taken != "" {
		return Advise(fmt.Errorf("%w: %s: %s", join.ErrAddressTaken, to, taken), "choose another address")
	}
	return nil
}

// look asks the datastore whether it can do without that server for a moment, and the link whether somebody has the address.
func (f *readdressFlags) look(ctx context.Context, c config.Config, r readdressing) error {
	if c.Datastore.Store == config.StoreEtcd {
		store, err := openStore(ctx)
		if err != nil {
			return err
		}
		all, err := store.Members(ctx)
		if err != nil {
			return Advise(err, "see `appliance datastore status`")
		}
		if report := reportOf(all); report.Voters > 1 && report.MayFail < 1 && slices.ContainsFunc(all, func(m datastore.MemberStatus) bool { return m.Name == r.Node && !m.Learner }) {
			return Exit(CodeNotPossible, Advise(fmt.Errorf("%d of %d voters of the datastore are healthy, and %s would be away for a moment", report.Healthy, report.Voters, r.Node),
				"see `appliance datastore status`, and bring back the others first"))
		}
	}
	if f.moved {
		return nil
	}
	facts, err := host.Gather(ctx)
	if err != nil && len(facts.Interfaces) == 0 {
		return err
	}
	derived, err := config.Derive(c, facts)
	if err != nil {
		return err
	}
	if _, _, own := facts.Holder(r.To); own || !derived.NodeNetwork.Contains(r.To) {
		return nil // the node itself looks, too
	}
	answers, err := arp.Probe(ctx, derived.Interface, readdressWait, r.To)
	if err != nil {
		return err
	}
	if holders := answers[r.To]; len(holders) > 0 {
		return Advise(fmt.Errorf("%w: %s is in use by the machine with the hardware address %s", join.ErrAddressTaken, r.To, strings.Join(holders, " and ")),
			"choose another address; if that is "+r.Node+" itself, give --moved")
	}
	return nil
}

func (f *readdressFlags) confirm(ctx context.Context, env *Env, r readdressing) error {
	if f.yes {
		return nil
	}
	in, ok := terminal(env)
	if !ok {
		return Exit(CodeUsage, Advise(errors.New("this changes the address of a node, and there is no terminal to ask on"), "look at it with --plan, then give --yes"))
	}
	if err := printReaddressing(env.Stdio.Err, r); err != nil {
		return err
	}
	answer, err := ask(ctx, env, in, "\nGo on? Type yes: ")
	if err == nil && answer != "yes" {
		err = Exit(CodeUsage, errors.New("not confirmed: nothing was done"))
	}
	return err
}

// do asks for it, and tells how far it has come. The node goes on without whoever watches.
func (f *readdressFlags) do(ctx context.Context, env *Env, members join.Members, r *readdressing) error {
	move, err := members.AskMove(ctx, r.Node, r.To, f.timeout)
	if errors.Is(err, join.ErrMoving) {
		return err
	}
	if err != nil {
		return explainCluster(err)
	}
	hears := hearTime
	if f.moved { // it may be starting again and again
		hears += f.timeout
	}
	fmt.Fprintf(env.Stdio.Err, "%s is asked to move from %s to %s; it hears of it within %s\n", r.Node, r.From, r.To, hears)
	heard, end := time.Now().Add(hears), time.Now().Add(hears+f.timeout+startTime)
	for r.State = move.State; move.Open(); {
		select {
		case <-ctx.Done():
			fmt.Fprintln(env.Stdio.Err, "the node goes on by itself: see `appliance node list`")
			return ctx.Err()
		case <-time.After(time.Second):
		}
		if move.State == join.MoveAsked && time.Now().After(heard) {
			if move, err = members.WithdrawMove(ctx, r.Node, "the node did not hear of it"); err != nil {
				return explainCluster(err)
			}
		} else if member, err := members.Find(ctx, r.Node); err == nil && member.Move != nil { // the API may be away for a moment
			move = *member.Move
		}
		if move.State == join.MoveTrying && r.State == join.MoveAsked {
			fmt.Fprintf(env.Stdio.Err, "%s takes the address %s; the others have %s to reach it there\n", r.Node, r.To, f.timeout)
		}
		if r.State = move.State; move.Open() && time.Now().After(end) {
			return Exit(CodeTimeout, Advise(fmt.Errorf("it is not known what became of %s", r.Node), "see `appliance status` on that machine, and `appliance node list`"))
		}
	}
	if r.Why = move.Why; move.State == join.MoveFailed {
		return Exit(CodeTakenBack, Advise(fmt.Errorf("%s has its old address %s: %s", r.Node, r.From, r.Why), "see to the reason, then run the same command again"))
	}
	return nil
}

func printReaddressing(w io.Writer, r readdressing) error {
	if r.State == "" {
		for i, step := range r.Steps {
			fmt.Fprintf(w, "%d. %s\n", i+1, step)
		}
		return nil
	}
	_, err := fmt.Fprintf(w, "%s has the address %s; write it into the machine's own network settings in the place of %s\n", r.Node, r.To, r.From)
	return err
}
