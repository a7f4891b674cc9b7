package join

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestProbe(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		full int
		lost bool
		says string
	}{
		"a whole Ethernet frame": {1500, false, ""},
		"no path takes it":       {1 << 16, false, "those of 65536 bytes get lost, small ones arrive"},
		"nothing passes":         {1500, true, "none arrives at port"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			here := netip.MustParseAddr("127.0.0.1")
			r, err := Receive(netip.AddrPortFrom(here, 0))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = r.Close() }()
			to := netip.AddrPortFrom(here, uint16(r.conn.LocalAddr().(*net.UDPAddr).Port))
			if c.lost {
				to = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.9"), to.Port())
			}
			p, err := SendProbe(t.Context(), to, c.full)
			if err != nil {
				t.Fatal(err)
			}
			err = r.Check(t.Context(), p, here, here)
			if (err == nil) != (c.says == "") || err != nil && (!errors.Is(err, ErrPath) || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

func TestNoProbe(t *testing.T) {
	t.Parallel()
	if err := new(Receiver).Check(t.Context(), Probe{}, netip.Addr{}, netip.Addr{}); err != nil {
		t.Error(err)
	}
}
