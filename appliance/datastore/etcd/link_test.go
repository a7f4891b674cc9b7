package etcd

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

func TestBindLinks(t *testing.T) {
	t.Parallel()
	pair := func() (*net.TCPConn, *net.TCPConn, int) {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		dialled, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { dialled.Close(); accepted.Close() })
		return dialled.(*net.TCPConn), accepted.(*net.TCPConn), l.Addr().(*net.TCPAddr).Port
	}
	limits := func(c *net.TCPConn) (idle, silence int) {
		t.Helper()
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		err = raw.Control(func(fd uintptr) {
			idle, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
			silence, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		})
		if err != nil {
			t.Fatal(err)
		}
		return idle, silence
	}
	dialled, accepted, port := pair()
	other, _, _ := pair()
	bindLinks(port)
	for name, c := range map[string]*net.TCPConn{"dialled": dialled, "accepted": accepted} {
		if idle, silence := limits(c); idle != linkIdle || silence != 7000 {
			t.Errorf("%s: asked after %d s, given up after %d ms", name, idle, silence)
		}
	}
	if idle, silence := limits(other); idle == linkIdle || silence != 0 {
		t.Errorf("a connection of another port: asked after %d s, given up after %d ms", idle, silence)
	}
}
