package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Support is the answer to "can this kernel do it".
type Support string

// Unknown is the answer when neither a trial nor the kernel's configuration could tell, for
// instance without CAP_NET_ADMIN. It is not a no.
const (
	Yes     Support = "yes"
	No      Support = "no"
	Unknown Support = "unknown"
)

// Features is what the kernel was found able to do. Links, nftables and ip sets are really created,
// in a network namespace that is thrown away, which also loads modules where the kernel has them.
type Features struct {
	Overlay     Support `json:"overlay"`
	Veth        Support `json:"veth"`
	Bridge      Support `json:"bridge"`
	VXLAN       Support `json:"vxlan"`
	NFTables    Support `json:"nftables"`    // tables and filter chains
	NFTablesNAT Support `json:"nftablesNAT"` // nat chains with masquerade, fib and numgen, as kube-proxy writes them
	IPSet       Support `json:"ipset"`
	BrNetfilter Support `json:"brNetfilter"`
	Conntrack   Support `json:"conntrack"`
}

// probeFeatures asks the kernel, and where it may not, reads its configuration.
func probeFeatures(ctx context.Context, root string, config kernelConfig) (Features, error) {
	f := Features{
		Overlay:     hasFilesystem(root, "overlay", config.has("CONFIG_OVERLAY_FS")),
		BrNetfilter: hasPath(root, "proc/sys/net/bridge", config.has("CONFIG_BRIDGE_NETFILTER")),
		Conntrack:   hasPath(root, "proc/sys/net/netfilter", config.has("CONFIG_NF_CONNTRACK")),
		Veth:        config.has("CONFIG_VETH"),
		Bridge:      config.has("CONFIG_BRIDGE"),
		VXLAN:       config.has("CONFIG_VXLAN"),
		NFTables:    config.has("CONFIG_NF_TABLES"),
		NFTablesNAT: config.has("CONFIG_NFT_NAT"),
		IPSet:       config.has("CONFIG_IP_SET"),
	}
	err := InNewNamespaces(unix.CLONE_NEWNET, func() error { return tryNetwork(ctx, &f) })
	if errors.Is(err, unix.EPERM) {
		return f, nil
	}
	return f, err
}

// tryNetwork makes one of each in the current network namespace. Each attempt overrides what the
// configuration claimed: a module may be configured and yet not be installed.
func tryNetwork(ctx context.Context, f *Features) error {
	attempts := []struct {
		into *Support
		try  func() error
	}{
		{&f.Veth, func() error {
			return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "probe0"}, PeerName: "probe1"})
		}},
		{&f.Bridge, func() error {
			return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "probe2"}})
		}},
		{&f.VXLAN, func() error {
			return netlink.LinkAdd(&netlink.Vxlan{LinkAttrs: netlink.LinkAttrs{Name: "probe3"}, VxlanId: 1, Port: 8472})
		}},
		{&f.NFTables, tryFilterChain},
		{&f.NFTablesNAT, tryNATChain},
		{&f.IPSet, func() error { _, _, err := netlink.IpsetProtocol(); return err }},
	}
	for _, a := range attempts {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("probe kernel features: %w", err)
		}
		switch err := a.try(); {
		case err == nil:
			*a.into = Yes
		case errors.Is(err, unix.EPERM):
			// Not allowed to ask; what the configuration said stands.
		default:
			*a.into = No
		}
	}
	return nil
}

func hasFilesystem(root, name string, otherwise Support) Support {
	file, err := os.Open(filepath.Join(root, "proc/filesystems"))
	if err != nil {
		return otherwise
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 0 && fields[len(fields)-1] == name {
			return Yes
		}
	}
	return otherwise
}

func hasPath(root, path string, otherwise Support) Support {
	if _, err := os.Stat(filepath.Join(root, path)); err == nil {
		return Yes
	}
	return otherwise
}
