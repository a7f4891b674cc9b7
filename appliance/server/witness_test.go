package server

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"islet/appliance/api"
	"islet/appliance/component"
	"islet/appliance/config"
	"islet/appliance/join"
	"islet/appliance/metric"
)

// told is a node with a component that has a log.
func told(t *testing.T) *node {
	t.Helper()
	n := imagined(t)
	var err error
	if n.supervisor, err = component.NewSupervisor(n.Log, component.Unit{New: func() component.Component { return component.Task{TaskName: "kubelet"} }}); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(n.layout.Logs(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(n.layout.Logs(), "kubelet.log"), []byte("one\ntwo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.metrics.Add(metric.Sample{At: time.Now(), CPU: 0.5})
	n.servers = serversAt(netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("192.0.2.12"))
	return n
}

// A server that was removed has its certificate still: what counts is whether it stands on the list.
func TestWitnessTellsServersOfTheList(t *testing.T) {
	t.Parallel()
	n := told(t)
	for address, listed := range map[string]bool{"192.0.2.12": true, "192.0.2.11": true, "192.0.2.13": false} {
		c := join.Caller{Name: "node2", From: netip.MustParseAddr(address)}
		part, logs := n.TellLog(t.Context(), c, "kubelet", 1, "")
		history, used := n.TellHistory(t.Context(), c)
		_, happened := n.TellEvents(t.Context(), c)
		for _, err := range []error{logs, used, happened} {
			if listed && err != nil || !listed && !errors.Is(err, join.ErrNotServer) {
				t.Errorf("%s: %v", address, err)
			}
		}
		if (len(part.Lines) == 1 && part.Lines[0] == "two") != listed || (len(history.Recent) == 1) != listed {
			t.Errorf("%s is told %+v, %+v", address, part, history)
		}
	}
	if _, err := n.TellLog(t.Context(), join.Caller{From: netip.MustParseAddr("192.0.2.12")}, "../kubelet", 1, ""); !errors.Is(err, component.ErrUnknown) {
		t.Error(err)
	}
}

func TestOther(t *testing.T) {
	t.Parallel()
	n := told(t)
	own, err := n.Other("node1")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if part, err := own.Log(t.Context(), "kubelet", 1, ""); err != nil || len(part.Lines) != 1 {
		t.Errorf("%+v, %v", part, err)
	}
	if _, err := n.Other("node9"); !errors.Is(err, api.ErrUnknownNode) {
		t.Error(err)
	}
	n.reports = map[string]api.Report{"node2": {Status: api.Status{Node: api.Node{Name: "node2", Address: "192.0.2.x"}}}}
	if _, err := n.Other("node2"); err == nil {
		t.Error("an address that is none is asked")
	}
	n.Config.Node.Role = config.RoleAgent
	if _, err := n.Other("node2"); !errors.Is(err, api.ErrAgent) {
		t.Error(err)
	}
}
