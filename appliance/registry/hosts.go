package registry

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"islet/appliance/atomicfile"
)

// Hosts is where a node's container runtime looks for images, whatever host their names begin with: nothing on a site can
// reach another registry, and what was uploaded is found under the name that it came with.
type Hosts struct {
	Dir         string       // containerd's config_path
	Servers     []netip.Addr // in the order in which they are tried
	CA          string       // signs the registries' certificates
	Cert, Key   string       // of this node
	DialSeconds int          // how long a server that is away holds up a pull
}

// Write writes the file that containerd reads at each pull, so that no restart is needed. Without servers nothing changes:
// an old list is better than none.
//
// containerd tries the hosts in the order of the file and then the "server", which would otherwise be the one that the
// image is named after.
func (h Hosts) Write() error {
	if len(h.Servers) == 0 {
		return nil
	}
	dir := filepath.Join(h.Dir, "_default")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	last := len(h.Servers) - 1
	var text strings.Builder
	fmt.Fprintf(&text, "server = %q\n%s", url(h.Servers[last]), h.access(""))
	for _, server := range h.Servers[:last] {
		fmt.Fprintf(&text, "\n[host.%q]\n%s", url(server), h.access("  "))
	}
	return atomicfile.WriteIfChanged(filepath.Join(dir, "hosts.toml"), []byte(text.String()), 0o600)
}

func url(server netip.Addr) string { return "https://" + netip.AddrPortFrom(server, Port).String() }

func (h Hosts) access(indent string) string {
	return fmt.Sprintf("%[1]scapabilities = [\"pull\", \"resolve\"]\n%[1]sca = %[2]q\n%[1]sclient = [[%[3]q, %[4]q]]\n%[1]sdial_timeout = \"%[5]ds\"\n",
		indent, h.CA, h.Cert, h.Key, h.DialSeconds)
}
