package host

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Listener is a socket waiting for traffic from the network.
type Listener struct {
	Protocol string // tcp or udp
	Address  netip.AddrPort
	inode    string
}

// Listeners reads the listening TCP and bound UDP sockets of this network namespace.
func Listeners(root string) ([]Listener, error) {
	var all []Listener
	for _, name := range []string{"tcp", "tcp6", "udp", "udp6"} {
		file, err := os.Open(filepath.Join(root, "proc/self/net", name))
		if os.IsNotExist(err) {
			continue // a kernel without IPv6 has no tcp6
		}
		if err != nil {
			return nil, err
		}
		list, err := parseSockets(file, strings.TrimSuffix(name, "6"))
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("read /proc/net/%s: %w", name, err)
		}
		all = append(all, list...)
	}
	return all, nil
}

// stateListen and stateBound are how the kernel shows TCP_LISTEN, and TCP_CLOSE for a UDP socket
// that is bound and not connected (include/net/tcp_states.h).
const (
	stateListen = "0A"
	stateBound  = "07"
)

func parseSockets(r io.Reader, protocol string) ([]Listener, error) {
	var list []Listener
	lines := bufio.NewScanner(r)
	lines.Scan() // the heading
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 {
			continue
		}
		if waits := fields[3] == stateListen || protocol == "udp" && fields[3] == stateBound; !waits {
			continue
		}
		address, err := parseSocketAddress(fields[1])
		if err != nil {
			return nil, err
		}
		list = append(list, Listener{Protocol: protocol, Address: address, inode: fields[9]})
	}
	return list, lines.Err()
}

// parseSocketAddress reads "0100007F:1F90": the address as 32-bit words in host order (both
// architectures we build for are little-endian), the port as a number.
func parseSocketAddress(text string) (netip.AddrPort, error) {
	host, port, found := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	if err != nil || !found || len(raw)%4 != 0 {
		return netip.AddrPort{}, fmt.Errorf("not a socket address: %q", text)
	}
	for word := range slices.Chunk(raw, 4) {
		slices.Reverse(word)
	}
	addr, ok := netip.AddrFromSlice(raw)
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil || !ok {
		return netip.AddrPort{}, fmt.Errorf("not a socket address: %q", text)
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(number)), nil
}

// Owner finds which of the processes holds the socket. It is false when this process may not look,
// and for sockets of the kernel itself, such as a vxlan tunnel's.
func (l Listener) Owner(root string, processes []Process) (Process, bool) {
	want := "socket:[" + l.inode + "]"
	for _, p := range processes {
		dir := filepath.Join(root, "proc", strconv.Itoa(p.PID), "fd")
		files, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, file := range files {
			if target, err := os.Readlink(filepath.Join(dir, file.Name())); err == nil && target == want {
				return p, true
			}
		}
	}
	return Process{}, false
}
