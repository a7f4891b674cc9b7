package reset

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// listNames asks the kernel for the names of the sets without what is in them (IPSET_FLAG_LIST_SETNAME in
// uapi/linux/netfilter/ipset/ip_set.h).
const listNames = 1 << 1

// observeSets lists the names of the ip sets. A kernel without ip sets has none. netlink.IpsetListAll
// would also decode the members, and print what it does not know of them.
func observeSets() ([]string, error) {
	req := nl.NewNetlinkRequest(nl.IPSET_CMD_LIST|unix.NFNL_SUBSYS_IPSET<<8, nl.GetIpsetFlags(nl.IPSET_CMD_LIST))
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_INET, Version: nl.NFNETLINK_V0})
	req.AddData(nl.NewRtAttr(nl.IPSET_ATTR_PROTOCOL, nl.Uint8Attr(nl.IPSET_PROTOCOL)))
	req.AddData(&nl.Uint32Attribute{Type: nl.IPSET_ATTR_FLAGS | nl.NLA_F_NET_BYTEORDER, Value: listNames})
	messages, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EINVAL) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, m := range messages {
		if len(m) < nl.SizeofNfgenmsg {
			continue
		}
		attrs, err := nl.ParseRouteAttr(m[nl.SizeofNfgenmsg:])
		if err != nil {
			return nil, err
		}
		for _, a := range attrs {
			if a.Attr.Type == nl.IPSET_ATTR_SETNAME {
				names = append(names, nl.BytesToString(a.Value))
			}
		}
	}
	return names, nil
}

// oursSet tells the sets of the policy engine (kube-router pkg/utils/ipset.go, netpol).
func oursSet(name string) bool {
	name = strings.TrimPrefix(name, "inet6:")
	return strings.HasPrefix(name, "KUBE-") || strings.HasPrefix(name, "kube-router-") || strings.HasPrefix(name, "TMP-")
}

func (b builder) planSets() {
	for _, name := range b.now.Sets {
		if oursSet(name) && !slices.Contains(b.past.Sets, name) {
			b.step(phaseUndo, KindSet, name, "destroy ip set", func(context.Context) error { return destroySet(name) })
		}
	}
}

func destroySet(name string) error {
	names, err := observeSets()
	if err != nil || !slices.Contains(names, name) {
		return err
	}
	return netlink.IpsetDestroy(name)
}
