package lab

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// snapshotNetwork fills in what belongs to the network namespace of the process.
func (s *Snapshot) snapshotNetwork(init process) error {
	return onThread(func() error {
		if err := init.enter(nsNetwork); err != nil {
			return err
		}
		for _, step := range []func() error{s.snapshotLinks, s.snapshotRoutes, s.snapshotNftables, s.snapshotXtables, s.snapshotSettings} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Snapshot) snapshotLinks() error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, link := range links {
		a := link.Attrs()
		s.Links = append(s.Links, fmt.Sprintf("%s %s mtu %d %s master %d", a.Name, link.Type(), a.MTU, a.Flags&net.FlagUp, a.MasterIndex))
		addrs, err := netlink.AddrList(link, netlink.FAMILY_ALL)
		if err != nil {
			return fmt.Errorf("list addresses of %s: %w", a.Name, err)
		}
		for _, addr := range addrs {
			if addr.IP.To4() == nil && addr.IP.IsLinkLocalUnicast() {
				continue
			}
			s.Addresses = append(s.Addresses, fmt.Sprintf("%s %s", a.Name, addr.IPNet))
		}
	}
	return nil
}

func (s *Snapshot) snapshotRoutes() error {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return fmt.Errorf("list routes: %w", err)
		}
		for _, route := range routes {
			if route.Dst != nil && route.Dst.IP.To4() == nil && (route.Dst.IP.IsLinkLocalUnicast() || route.Dst.IP.IsMulticast()) {
				continue
			}
			s.Routes = append(s.Routes, fmt.Sprintf("%s type %d", route, route.Type))
		}
		rules, err := netlink.RuleList(family)
		if err != nil {
			return fmt.Errorf("list rules: %w", err)
		}
		for _, rule := range rules {
			s.Rules = append(s.Rules, fmt.Sprintf("v%d %s mark %d", map[int]int{netlink.FAMILY_V4: 4, netlink.FAMILY_V6: 6}[family], rule, rule.Mark))
		}
	}
	return nil
}

func (s *Snapshot) snapshotNftables() error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	tables, err := conn.ListTables()
	if err != nil {
		return fmt.Errorf("list nftables: %w", err)
	}
	chains, err := conn.ListChains()
	if err != nil {
		return fmt.Errorf("list nftables chains: %w", err)
	}
	for _, table := range tables {
		name := fmt.Sprintf("family %d %s", table.Family, table.Name)
		s.Nftables = append(s.Nftables, "table "+name)
		if err := s.snapshotSets(conn, table, name); err != nil {
			return err
		}
	}
	for _, chain := range chains {
		name := fmt.Sprintf("family %d %s %s", chain.Table.Family, chain.Table.Name, chain.Name)
		s.Nftables = append(s.Nftables, fmt.Sprintf("chain %s %s", name, chain.Type))
		rules, err := conn.GetRules(chain.Table, chain)
		if err != nil {
			return fmt.Errorf("list nftables rules of %s: %w", name, err)
		}
		for _, rule := range rules {
			s.Nftables = append(s.Nftables, "rule "+name+" "+describeRule(rule))
		}
	}
	return nil
}

// describeRule is not nft's language, but tells rules apart. Counters are left out.
func describeRule(rule *nftables.Rule) string {
	var parts []string
	for _, e := range rule.Exprs {
		if _, ok := e.(*expr.Counter); ok {
			continue
		}
		content, err := json.Marshal(e)
		if err != nil {
			content = fmt.Append(nil, e)
		}
		parts = append(parts, strings.TrimPrefix(fmt.Sprintf("%T", e), "*expr.")+string(content))
	}
	return strings.Join(parts, " ")
}

func (s *Snapshot) snapshotSets(conn *nftables.Conn, table *nftables.Table, name string) error {
	sets, err := conn.GetSets(table)
	if err != nil {
		return fmt.Errorf("list nftables sets of %s: %w", name, err)
	}
	for _, set := range sets {
		s.Nftables = append(s.Nftables, fmt.Sprintf("set %s %s %s", name, set.Name, set.KeyType.Name))
		elements, err := conn.GetSetElements(set)
		if err != nil {
			return fmt.Errorf("list elements of nftables set %s: %w", set.Name, err)
		}
		for _, element := range elements {
			s.Nftables = append(s.Nftables, fmt.Sprintf("element %s %s %s %s", name, set.Name, hex.EncodeToString(element.Key), hex.EncodeToString(element.Val)))
		}
	}
	return nil
}

// snapshotXtables lists what the older packet filters hold. A kernel without them holds nothing.
func (s *Snapshot) snapshotXtables() error {
	for _, file := range []string{"ip_tables_names", "ip6_tables_names", "arp_tables_names"} {
		content, err := os.ReadFile("/proc/thread-self/net/" + file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("list iptables: %w", err)
		}
		for table := range strings.FieldsSeq(string(content)) {
			s.Xtables = append(s.Xtables, strings.TrimSuffix(file, "_names")+" "+table)
		}
	}
	sets, err := netlink.IpsetListAll()
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EPROTONOSUPPORT) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("list ipsets: %w", err)
	}
	for _, set := range sets {
		s.Xtables = append(s.Xtables, fmt.Sprintf("ipset %s %s %d entries", set.SetName, set.TypeName, len(set.Entries)))
	}
	return nil
}

// snapshotSettings lists the settings of the network namespace.
func (s *Snapshot) snapshotSettings() error {
	const root = "/proc/sys/net"
	volatile := []string{"nf_conntrack_count", "flush"}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || slices.Contains(volatile, entry.Name()) {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // of a device that went away
			}
			return err
		}
		if content, err := os.ReadFile(path); err == nil { // some can only be written
			s.Settings = append(s.Settings, strings.TrimPrefix(path, root+"/")+" = "+strings.Join(strings.Fields(string(content)), " "))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list network settings: %w", err)
	}
	return nil
}
