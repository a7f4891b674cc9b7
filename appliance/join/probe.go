package join

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Probe is what a server sends to a machine's port for packets between pods: datagrams of two sizes that may not be cut
// up on the way.
type Probe struct {
	Small int `json:"small"` // bytes of the IP packet; 0 when none was sent
	Full  int `json:"full"`  // the same for the largest that the site's nodes will send
}

// ErrPath is returned where packets between pods would get lost.
var ErrPath = errors.New("packets between pods do not pass")

const (
	smallProbe  = 128
	probeHeader = 20 + 8 // IPv4 and UDP
	probeCopies = 3      // one may get lost
	probeWait   = time.Second
)

// SendProbe sends datagrams to a machine: small ones, and those that fill full bytes. That the large ones cannot even be
// sent is for the receiver to find out.
func SendProbe(ctx context.Context, to netip.AddrPort, full int) (Probe, error) {
	dialer := net.Dialer{Control: func(_, _ string, conn syscall.RawConn) error {
		var failed error
		err := conn.Control(func(fd uintptr) {
			// "Probe": never fragment, and do not believe what was learned about the path before.
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
		})
		return errors.Join(err, failed)
	}}
	conn, err := dialer.DialContext(ctx, "udp4", to.String())
	if err != nil {
		return Probe{}, err
	}
	defer conn.Close()
	p := Probe{Small: smallProbe, Full: full}
	for range probeCopies {
		for _, size := range []int{p.Small, p.Full} {
			_, _ = conn.Write(make([]byte, size-probeHeader)) // what is too long, or refused, does not arrive
		}
	}
	return p, nil
}

// Receiver notes the probes that arrive at this machine.
type Receiver struct {
	conn *net.UDPConn
	mu   sync.Mutex
	seen map[int]bool // by size of the packet
	more chan struct{}
}

// Receive opens the port for probes. The caller closes it.
func Receive(at netip.AddrPort) (*Receiver, error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	r := &Receiver{conn: conn, seen: map[int]bool{}, more: make(chan struct{}, 1)}
	go r.read()
	return r, nil
}

func (r *Receiver) read() {
	buffer := make([]byte, 1<<16)
	for {
		n, _, err := r.conn.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		r.mu.Lock()
		r.seen[n+probeHeader] = true
		r.mu.Unlock()
		select {
		case r.more <- struct{}{}:
		default:
		}
	}
}

// Close ends receiving.
func (r *Receiver) Close() error { return r.conn.Close() }

// Check says what became of the probe, a second after it was sent at the latest.
func (r *Receiver) Check(ctx context.Context, p Probe, from, at netip.Addr) error {
	if p.Small == 0 {
		return nil
	}
	late := time.After(probeWait)
	for {
		r.mu.Lock()
		small, full := r.seen[p.Small], r.seen[p.Full]
		r.mu.Unlock()
		if full {
			return nil
		}
		select {
		case <-r.more:
			continue
		case <-ctx.Done():
			return ctx.Err()
		case <-late:
		}
		if !small {
			return fmt.Errorf("%w from %s to %s: none arrives at port %d/udp", ErrPath, from, at, r.conn.LocalAddr().(*net.UDPAddr).Port)
		}
		return fmt.Errorf("%w from %s to %s: those of %d bytes get lost, small ones arrive", ErrPath, from, at, p.Full)
	}
}
