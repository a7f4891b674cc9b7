package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"islet/appliance/config"
	"islet/appliance/host"
)

// identityChecks are about who runs this and when.
func identityChecks(in Input) []Check {
	return []Check{
		check[int]{id: "root", title: "Running as root", probe: known(in.Facts.UID), judge: judgeUID},
		check[time.Time]{id: "clock", title: "Clock", probe: func(context.Context) (time.Time, error) { return time.Now().Add(in.Shift), nil }, judge: judgeClock(in.Build)},
	}
}

func judgeUID(uid int) verdict {
	v := verdict{status: Passed, found: fmt.Sprintf("uid %d", uid), threshold: "uid 0"}
	if uid != 0 {
		v.status, v.advice = Failed, "run it with sudo"
	}
	return v
}

// judgeClock does not wait for a time server: certificates are dated from the build on, so a clock
// that is behind is coped with, and said.
func judgeClock(build time.Time) func(time.Time) verdict {
	return func(now time.Time) verdict {
		v := verdict{status: Passed, found: now.UTC().Format(time.RFC3339)}
		if build.IsZero() {
			return v
		}
		v.threshold = "after " + build.UTC().Format(time.RFC3339) + ", when this program was built"
		switch {
		case now.Before(build):
			v.status, v.advice = Warned, "set it (date -s, then hwclock -w) and check the battery of the board; until then the platform counts from the time it was built"
		case now.After(build.AddDate(20, 0, 0)):
			v.status, v.advice = Warned, "it is more than 20 years ahead of this program; set it (date -s, then hwclock -w), or certificates will be dated wrongly"
		}
		return v
	}
}

// networkChecks compare the machine's links with the addressing plan, and ask who has the virtual addresses.
func networkChecks(in Input) []Check {
	derived, _ := config.Derive(in.Config, in.Facts) // its problems are shown by the fits checks
	return append(linkChecks(in, derived), vipChecks(in, derived)...)
}

func linkChecks(in Input, derived config.Derived) []Check {
	link, address, _ := in.Facts.Holder(derived.Address)
	return []Check{
		fits(in, "node-name", "Name of this node", derived.NodeName, "node.name"),
		fits(in, "node-address", "Address of this node", derived.Address.String(), "node.address"),
		check[nodeLink]{id: "address-stable", title: "Stability of the address", probe: known(nodeLink{link, address}), judge: judgeStable},
		fits(in, "cluster-networks", "Pod and service networks", in.Config.Network.PodCIDR.String()+" and "+in.Config.Network.ServiceCIDR.String(), "network.podCIDR", "network.serviceCIDR"),
		fits(in, "network-backend", "Pod network between nodes", string(derived.Backend), "network.backend", "network.mtu"),
		check[int]{id: "mtu", title: "Largest packet of pods", probe: known(derived.MTU), judge: judgeMTU},
		check[*host.Route]{id: "default-route", title: "Default route", probe: known(in.Facts.DefaultRoute), judge: judgeRoute},
	}
}

// nodeLink is the interface and address this node is known by; zero when there is none.
type nodeLink struct {
	link    host.Interface
	address host.Address
}

func judgeStable(n nodeLink) verdict {
	if n.link.Name == "" {
		return verdict{status: Info, found: "no address to judge yet"}
	}
	v := verdict{status: Passed, found: fmt.Sprintf("%s on %s, static", n.address.Prefix, n.link.Name), threshold: "a static address on a link that is up"}
	switch {
	case n.address.Dynamic:
		v.status, v.found = Warned, fmt.Sprintf("%s on %s is a lease", n.address.Prefix, n.link.Name)
		v.advice = "certificates and peers hold this address: configure it statically, or reserve it in the DHCP server"
	case !n.link.Carrier:
		v.status, v.found = Warned, fmt.Sprintf("%s has no link", n.link.Name)
		v.advice = "check the cable and the switch port; a single node works without"
	}
	return v
}

// judgeMTU: IPv6 wants 1280, and below it many tunnels break; 576 is what IPv4 promises.
func judgeMTU(mtu int) verdict {
	if mtu <= 0 {
		return verdict{status: Info, found: "no interface to judge yet"}
	}
	v := verdict{status: limits{fail: 576, warn: 1280}.judge(float64(mtu)), found: fmt.Sprintf("%d bytes", mtu), value: float64(mtu), unit: "bytes", threshold: "1280 bytes or more, 576 at least"}
	v.advice = unless(v.status, "raise the MTU of the node's interface; pods get 50 bytes less than it where vxlan may be used")
	return v
}

// judgeRoute only tells: the platform needs no way out.
func judgeRoute(r *host.Route) verdict {
	if r == nil {
		return verdict{status: Passed, found: "none, and none is needed"}
	}
	return verdict{status: Passed, found: fmt.Sprintf("by %s on %s", r.Gateway, r.Interface)}
}

// derivedProblems are those that config.Derive reports at or below one of the paths.
func derivedProblems(in Input, paths []string) config.Problems {
	_, err := config.Derive(in.Config, in.Facts)
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(problems), func(p config.Problem) bool {
		return !slices.ContainsFunc(paths, func(path string) bool {
			return p.Path == path || strings.HasPrefix(p.Path, path+".")
		})
	})
}
