package arp

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"islet/appliance/host"
)

var sender = net.HardwareAddr{2, 0, 0, 0, 0, 1}

func TestRequestIsAProbe(t *testing.T) {
	t.Parallel()
	want := []byte{
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x06,
		0, 1, 0x08, 0, 6, 4, 0, 1,
		2, 0, 0, 0, 0, 1, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 192, 0, 2, 100,
	}
	got := request(sender, netip.MustParseAddr("192.0.2.100"))
	if !slices.Equal(got[:frameSize], want) || len(got) != smallest {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if _, ok := decode(got); ok {
		t.Error("a probe claims an address")
	}
}

// answer is a frame in which hardware says that it has address.
func answer(hardware net.HardwareAddr, address netip.Addr) []byte {
	frame := request(hardware, netip.MustParseAddr("192.0.2.9"))
	copy(frame[headerSize+len(body)+2+hardwareSize:], address.AsSlice())
	return frame
}

func TestDecode(t *testing.T) {
	t.Parallel()
	address := netip.MustParseAddr("192.0.2.100")
	whole := answer(sender, address)
	if c, ok := decode(whole); !ok || c != (claim{address, "02:00:00:00:00:01"}) {
		t.Errorf("got %+v, %t", c, ok)
	}
	changed := func(i int) []byte {
		frame := slices.Clone(whole)
		frame[i] ^= 0xff
		return frame
	}
	for name, frame := range map[string][]byte{
		"empty": nil, "cut": whole[:frameSize-1], "not ARP": changed(12), "not Ethernet": changed(15), "not IPv4": changed(16),
		"longer addresses": changed(18), "no address": answer(sender, netip.IPv4Unspecified()),
	} {
		if c, ok := decode(frame); ok {
			t.Errorf("%s: decoded as %+v", name, c)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(answer(sender, netip.MustParseAddr("192.0.2.100")))
	f.Add(request(sender, netip.MustParseAddr("192.0.2.100")))
	f.Fuzz(func(t *testing.T, frame []byte) {
		if c, ok := decode(frame); ok && (!c.address.Is4() || len(c.hardware) != 17) {
			t.Errorf("decoded %+v", c)
		}
	})
}

// TestProbeFindsOtherHolders asks from one end of a virtual cable for addresses of the other end.
func TestProbeFindsOtherHolders(t *testing.T) {
	t.Parallel()
	err := host.InNewNamespaces(unix.CLONE_NEWNET, func() error {
		if err := cable(); err != nil {
			return err
		}
		there, here, nowhere := netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.3")
		peer, err := net.InterfaceByName("there")
		if err != nil {
			return err
		}
		got, err := Probe(t.Context(), "here", 400*time.Millisecond, there, here, nowhere)
		if err != nil || len(got) != 1 || !slices.Equal(got[there], []string{peer.HardwareAddr.String()}) {
			t.Errorf("answers %v (%v), want %s for %s", got, err, peer.HardwareAddr, there)
		}
		if _, err := Probe(t.Context(), "lo", time.Millisecond, there); !errors.Is(err, ErrNotEthernet) {
			t.Errorf("on loopback: %v", err)
		}
		if _, err := Probe(t.Context(), "none", time.Millisecond, there); err == nil {
			t.Error("on no interface: no error")
		}
		return nil
	})
	if errors.Is(err, unix.EPERM) {
		t.Skip("needs root for namespaces")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// cable makes two interfaces that are connected, both in this network namespace.
func cable() error {
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "here"}, PeerName: "there"}); err != nil {
		return err
	}
	for name, address := range map[string]string{"here": "192.0.2.1/32", "there": "192.0.2.2/32"} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		parsed, err := netlink.ParseAddr(address)
		if err != nil {
			return err
		}
		if err := errors.Join(netlink.AddrAdd(link, parsed), netlink.LinkSetUp(link)); err != nil {
			return err
		}
	}
	// Both ends are one machine here, which would answer at either for all its addresses.
	return os.WriteFile("/proc/sys/net/ipv4/conf/there/arp_ignore", []byte("1"), 0o644)
}
