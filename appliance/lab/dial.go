package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
)

// Dial connects from the lab's switch to an address in the lab, such as "node1:80" or "10.77.0.11:6443". Names are those
// of the lab's hosts; nothing is resolved.
func (l *Lab) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	target, err := l.resolve(address)
	if err != nil {
		return nil, err
	}
	var conn net.Conn
	err = l.atSwitch(func() error {
		var dialer net.Dialer
		// with a literal address the socket is made on this very thread; it keeps its network namespace for life
		conn, err = dialer.DialContext(ctx, network, target.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("dial %s from the switch of lab %s: %w", address, l.Name(), err)
	}
	return conn, nil
}

// Dial connects from inside the host, so that its loopback addresses can be reached.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	init, err := h.running()
	if err != nil {
		return nil, err
	}
	var conn net.Conn
	err = onThread(func() error {
		if err := enterNetns(fmt.Sprintf("/proc/%d/ns/net", init.PID)); err != nil {
			return err
		}
		var dialer net.Dialer
		conn, err = dialer.DialContext(ctx, network, address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("dial %s from %s: %w", address, h.label(), err)
	}
	return conn, nil
}

func (l *Lab) resolve(address string) (netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("address %q: %w", address, err)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("address %q: port: %w", address, err)
	}
	if known, err := l.Host(host); err == nil {
		return netip.AddrPortFrom(known.Addr(), uint16(port)), nil
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("address %q: neither an IP address nor a host of lab %s", address, l.Name())
	}
	return netip.AddrPortFrom(addr, uint16(port)), nil
}

// atSwitch runs fn on a thread in the switch's network namespace.
func (l *Lab) atSwitch(fn func() error) error {
	return onThread(func() error {
		if err := enterNetns(l.layout.switchNetns(l.Name())); err != nil {
			return err
		}
		return fn()
	})
}

// HTTPClient returns a client whose connections come from the lab's switch. For an ingress, use a host's address in the
// URL and set Request.Host.
func (l *Lab) HTTPClient() *http.Client {
	return &http.Client{Transport: l.transport(nil)}
}

// HTTPClientTo is HTTPClient with every connection going to one address, whatever the URL says. Names in URLs are then
// only for the Host header and TLS.
func (l *Lab) HTTPClientTo(address string) *http.Client {
	return &http.Client{Transport: l.transport(&address)}
}

func (l *Lab) transport(fixed *string) *http.Transport {
	transport := &http.Transport{Proxy: nil, ForceAttemptHTTP2: true}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if fixed != nil {
			address = *fixed
		}
		return l.Dial(ctx, network, address)
	}
	return transport
}

// Forward accepts connections on listener, which is the machine's, and passes them on to an address in the lab, until ctx
// ends. It closes listener and returns when the last connection is closed.
func (l *Lab) Forward(ctx context.Context, listener net.Listener, address string) error {
	if _, err := l.resolve(address); err != nil {
		return errors.Join(err, listener.Close())
	}
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	defer listener.Close()
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept on %s: %w", listener.Addr(), err)
		}
		conns.Go(func() { l.pass(ctx, conn, address) })
	}
}

// pass copies between one connection and the lab until both directions have ended, or ctx has.
func (l *Lab) pass(ctx context.Context, outer net.Conn, address string) {
	defer outer.Close()
	inner, err := l.Dial(ctx, "tcp", address)
	if err != nil {
		l.log.Warn("cannot forward", "to", address, "error", err)
		return
	}
	defer inner.Close()
	defer context.AfterFunc(ctx, func() { _, _ = outer.Close(), inner.Close() })()
	var ways sync.WaitGroup
	ways.Go(func() { copyHalf(inner, outer) })
	ways.Go(func() { copyHalf(outer, inner) })
	ways.Wait()
}

// copyHalf copies one direction and passes its end on.
func copyHalf(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
