package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The switch's nftables: one bridge table, a chain that counts frames to where nobody in the lab is, and one that drops
// what goes between hosts whose connection is cut.
const (
	filterTable = "islet-lab"
	strayChain  = "strays"
	cutChain    = "cuts"
)

// filter is an nftables connection into the switch.
type filter struct {
	conn  *nftables.Conn
	netns *os.File
	table *nftables.Table
}

func openFilter(switchPath string) (*filter, error) {
	file, err := os.Open(switchPath)
	if err != nil {
		return nil, fmt.Errorf("open switch: %w", err)
	}
	conn, err := nftables.New(nftables.WithNetNSFd(int(file.Fd())), nftables.AsLasting())
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("open nftables in switch %s: %w", switchPath, err)
	}
	table := &nftables.Table{Name: filterTable, Family: nftables.TableFamilyBridge}
	return &filter{conn: conn, netns: file, table: table}, nil
}

func (f *filter) close() error { return errors.Join(f.conn.CloseLasting(), f.netns.Close()) }

// install makes the table and starts counting.
func (f *filter) install(inside []netip.Prefix) error {
	f.conn.AddTable(f.table)
	f.conn.AddChain(&nftables.Chain{Name: cutChain, Table: f.table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityRef(0)})
	strays := f.conn.AddChain(&nftables.Chain{Name: strayChain, Table: f.table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRef(-300)})
	for _, prefix := range inside {
		f.conn.AddRule(&nftables.Rule{Table: f.table, Chain: strays, Exprs: destined(prefix, verdict(expr.VerdictReturn))})
		if prefix.Addr().Is4() {
			f.conn.AddRule(&nftables.Rule{Table: f.table, Chain: strays, Exprs: asksFor(prefix, verdict(expr.VerdictReturn))})
		}
	}
	for _, etherType := range []uint16{unix.ETH_P_IP, unix.ETH_P_IPV6, unix.ETH_P_ARP} {
		f.conn.AddRule(&nftables.Rule{Table: f.table, Chain: strays,
			Exprs: append(ofType(etherType), &expr.Counter{})})
	}
	if err := f.conn.Flush(); err != nil {
		return fmt.Errorf("install counters of the switch (does the kernel have nf_tables for bridges?): %w", err)
	}
	return nil
}

// strays adds up the counters.
func (f *filter) strays() (uint64, error) {
	rules, err := f.conn.GetRules(f.table, &nftables.Chain{Name: strayChain})
	if err != nil {
		return 0, fmt.Errorf("read counters of the switch: %w", err)
	}
	var sum uint64
	for _, rule := range rules {
		for _, e := range rule.Exprs {
			if counter, ok := e.(*expr.Counter); ok {
				sum += counter.Packets
			}
		}
	}
	return sum, nil
}

// cut drops everything between the two ports of each pair, and nothing else any more.
func (f *filter) cut(pairs [][2]string) error {
	chain := &nftables.Chain{Name: cutChain, Table: f.table}
	f.conn.FlushChain(chain)
	for _, pair := range pairs {
		for _, way := range [][2]string{{pair[0], pair[1]}, {pair[1], pair[0]}} {
			f.conn.AddRule(&nftables.Rule{Table: f.table, Chain: chain, Exprs: []expr.Any{
				&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
				&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: portName(way[0])},
				&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
				&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: portName(way[1])},
				verdict(expr.VerdictDrop),
			}})
		}
	}
	if err := f.conn.Flush(); err != nil {
		return fmt.Errorf("cut connections at the switch: %w", err)
	}
	return nil
}

func portName(name string) []byte {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return padded
}

func verdict(kind expr.VerdictKind) expr.Any { return &expr.Verdict{Kind: kind} }

func ofType(etherType uint16) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(etherType)},
	}
}

// destined matches packets to an address in the prefix.
func destined(prefix netip.Prefix, then expr.Any) []expr.Any {
	if prefix.Addr().Is4() {
		return append(ofType(unix.ETH_P_IP), inPrefix(prefix, 16, then)...) // offset of the destination in an IPv4 header
	}
	return append(ofType(unix.ETH_P_IPV6), inPrefix(prefix, 24, then)...) // and in an IPv6 header
}

// asksFor matches ARP packets about an address in the prefix.
func asksFor(prefix netip.Prefix, then expr.Any) []expr.Any {
	return append(ofType(unix.ETH_P_ARP), inPrefix(prefix, 24, then)...) // offset of the target address
}

func inPrefix(prefix netip.Prefix, offset uint32, then expr.Any) []expr.Any {
	size := prefix.Addr().BitLen() / 8
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(size)},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(size),
			Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()), Xor: make([]byte, size)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: prefix.Masked().Addr().AsSlice()},
		then,
	}
}
