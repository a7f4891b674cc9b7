package preflight

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"islet/appliance/arp"
	"islet/appliance/config"
)

// probeWait is how long other machines have to answer.
const probeWait = 500 * time.Millisecond

// vipChecks asks the link whether the virtual addresses are free. A site that has its servers already holds them: then they
// need not be.
func vipChecks(in Input, d config.Derived) []Check {
	var wanted []netip.Addr
	for _, v := range []config.VirtualAddress{d.APIVIP, d.ApplicationsVIP} {
		if v.Address.IsValid() {
			wanted = append(wanted, v.Address)
		}
	}
	if len(wanted) == 0 || d.Interface == "" || in.Config.Node.Role != config.RoleServer {
		return nil
	}
	_, err := os.Stat(in.Layout.PKI())
	return []Check{
		fits(in, "virtual-address-network", "Network of the virtual addresses", d.NodeNetwork.String(), "network.vip"),
		check[arp.Answers]{id: "virtual-addresses", title: "Virtual addresses", judge: judgeVIPs(wanted, in.Joins || err == nil),
			probe: func(ctx context.Context) (arp.Answers, error) {
				return arp.Probe(ctx, d.Interface, probeWait, wanted...)
			}},
	}
}

func judgeVIPs(wanted []netip.Addr, ofSite bool) func(arp.Answers) verdict {
	return func(answers arp.Answers) verdict {
		v := verdict{status: Passed, found: fmt.Sprintf("nobody has any of %v", wanted), value: float64(len(answers)), unit: "count", threshold: "nobody has them before the platform"}
		if len(answers) == 0 {
			return v
		}
		var list []string
		for _, a := range wanted {
			if holders := answers[a]; len(holders) > 0 {
				list = append(list, fmt.Sprintf("%s is at %s", a, strings.Join(holders, " and ")))
			}
		}
		v.found = strings.Join(list, "; ")
		if ofSite {
			v.status, v.threshold = Info, ""
			return v
		}
		v.status, v.advice = Failed, "find the machine with that hardware address, or choose another address in network.vip"
		return v
	}
}
