package host

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// tryFilterChain creates a table with a base chain in the current network namespace.
func tryFilterChain() error {
	return tryChain(&nftables.Chain{
		Name: "filter", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
	})
}

// tryNATChain creates what kube-proxy's nftables mode depends on: a nat base chain, the address
// type of a destination (fib), a random choice among endpoints (numgen), and masquerade.
func tryNATChain() error {
	fib := &expr.Fib{Register: 1, ResultADDRTYPE: true, FlagDADDR: true}
	numgen := &expr.Numgen{Register: 1, Modulus: 2, Type: 1} // NFT_NG_RANDOM
	return tryChain(&nftables.Chain{
		Name: "nat", Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	}, []expr.Any{fib}, []expr.Any{numgen}, []expr.Any{&expr.Masq{}})
}

func tryChain(chain *nftables.Chain, rules ...[]expr.Any) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables netlink: %w", err)
	}
	chain.Table = conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "probe_" + chain.Name})
	conn.AddChain(chain)
	for _, exprs := range rules {
		conn.AddRule(&nftables.Rule{Table: chain.Table, Chain: chain, Exprs: exprs})
	}
	return conn.Flush()
}
