package arp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// The layout of an ARP frame for IPv4 over Ethernet: RFC 826.
const (
	hardwareSize = 6
	headerSize   = 14
	frameSize    = headerSize + 28
	smallest     = 60 // of an Ethernet frame, without its checksum
	opRequest    = 1
)

// claim is what an ARP frame says of its sender.
type claim struct {
	address  netip.Addr
	hardware string
}

// body is what all frames have in common: Ethernet, IPv4, and the sizes of their addresses.
var body = []byte{0, 1, 0x08, 0x00, hardwareSize, 4}

// request is a broadcast that asks who has target; its sender has no address.
func request(from net.HardwareAddr, target netip.Addr) []byte {
	frame := slices.Repeat([]byte{0xff}, hardwareSize)
	frame = append(frame, from...)
	frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_ARP)
	frame = append(frame, body...)
	frame = binary.BigEndian.AppendUint16(frame, opRequest)
	frame = append(frame, from...)
	frame = append(frame, make([]byte, 4+hardwareSize)...)
	frame = append(frame, target.AsSlice()...)
	return append(frame, make([]byte, smallest-frameSize)...)
}

// decode reads who the sender of a frame says it is; !ok for what is no ARP frame, and for a sender without an address.
// Requests claim an address as well as answers do.
func decode(frame []byte) (c claim, ok bool) {
	if len(frame) < frameSize || binary.BigEndian.Uint16(frame[headerSize-2:]) != unix.ETH_P_ARP || !slices.Equal(frame[headerSize:headerSize+len(body)], body) {
		return claim{}, false
	}
	sender := frame[headerSize+len(body)+2:]
	address := netip.AddrFrom4([4]byte(sender[hardwareSize:]))
	return claim{address, net.HardwareAddr(sender[:hardwareSize]).String()}, !address.IsUnspecified()
}
