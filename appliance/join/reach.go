package join

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

const reachTimeout = 3 * time.Second

// CheckPorts tries the ports of the site's servers from here. The server that was asked must be reachable on all of them; a
// port on which nothing listens counts as reachable, as a server without a vote has no API. Another server may be off: what
// is wrong there is returned as a warning. At least one API must be there.
func CheckPorts(ctx context.Context, asked netip.Addr, s Servers, more ...uint16) (warnings []error, err error) {
	ports := slices.Concat(s.API, s.Node)
	for _, at := range s.Node {
		for _, port := range more {
			ports = append(ports, netip.AddrPortFrom(at.Addr(), port))
		}
	}
	anyAPI := false
	for _, at := range ports {
		err := knock(ctx, at)
		anyAPI = anyAPI || err == nil && slices.Contains(s.API, at)
		switch {
		case err == nil || errors.Is(err, syscall.ECONNREFUSED):
		case at.Addr() == asked:
			return warnings, fmt.Errorf("%w: %w", ErrUnreachable, err)
		default:
			warnings = append(warnings, err)
		}
	}
	if !anyAPI {
		return warnings, fmt.Errorf("%w: no server's Kubernetes API answers at any of %v", ErrUnreachable, s.API)
	}
	return warnings, nil
}

func knock(ctx context.Context, at netip.AddrPort) error {
	conn, err := (&net.Dialer{Timeout: reachTimeout}).DialContext(ctx, "tcp", at.String())
	if err == nil {
		_ = conn.Close()
	}
	return err
}
