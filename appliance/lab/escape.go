package lab

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// Escapes is the evidence of attempts to reach something outside the lab. All zero means that nothing ever tried.
type Escapes struct {
	// StrayFrames counts frames at the switch to, or ARP requests for, addresses that are neither in the lab's subnet nor
	// in Spec.Inside nor of link scope.
	StrayFrames uint64 `json:"strayFrames"`
	// NoRoute counts, by host, the packets and connections that the host's kernel refused for want of a route, be it for
	// its own programs or for its pods. That is where attempts end, as hosts have no default route.
	NoRoute map[string]uint64 `json:"noRoute"`
}

// Total adds everything up.
func (e Escapes) Total() uint64 {
	sum := e.StrayFrames
	for _, n := range e.NoRoute {
		sum += n
	}
	return sum
}

// linkScope is what hosts legitimately send to beside their subnet: multicast that routers do not forward (VRRP, IGMP,
// neighbour discovery) and IPv6 link-local addresses. Broadcasts to 255.255.255.255 are not in it: they look for DHCP.
func linkScope() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("224.0.0.0/24"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff02::/16"),
	}
}

// noRoutes reads how many packets the kernel refused for want of a route, in the network namespace of the process.
// OutNoRoutes counts those of local programs, InNoRoutes those to be forwarded, such as those of pods.
func noRoutes(pid int) (uint64, error) {
	var sum uint64
	for file, counter := range map[string]string{"snmp": "Ip.OutNoRoutes", "netstat": "IpExt.InNoRoutes"} {
		counters, err := readCounters(fmt.Sprintf("/proc/%d/net/%s", pid, file))
		if err != nil {
			return 0, err
		}
		n, ok := counters[counter]
		if !ok {
			return 0, fmt.Errorf("counter %s is not in /proc/net/%s of this kernel", counter, file)
		}
		sum += n
	}
	v6, err := readCounters(fmt.Sprintf("/proc/%d/net/snmp6", pid))
	if err != nil {
		return 0, err
	}
	return sum + v6["Ip6OutNoRoutes"] + v6["Ip6InNoRoutes"], nil
}

// readCounters reads the files of /proc/net in either of their forms: pairs of lines "Group: names" and "Group: values",
// or one "name value" per line. Negative values are left out.
func readCounters(path string) (map[string]uint64, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read counters: %w", err)
	}
	defer file.Close()
	counters := map[string]uint64{}
	var names []string
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) == 2 && !strings.HasSuffix(fields[0], ":"):
			if n, err := strconv.ParseUint(fields[1], 10, 64); err == nil {
				counters[fields[0]] = n
			}
		case len(names) > 0 && len(names) == len(fields) && names[0] == fields[0]:
			for i, name := range names[1:] {
				if n, err := strconv.ParseUint(fields[i+1], 10, 64); err == nil {
					counters[strings.TrimSuffix(fields[0], ":")+"."+name] = n
				}
			}
			names = nil
		default:
			names = fields
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read counters: %w", err)
	}
	return counters, nil
}
