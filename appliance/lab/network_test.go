package lab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"islet/appliance/lab"
)

func serving(port int) lab.HostSpec {
	return lab.HostSpec{Boot: toolService("serve", fmt.Sprintf(":%d", port))}
}

// get asks a server of the lab for its host's name.
func get(ctx context.Context, client *http.Client, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func awaitServer(t *testing.T, l *lab.Lab, address string) {
	t.Helper()
	eventually(t, func() error {
		conn, err := l.Dial(t.Context(), "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// reaches says whether a TCP connection can be made from a host.
func reaches(t *testing.T, from *lab.Host, address string) bool {
	t.Helper()
	command := tool("dial", address)
	command.Stderr = t.Output()
	err := from.Exec(t.Context(), command)
	if _, ran := lab.ExitCode(err); !ran {
		t.Fatal(err)
	}
	return err == nil
}

func TestHostsReachEachOtherAndNothingElse(t *testing.T) {
	t.Parallel()
	l := up(t, newLayout(t), lab.Spec{Hosts: []lab.HostSpec{serving(80), serving(80)}}, 2)
	n1, n2 := host(t, l, "node1"), host(t, l, "node2")
	awaitServer(t, l, "node1:80")
	awaitServer(t, l, "10.77.0.12:80")

	outside, err := net.Listen("tcp", "127.0.0.1:0") // a server on the machine itself
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	_, port, _ := net.SplitHostPort(outside.Addr().String())
	for _, test := range []struct {
		from *lab.Host
		to   string
		want bool
	}{
		{n1, "node2:80", true}, {n2, "node1:80", true}, {n1, "10.77.0.12:80", true}, {n1, "127.0.0.1:80", true},
		{n1, "127.0.0.1:" + port, false}, {n1, "10.77.0.1:" + port, false},
	} {
		if got := reaches(t, test.from, test.to); got != test.want {
			t.Errorf("%s reaches %s: %v, want %v", test.from.Name(), test.to, got, test.want)
		}
	}
	if escapes, err := l.Escapes(); err != nil || escapes.Total() != 0 {
		t.Errorf("talking within the lab counts as escapes: %+v, %v", escapes, err)
	}
	if reaches(t, n1, "192.0.2.1:80") {
		t.Error("an outside address is reachable")
	}
	if n, err := n1.NoRouteCount(); err != nil || n == 0 {
		t.Errorf("the attempt to reach an outside address was not counted: %d, %v", n, err)
	}
	if n, err := n2.NoRouteCount(); err != nil || n != 0 {
		t.Errorf("node2 tried nothing and has count %d, %v", n, err)
	}
}

func TestEscapesAreCountedOverBoots(t *testing.T) {
	t.Parallel()
	l := up(t, newLayout(t), lab.Spec{}, 1)
	n1 := host(t, l, "node1")
	reaches(t, n1, "192.0.2.1:80")
	first, err := n1.NoRouteCount()
	if err != nil || first == 0 {
		t.Fatalf("count %d, %v", first, err)
	}
	for _, end := range []func(context.Context) error{n1.Kill, n1.Stop} {
		if err := errors.Join(end(t.Context()), n1.Start(t.Context())); err != nil {
			t.Fatal(err)
		}
		if n, err := n1.NoRouteCount(); err != nil || n != first {
			t.Errorf("after another boot: count %d, %v, want %d", n, err, first)
		}
	}
}

func TestStrayFramesAreCounted(t *testing.T) {
	t.Parallel()
	inside := []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")}
	l := up(t, newLayout(t), lab.Spec{Inside: inside}, 2)
	n1 := host(t, l, "node1")
	strays := func() uint64 {
		n, err := l.StrayFrames()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	// neighbours are given, so that what is sent is the datagram itself
	output(t, n1, "ip neigh add 10.77.0.12 lladdr 02:69:0a:4d:00:0c dev eth0 nud permanent")
	for _, test := range []struct {
		name  string
		route string
		to    string
		stray bool
	}{
		{"within the subnet", "", "10.77.0.12:9", false},
		{"to a pod on another host", "10.42.1.0/24 via 10.77.0.12", "10.42.1.5:9", false},
		{"to the outside through another host", "203.0.113.0/24 via 10.77.0.12", "203.0.113.5:9", true},
		{"to the outside on the link itself, which asks by ARP", "198.51.100.0/24 dev eth0", "198.51.100.7:9", true},
	} {
		before := strays()
		if test.route != "" {
			output(t, n1, "ip route add "+test.route)
		}
		if err := n1.Exec(t.Context(), tool("datagram", test.to)); err != nil {
			t.Fatal(err)
		}
		// a datagram that is answered by nobody: the host's own transmit counter tells that it has left
		if !test.stray {
			output(t, n1, "ip neigh show >/dev/null")
			if got := strays() - before; got != 0 {
				t.Errorf("%s: %d frames counted as stray", test.name, got)
			}
			continue
		}
		eventually(t, func() error {
			if strays() == before {
				return fmt.Errorf("%s: not counted", test.name)
			}
			return nil
		})
	}
}

func TestForwardedAttemptsAreCounted(t *testing.T) {
	t.Parallel()
	l := up(t, newLayout(t), lab.Spec{}, 1)
	n1 := host(t, l, "node1")
	if err := n1.Exec(t.Context(), tool("forward", "192.0.2.1:53")); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if n, err := n1.NoRouteCount(); err != nil || n == 0 {
			return fmt.Errorf("a pod's attempt to leave was not counted: %d, %w", n, err)
		}
		return nil
	})
}

// forwardPackets plays a pod: a network namespace behind the host, with a default route through it, sends a datagram.
func forwardPackets(args []string) error {
	runtime.LockOSThread()
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return err
	}
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	veth := netlink.NewVeth(netlink.NewLinkAttrs())
	veth.Name, veth.PeerName, veth.PeerNamespace = "pod", "eth0", netlink.NsPid(unix.Gettid())
	if err := host.LinkAdd(veth); err != nil {
		return err
	}
	pod, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	for _, end := range []struct {
		handle     *netlink.Handle
		name, addr string
	}{{host, "pod", "10.42.0.1/24"}, {pod, "eth0", "10.42.0.2/24"}} {
		link, err := end.handle.LinkByName(end.name)
		if err != nil {
			return err
		}
		addr, err := netlink.ParseAddr(end.addr)
		if err != nil {
			return err
		}
		if err := errors.Join(end.handle.AddrAdd(link, addr), end.handle.LinkSetUp(link)); err != nil {
			return err
		}
	}
	if err := pod.RouteAdd(&netlink.Route{Gw: net.IPv4(10, 42, 0, 1)}); err != nil {
		return err
	}
	for range 50 { // until the pod's neighbour entry is there the kernel holds back what is sent
		if err := datagram(args); err != nil {
			return err
		}
		time.Sleep(2 * time.Millisecond)
	}
	return nil
}

func TestCables(t *testing.T) {
	t.Parallel()
	l := up(t, newLayout(t), lab.Spec{Hosts: []lab.HostSpec{serving(80), serving(80), serving(80)}}, 3)
	n1, n2, n3 := host(t, l, "node1"), host(t, l, "node2"), host(t, l, "node3")
	for _, name := range []string{"node1", "node2", "node3"} {
		awaitServer(t, l, name+":80")
	}
	check := func(when string, from *lab.Host, to string, want bool) {
		t.Helper()
		if got := reaches(t, from, to); got != want {
			t.Errorf("%s, %s reaches %s: %v, want %v", when, from.Name(), to, got, want)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(n1.Cut(t.Context()))
	if carrier := output(t, n1, "cat /sys/class/net/eth0/carrier"); carrier != "0" {
		t.Errorf("carrier of a pulled cable is %q", carrier)
	}
	check("node1's cable pulled", n2, "node1:80", false)
	check("node1's cable pulled", n2, "node3:80", true)
	do(errors.Join(n1.Kill(t.Context()), n1.Start(t.Context())))
	if status, err := n1.Status(t.Context()); err != nil || !status.Cut {
		t.Errorf("after a power cut the cable is in again: %+v, %v", status, err)
	}
	check("node1 rebooted with its cable pulled", n2, "node1:80", false)
	do(n1.Heal(t.Context()))
	awaitServer(t, l, "node1:80")
	check("healed", n2, "node1:80", true)

	do(n1.CutFrom(t.Context(), n2))
	check("node1 cut from node2", n1, "node2:80", false)
	check("node1 cut from node2", n2, "node1:80", false)
	check("node1 cut from node2", n1, "node3:80", true)
	check("node1 cut from node2", n3, "node2:80", true)
	if carrier := output(t, n1, "cat /sys/class/net/eth0/carrier"); carrier != "1" {
		t.Errorf("carrier of a host that is cut from another is %q", carrier)
	}
	do(n2.HealFrom(t.Context(), n1))
	check("healed", n1, "node2:80", true)
}

func TestClientsOutsideTheLab(t *testing.T) {
	t.Parallel()
	l := up(t, newLayout(t), lab.Spec{Hosts: []lab.HostSpec{serving(80), serving(81)}}, 2)
	awaitServer(t, l, "node1:80")
	awaitServer(t, l, "node2:81")
	for _, test := range []struct {
		name   string
		client *http.Client
		url    string
		want   string
	}{
		{"by host name", l.HTTPClient(), "http://node1/", "node1"},
		{"by address", l.HTTPClient(), "http://10.77.0.12:81/", "node2"},
		{"by any name to a fixed address", l.HTTPClientTo("node2:81"), "http://shop.example/", "node2"},
	} {
		got, err := get(t.Context(), test.client, test.url)
		if err != nil || got != test.want {
			t.Errorf("%s: got %q, %v, want %q", test.name, got, err, test.want)
		}
		test.client.CloseIdleConnections()
	}
	if _, err := l.Dial(t.Context(), "tcp", "example.org:80"); err == nil || !strings.Contains(err.Error(), "neither") {
		t.Errorf("dialling an outside name: got %v", err)
	}
}

func TestForward(t *testing.T) {
	t.Parallel()
	l := up(t, newLayout(t), lab.Spec{Hosts: []lab.HostSpec{serving(80)}}, 1)
	awaitServer(t, l, "node1:80")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- l.Forward(ctx, listener, "node1:80") }()
	client := &http.Client{Transport: &http.Transport{}}
	got, err := get(t.Context(), client, "http://"+listener.Addr().String())
	if err != nil || got != "node1" {
		t.Errorf("got %q, %v", got, err)
	}
	cancel() // with the client's connection still open
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := get(t.Context(), client, "http://"+listener.Addr().String()); err == nil {
		t.Error("still forwarding after the end")
	}
}
