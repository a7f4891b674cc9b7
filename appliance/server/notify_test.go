package server

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"islet/appliance/component"
)

// TestNotify is not parallel: the library reads the environment.
func TestNotify(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", strconv.Itoa(int((20 * time.Millisecond).Microseconds())))
	n := &node{Options: Options{Log: slog.New(slog.DiscardHandler)}}
	if n.supervisor, err = component.NewSupervisor(n.Log); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { n.notify(ctx) })
	defer running.Wait()
	defer cancel()
	buffer := make([]byte, 100)
	for i, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		if err := listener.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		size, err := listener.Read(buffer)
		if err != nil || string(buffer[:size]) != want {
			t.Errorf("message %d is %q, %v, want %q", i, buffer[:size], err, want)
		}
	}
}
