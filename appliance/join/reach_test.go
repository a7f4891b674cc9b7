package join

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
)

// listening listens on a port of the address; vacant is one on which nobody does.
func listening(t *testing.T, address string) netip.AddrPort {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func vacant(t *testing.T, address string) netip.AddrPort {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address+":0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return at
}

func TestCheckPorts(t *testing.T) {
	t.Parallel()
	first, other := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	unroutable := netip.MustParseAddrPort("[::ffff:255.255.255.255]:9")
	list := func(ports ...netip.AddrPort) []netip.AddrPort { return ports }
	for name, c := range map[string]struct {
		servers  Servers
		asked    netip.Addr
		more     []uint16
		warnings int
		want     error
	}{
		"all open":                     {Servers{list(listening(t, "127.0.0.1")), list(listening(t, "127.0.0.1"))}, first, nil, 0, nil},
		"the asked one is a standby":   {Servers{list(vacant(t, "127.0.0.1"), listening(t, "127.0.0.2")), list(listening(t, "127.0.0.1"))}, first, nil, 0, nil},
		"no API at all":                {Servers{list(vacant(t, "127.0.0.1")), list(listening(t, "127.0.0.1"))}, first, nil, 0, ErrUnreachable},
		"another server is away":       {Servers{list(listening(t, "127.0.0.1"), unroutable), list(listening(t, "127.0.0.1"))}, first, nil, 1, nil},
		"the asked one is cut off":     {Servers{list(listening(t, "127.0.0.2"), unroutable), list(listening(t, "127.0.0.2"))}, unroutable.Addr(), nil, 0, ErrUnreachable},
		"a further port is closed too": {Servers{list(listening(t, "127.0.0.2")), list(listening(t, "127.0.0.2"))}, other, []uint16{vacant(t, "127.0.0.2").Port()}, 0, nil},
	} {
		warnings, err := CheckPorts(t.Context(), c.asked, c.servers, c.more...)
		if !errors.Is(err, c.want) || c.want == nil && err != nil || len(warnings) != c.warnings {
			t.Errorf("%s: %v, warnings %v", name, err, warnings)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := CheckPorts(cancelled, first, Servers{API: list(listening(t, "127.0.0.1"))}); err == nil {
		t.Error("a check that was cancelled finds nothing wrong")
	}
}
