package join

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"islet/appliance/component"
	"islet/appliance/pki"
)

// witnessing serves what an agent tells, until the test ends.
func witnessing(t *testing.T, w Witness, s *pki.Store, name string) netip.AddrPort {
	t.Helper()
	at := freeAddress(t)
	ctx, cancel := context.WithCancel(t.Context())
	listening, done := make(chan struct{}), make(chan error, 1)
	id := identity(s, pairOf(t, s, nodeLeaf(name, GroupAgents)))
	go func() {
		done <- ServeWitness(ctx, at.String(), id, w, slog.New(slog.DiscardHandler), func() { close(listening) })
	}()
	t.Cleanup(func() {
		cancel()
		if err := wait(t, done); err != nil {
			t.Error(err)
		}
	})
	<-listening
	return at
}

// Servers may ask any node, an agent like a server, and nobody else may.
func TestServersAskAnyNode(t *testing.T) {
	t.Parallel()
	r := run(t, &desk{})
	agent := witnessing(t, r.desk, r.store, "node2")
	server := pairOf(t, r.store, nodeLeaf("node3", GroupServers))
	for name, at := range map[string]netip.AddrPort{"node1": r.at, "node2": agent} {
		c := NewWitness(at, name, server, trusted(r.store)())
		t.Cleanup(c.Close)
		part, err := c.Log(t.Context(), "kube/let", 7, "3:4")
		if err != nil || len(part.Lines) != 3 || part.Lines[0] != "kube/let" || part.Lines[1] != "7" || part.Lines[2] != "127.0.0.1" || part.Mark != "3:41" {
			t.Errorf("%s: %+v, %v", name, part, err)
		}
		if h, err := c.History(t.Context()); err != nil || len(h.Recent) != 1 || h.Recent[0].CPU != 0.5 {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
		if e, err := c.Events(t.Context()); err != nil || len(e) != 1 || e[0].State != component.Ready {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
		if _, err := c.Log(t.Context(), "nobody", 7, ""); !errors.Is(err, component.ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		pair tls.Certificate
		want error
	}{
		"an agent":         {pairOf(t, r.store, nodeLeaf("node2", GroupAgents)), ErrNotServer},
		"another site":     {pairOf(t, store(t, time.Now()), nodeLeaf("node3", GroupServers)), ErrNoIdentity},
		"no node":          {pairOf(t, r.store, nodeLeaf("node3", "islet")), ErrNoIdentity},
		"not even a paper": {tls.Certificate{}, ErrNoIdentity},
	} {
		r.asked()
		for of, at := range map[string]netip.AddrPort{"node1": r.at, "node2": agent} {
			client := NewWitness(at, of, c.pair, trusted(r.store)())
			t.Cleanup(client.Close)
			_, log := client.Log(t.Context(), "kubelet", 7, "")
			_, history := client.History(t.Context())
			_, events := client.Events(t.Context())
			for _, err := range []error{log, history, events} {
				if !errors.Is(err, c.want) {
					t.Errorf("%s asks %s: %v, want %v", name, of, err, c.want)
				}
			}
		}
		if nodes := r.asked(); len(nodes) > 0 {
			t.Errorf("%s was told something: %q", name, nodes)
		}
	}
}

// An answer counts from the node that was asked alone.
func TestOnlyThatNodeAnswers(t *testing.T) {
	t.Parallel()
	r, foreign := run(t, &desk{}), store(t, time.Now())
	server := pairOf(t, r.store, nodeLeaf("node1", GroupServers))
	for name, at := range map[string]netip.AddrPort{"another node": witnessing(t, r.desk, r.store, "node4"), "another site": witnessing(t, &desk{}, foreign, "node2")} {
		c := NewWitness(at, "node2", server, trusted(r.store)())
		t.Cleanup(c.Close)
		if _, err := c.History(t.Context()); !errors.Is(err, ErrOtherNode) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.untouched(t, "what was not asked")
}

// An agent answers nothing else.
func TestAgentOnlyTells(t *testing.T) {
	t.Parallel()
	r := run(t, &desk{})
	at := witnessing(t, r.desk, r.store, "node2")
	server := pairOf(t, r.store, nodeLeaf("node1", GroupServers))
	for path, method := range map[string]string{helloPath: http.MethodGet, admitPath: http.MethodPost, serversPath: http.MethodGet, renewPath: http.MethodPost, bundlePath: http.MethodGet, reportPath: http.MethodPost} {
		if status, content := request(t, method, "https://"+at.String()+path, http.NoBody, &server); status != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, status, content)
		}
	}
}
