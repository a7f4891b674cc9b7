package etcd

import (
	"context"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// How long a member waits for another that does not answer on an open connection, in seconds: 3 of silence, then a question
// each second. etcd means to give up after 5 s of silence itself, but does not for connections that it opened: it sets
// http.Transport.Dial, and DialContext, which is set too, wins (client/pkg/v3/transport, NewTimeoutTransport, up to 3.7.3).
// What is left then is TCP's own repetition, whose pauses double: after 70 s without a cable up to 26 s more.
const (
	linkIdle     = 3
	linkInterval = 1
	linkProbes   = 4
)

// WatchLinks lets the kernel end this process's TCP connections from and to port once the other side has been silent for
// 7 s, until ctx ends. The connections are etcd's own, which gives no way to reach them but their descriptors.
func WatchLinks(ctx context.Context, port int) {
	for tick := time.NewTicker(2 * time.Second); ; {
		bindLinks(port)
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
	}
}

// bindLinks sets the limits on the connections of the moment. A descriptor that is closed and used again meanwhile is harmless:
// what is no TCP socket takes no such option, and another TCP connection is only watched more closely.
func bindLinks(port int) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || !isLink(fd, port) {
			continue
		}
		for option, value := range map[int]int{
			unix.TCP_KEEPIDLE: linkIdle, unix.TCP_KEEPINTVL: linkInterval, unix.TCP_KEEPCNT: linkProbes,
			unix.TCP_USER_TIMEOUT: (linkIdle + linkInterval*linkProbes) * 1000, // for what was sent and not acknowledged
		} {
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, option, value)
		}
	}
}

// isLink says whether a descriptor is a connection from or to port whose limits are not set yet.
func isLink(fd, port int) bool {
	far, err := unix.Getpeername(fd)
	if err != nil {
		return false
	}
	near, err := unix.Getsockname(fd)
	if err != nil || portOf(near) != port && portOf(far) != port {
		return false
	}
	idle, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
	return err == nil && idle != linkIdle
}

func portOf(a unix.Sockaddr) int {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return a.Port
	case *unix.SockaddrInet6:
		return a.Port
	}
	return 0
}
