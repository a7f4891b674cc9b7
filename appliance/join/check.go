package join

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"islet/appliance/pki"
)

// The reasons for which a machine does not go on with joining.
var (
	ErrVersion     = errors.New("the site runs another file than this one")
	ErrClock       = errors.New("the clocks of this machine and of the site are too far apart")
	ErrUnreachable = errors.New("a port is not reachable")
)

const (
	// SkewWarning is from where on an operator should know: events and logs of nodes can no longer be put in order.
	SkewWarning = 2 * time.Second
	// SkewLimit leaves half of what certificates are backdated by: beyond that the machine takes those that the site has
	// just issued for not valid yet.
	SkewLimit = pki.Backdate / 2
)

// CheckVersion compares the site's version with this one. Nodes of one site run the same.
func CheckVersion(site Hello, version string) error {
	if site.Version != version {
		return fmt.Errorf("%w: the site runs version %s, this is %s", ErrVersion, site.Version, version)
	}
	return nil
}

// CheckExecutable compares the executables without their bundles, for a machine that fetches the site's bundle: with it, it
// must have the very file that the site runs. Of a server whose bundle is in a file of its own it says nothing.
func CheckExecutable(c Carried, own digest.Digest) error {
	if c.Executable != own && c.Executable != digest.FromBytes(nil) {
		return fmt.Errorf("%w: both say the same version, but the site's executable is %s and this one's is %s", ErrVersion, c.Executable, own)
	}
	return nil
}

// CheckClock judges by how much the server's clock is ahead of this machine's.
func CheckClock(skew time.Duration) error {
	if skew.Abs() > SkewLimit {
		return fmt.Errorf("%w: this machine's is %s", ErrClock, Behind(skew))
	}
	return nil
}

// Behind puts a skew in words, such as "3s behind the site's".
func Behind(skew time.Duration) string {
	word := "behind"
	if skew < 0 {
		word = "ahead of"
	}
	return fmt.Sprintf("%s %s the site's", skew.Abs().Round(100*time.Millisecond), word)
}

// CheckReached makes an error of the ports that a server could not reach on this machine.
func CheckReached(server netip.Addr, address netip.Addr, unreached map[uint16]string) error {
	var list []string
	for _, port := range slices.Sorted(maps.Keys(unreached)) {
		list = append(list, fmt.Sprintf("%s cannot reach %s (%s)", server, netip.AddrPortFrom(address, port), unreached[port]))
	}
	if len(list) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrUnreachable, strings.Join(list, "; "))
}
