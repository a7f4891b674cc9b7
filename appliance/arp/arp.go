// Package arp asks a link who has an address. It is how two holders of one address are found: the machine that has the
// address itself would never learn of the other.
package arp

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Answers are the hardware addresses that claim each address, without those of the asking interface.
type Answers map[netip.Addr][]string

// ErrNotEthernet is returned for an interface without hardware addresses, such as a tunnel.
var ErrNotEthernet = errors.New("not an Ethernet interface")

// rounds is how often Probe asks: a frame may be lost.
const rounds = 2

// Probe asks on the interface for the IPv4 targets, as RFC 5227 wants it: without an address of our own, so that nobody's
// table changes. It returns after wait; when ctx ends before, with what it has heard until then. It needs CAP_NET_RAW.
func Probe(ctx context.Context, device string, wait time.Duration, targets ...netip.Addr) (Answers, error) {
	link, err := net.InterfaceByName(device)
	if err != nil {
		return nil, fmt.Errorf("look for interface %s: %w", device, err)
	}
	if len(link.HardwareAddr) != hardwareSize {
		return nil, fmt.Errorf("%s: %w", device, ErrNotEthernet)
	}
	socket, err := open(link)
	if err != nil {
		return nil, fmt.Errorf("open an ARP socket on %s: %w", device, err)
	}
	defer socket.Close()
	answers := Answers{}
	for range rounds {
		for _, target := range targets {
			if _, err := socket.Write(request(link.HardwareAddr, target)); err != nil {
				return nil, fmt.Errorf("ask for %s on %s: %w", target, device, err)
			}
		}
		if err := listen(ctx, socket, wait/rounds, func(c claim) {
			known := answers[c.address]
			if slices.Contains(targets, c.address) && c.hardware != link.HardwareAddr.String() && !slices.Contains(known, c.hardware) {
				answers[c.address] = append(known, c.hardware)
			}
		}); err != nil {
			return nil, fmt.Errorf("listen for ARP on %s: %w", device, err)
		}
	}
	return answers, nil
}

// open makes a socket that sends and gets whole ARP frames of one interface.
func open(link *net.Interface) (*os.File, error) {
	protocol := bits.ReverseBytes16(unix.ETH_P_ARP) // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(protocol))
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: link.Index}); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "arp"), nil
}

// listen calls hear for every claim that arrives within wait.
func listen(ctx context.Context, socket *os.File, wait time.Duration, hear func(claim)) error {
	if err := socket.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = socket.SetReadDeadline(time.Now()) })()
	frame := make([]byte, 1514)
	for ctx.Err() == nil {
		n, err := socket.Read(frame)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		if c, ok := decode(frame[:n]); ok {
			hear(c)
		}
	}
	return nil
}
