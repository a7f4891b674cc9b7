package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"islet/appliance/lab/guest"
	"islet/appliance/lab/hierarchy"
)

// programPath is where hosts have the appliance.
const programPath = "/usr/local/bin/appliance"

// Service is the boot command of a host. It is kept running like a systemd unit with Restart=always, RestartSec=1 and
// KillMode=process would keep it.
type Service = guest.Service

// Limits bounds a host's use of the machine. Zero means no limit.
type Limits = hierarchy.Limits

// Spec describes a lab to Up. The zero value of every field but Name has a meaning.
type Spec struct {
	Name  string
	Hosts []HostSpec // none: one host named node1

	Subnet netip.Prefix // IPv4, at most /24; default 10.77.0.0/24. The switch has .1, hosts .11 and up. Labs may share one
	MTU    int          // of every link; default 1500

	Executable string            // put into each host as /usr/local/bin/appliance; default the running executable
	Shared     map[string]string // more files of the machine for every host, by absolute path in the host; copied once per lab
	Hide       []string          // absolute paths of the machine that hosts must not see, beyond the usual; absent ones are fine
	Inside     []netip.Prefix    // pods and services: frames to them do not count as stray; default 10.42.0.0/16 and 10.43.0.0/16

	Keep bool // leave everything in place if Up fails, for a look; Down removes it
}

// HostSpec describes one host.
type HostSpec struct {
	Name   string          // default node1, node2, ...
	Boot   Service         // without Args the host just idles
	Files  map[string]File // put onto its disk before the first boot, by absolute path
	Limits Limits
}

// File is the content of a file in a host.
type File struct {
	Data []byte
	Mode fs.FileMode // default 0644
}

// hostRecord is what lab.json keeps of a host: all that later boots need.
type hostRecord struct {
	Name   string     `json:"name"`
	Addr   netip.Addr `json:"addr"`
	MAC    string     `json:"mac"`
	Boot   Service    `json:"boot"`
	Limits Limits     `json:"limits"`
}

// record is the content of lab.json.
type record struct {
	Name   string         `json:"name"`
	Subnet netip.Prefix   `json:"subnet"`
	MTU    int            `json:"mtu"`
	Inside []netip.Prefix `json:"inside"`
	Hosts  []hostRecord   `json:"hosts"`
}

const firstHostOffset = 11

// checkDiskPath says whether a path can name a file on the disk of a host that is off.
func checkDiskPath(path string) error {
	if filepath.Clean(path) != path || !filepath.IsAbs(path) || path == "/" {
		return fmt.Errorf("file %q: want a clean absolute path", path)
	}
	for _, volatile := range []string{"/run/", "/tmp/", "/dev/", "/proc/", "/sys/"} {
		if strings.HasPrefix(path, volatile) {
			return fmt.Errorf("file %q: %s is not on a host's disk", path, volatile)
		}
	}
	return nil
}

// complete checks the spec, fills in defaults and derives the record of the lab. It reports every problem at once.
func (s *Spec) complete() (record, error) {
	if len(s.Hosts) == 0 {
		s.Hosts = []HostSpec{{}}
	}
	if !s.Subnet.IsValid() {
		s.Subnet = netip.MustParsePrefix("10.77.0.0/24")
	}
	if s.MTU == 0 {
		s.MTU = 1500
	}
	if s.Inside == nil {
		s.Inside = []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16"), netip.MustParsePrefix("10.43.0.0/16")}
	}
	if s.Executable == "" {
		s.Executable = "/proc/self/exe"
	}
	s.Shared = maps.Clone(s.Shared)
	if s.Shared == nil {
		s.Shared = map[string]string{}
	}
	s.Shared[programPath] = s.Executable
	errs := []error{checkLabName(s.Name)}
	if !s.Subnet.Addr().Is4() || s.Subnet.Bits() > 24 {
		errs = append(errs, fmt.Errorf("subnet %s: want IPv4 with at most 24 bits of prefix", s.Subnet))
	}
	if s.MTU < 1280 || s.MTU > 65535 {
		errs = append(errs, fmt.Errorf("mtu %d: want 1280 to 65535", s.MTU))
	}
	if len(s.Hosts) > 200 {
		errs = append(errs, fmt.Errorf("%d hosts: want at most 200", len(s.Hosts)))
	}
	for _, path := range s.Hide {
		if !filepath.IsAbs(path) || filepath.Clean(path) == "/" {
			errs = append(errs, fmt.Errorf("hidden path %q: want an absolute path below /", path))
		}
	}
	for path := range s.Shared {
		errs = append(errs, checkDiskPath(path))
	}
	rec := record{Name: s.Name, Subnet: s.Subnet.Masked(), MTU: s.MTU, Inside: s.Inside}
	for i := range s.Hosts {
		host, err := s.Hosts[i].complete(i, rec.Subnet)
		if slices.ContainsFunc(rec.Hosts, func(h hostRecord) bool { return h.Name == host.Name }) {
			err = errors.Join(err, fmt.Errorf("host name %q is used twice", host.Name))
		}
		rec.Hosts = append(rec.Hosts, host)
		errs = append(errs, err)
	}
	return rec, errors.Join(errs...)
}

func (h *HostSpec) complete(index int, subnet netip.Prefix) (hostRecord, error) {
	if h.Name == "" {
		h.Name = fmt.Sprintf("node%d", index+1)
	}
	errs := []error{checkHostName(h.Name)}
	for path := range h.Files {
		errs = append(errs, checkDiskPath(path))
	}
	addr := offset(subnet, firstHostOffset+index)
	return hostRecord{Name: h.Name, Addr: addr, MAC: macOf(addr).String(), Boot: h.Boot, Limits: h.Limits}, errors.Join(errs...)
}

// offset returns the nth address of a masked IPv4 subnet, for n below 256.
func offset(subnet netip.Prefix, n int) netip.Addr {
	if !subnet.Addr().Is4() {
		return netip.Addr{}
	}
	bytes := subnet.Addr().As4()
	bytes[3] += byte(n)
	return netip.AddrFrom4(bytes)
}

// macOf derives a locally administered hardware address from an IPv4 address.
func macOf(addr netip.Addr) net.HardwareAddr {
	if !addr.Is4() {
		return nil
	}
	bytes := addr.As4()
	return append(net.HardwareAddr{0x02, 0x69}, bytes[:]...)
}

// ErrNotRoot means that the caller lacks the rights to make namespaces and mounts.
var ErrNotRoot = errors.New("labs need root")

func checkRoot() error {
	if os.Geteuid() != 0 {
		return ErrNotRoot
	}
	return nil
}
