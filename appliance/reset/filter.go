package reset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Table is a table of nftables. Those named filter, nat and mangle are shared: iptables keeps its
// rules there, whoever calls it.
type Table struct {
	Family byte    `json:"family"`
	Name   string  `json:"name"`
	Chains []Chain `json:"chains,omitempty"`
}

// Chain is a chain of a shared table.
type Chain struct {
	Name string `json:"name"`
	Base bool   `json:"base"`           // it hangs on a hook
	Drop bool   `json:"drop,omitempty"` // its policy is not to accept
	// Jumps are the handles of the rules that do nothing but lead into a chain of ours; Others is the
	// number of all other rules.
	Jumps  []Jump `json:"-"`
	Others int    `json:"-"`
}

// Jump is a rule that leads into another chain.
type Jump struct {
	Handle uint64
	Target string
}

func (t Table) String() string {
	families := map[byte]string{unix.NFPROTO_IPV4: "ip", unix.NFPROTO_IPV6: "ip6", unix.NFPROTO_INET: "inet"}
	if family, ok := families[t.Family]; ok {
		return family + " " + t.Name
	}
	return fmt.Sprintf("family %d %s", t.Family, t.Name)
}

func (t Table) shared() bool {
	return slices.Contains([]string{"filter", "nat", "mangle", "raw", "security"}, t.Name) && (t.Family == unix.NFPROTO_IPV4 || t.Family == unix.NFPROTO_IPV6)
}

// ours tells the tables of kube-proxy, flannel and the portmap plug-in.
func (t Table) ours() bool {
	return slices.Contains([]string{"kube-proxy", "flannel-ipv4", "flannel-ipv6", "cni_hostport"}, t.Name)
}

// ours tells the chains of the kubelet and of the policy engine (kube-router) in shared tables.
func (c Chain) ours() bool { return strings.HasPrefix(c.Name, "KUBE-") }

func observeTables() ([]Table, error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, err
	}
	list, err := conn.ListTables()
	if err != nil {
		return nil, err
	}
	chains, err := conn.ListChains()
	if err != nil {
		return nil, err
	}
	var tables []Table
	for _, found := range list {
		table := Table{Family: byte(found.Family), Name: found.Name}
		for _, c := range chains {
			if !table.shared() || c.Table.Family != found.Family || c.Table.Name != found.Name {
				continue
			}
			chain, err := observeChain(conn, c)
			if err != nil {
				return nil, err
			}
			table.Chains = append(table.Chains, chain)
		}
		tables = append(tables, table)
	}
	return tables, nil
}

func observeChain(conn *nftables.Conn, c *nftables.Chain) (Chain, error) {
	chain := Chain{Name: c.Name, Base: c.Hooknum != nil, Drop: c.Policy != nil && *c.Policy != nftables.ChainPolicyAccept}
	if chain.ours() {
		return chain, nil
	}
	rules, err := conn.GetRules(c.Table, c)
	if errors.Is(err, unix.ENOENT) {
		return chain, nil // it went away meanwhile
	}
	if err != nil {
		return chain, fmt.Errorf("rules of %s: %w", c.Name, err)
	}
	for _, rule := range rules {
		if target := jumpOf(rule); strings.HasPrefix(target, "KUBE-") {
			chain.Jumps = append(chain.Jumps, Jump{rule.Handle, target})
		} else {
			chain.Others++
		}
	}
	return chain, nil
}

// jumpOf is the chain that a rule leads to, if any.
func jumpOf(rule *nftables.Rule) string {
	for _, e := range rule.Exprs {
		if v, ok := e.(*expr.Verdict); ok {
			return v.Chain
		}
	}
	return ""
}

func (p past) table(t Table) (Table, bool) {
	i := slices.IndexFunc(p.Tables, func(o Table) bool { return o.Family == t.Family && o.Name == t.Name })
	if i < 0 {
		return Table{}, false
	}
	return p.Tables[i], true
}

func (t Table) has(chain string) bool {
	return slices.ContainsFunc(t.Chains, func(c Chain) bool { return c.Name == chain })
}

func (b builder) planTables() {
	for _, t := range b.now.Tables {
		old, had := b.past.table(t)
		switch {
		case t.ours() && had:
			b.keep("nftables table "+t.String(), "it was here before the node")
		case t.ours() || t.shared() && !had && b.past.known && t.onlyOurs():
			b.step(phaseUndo, KindTable, t.String(), "delete nftables table", func(context.Context) error { return deleteTable(t) })
		case t.shared():
			b.planShared(t, old)
		}
	}
}

// onlyOurs says whether nothing is in a shared table but our chains and what leads into them.
func (t Table) onlyOurs() bool {
	return !slices.ContainsFunc(t.Chains, func(c Chain) bool {
		return !c.ours() && (!c.Base || c.Drop || c.Others > 0)
	})
}

// planShared takes our chains out of a table that others use.
func (b builder) planShared(t, old Table) {
	var chains []string
	var jumps []Jump
	for _, c := range t.Chains {
		if c.ours() && !old.has(c.Name) {
			chains = append(chains, c.Name)
		}
	}
	byChain := map[string][]Jump{}
	for _, c := range t.Chains {
		for _, j := range c.Jumps {
			if slices.Contains(chains, j.Target) {
				byChain[c.Name] = append(byChain[c.Name], j)
				jumps = append(jumps, j)
			}
		}
	}
	if len(chains) == 0 {
		return
	}
	detail := fmt.Sprintf("delete nftables chains %s and %d rules that lead into them; the rest of the table stays", strings.Join(chains, ", "), len(jumps))
	b.step(phaseUndo, KindTable, t.String(), detail, func(context.Context) error { return deleteChains(t, byChain, chains) })
}

func deleteTable(t Table) error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	conn.DelTable(&nftables.Table{Family: nftables.TableFamily(t.Family), Name: t.Name})
	if err := conn.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

// deleteChains is one transaction: all of it happens or nothing.
func deleteChains(t Table, jumps map[string][]Jump, chains []string) error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	table := &nftables.Table{Family: nftables.TableFamily(t.Family), Name: t.Name}
	for chain, list := range jumps {
		for _, j := range list {
			if err := conn.DelRule(&nftables.Rule{Table: table, Chain: &nftables.Chain{Name: chain, Table: table}, Handle: j.Handle}); err != nil {
				return err
			}
		}
	}
	for _, name := range chains {
		conn.FlushChain(&nftables.Chain{Name: name, Table: table})
	}
	for _, name := range chains {
		conn.DelChain(&nftables.Chain{Name: name, Table: table})
	}
	return conn.Flush()
}
