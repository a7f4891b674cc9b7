package server

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"islet/appliance/config"
	"islet/appliance/join"
	"islet/appliance/registry"
	"islet/appliance/runtime"
)

// A server pulls from its own registry first, then from the others; an agent from all servers, and every change is followed.
func TestImageSources(t *testing.T) {
	t.Parallel()
	at := func(addresses ...string) join.Servers {
		var list []netip.Addr
		for _, a := range addresses {
			list = append(list, netip.MustParseAddr(a))
		}
		return serversAt(list...)
	}
	for _, c := range []struct {
		name    string
		role    config.Role
		servers join.Servers
		hosts   []string // in the order in which they are tried
		peers   []string
		leaf    string
	}{
		{"the first server", config.RoleServer, at("192.0.2.11"), []string{"127.0.0.1"}, nil, registry.LeafPeer},
		{"one of three servers", config.RoleServer, at("192.0.2.10", "192.0.2.11", "192.0.2.12"),
			[]string{"127.0.0.1", "192.0.2.10", "192.0.2.12"}, []string{"192.0.2.10", "192.0.2.12"}, registry.LeafPeer},
		{"an agent", config.RoleAgent, at("192.0.2.12", "192.0.2.13"), []string{"192.0.2.12", "192.0.2.13"}, nil, join.NodeLeaf},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := imagined(t)
			n.Config.Node.Role = c.role
			n.servers = c.servers
			if err := n.writeImageSources(n.otherServers()); err != nil {
				t.Fatal(err)
			}
			text := readFile(t, filepath.Join(runtime.HostsDir(n.layout), "_default/hosts.toml"))
			// containerd tries "server", which is written first, last
			rest := text[strings.Index(text, "\n"):]
			last := text[:len(text)-len(rest)]
			if want := `server = "https://` + c.hosts[len(c.hosts)-1] + `:5000"`; last != want {
				t.Errorf("last: %s, want %s", last, want)
			}
			for _, host := range c.hosts[:len(c.hosts)-1] {
				var found bool
				if _, rest, found = strings.Cut(rest, `[host."https://`+host+`:5000"]`); !found {
					t.Errorf("%s is missing, or comes too early, in\n%s", host, text)
				}
			}
			if strings.Count(text, n.pki.KeyFile(c.leaf)) != len(c.hosts) {
				t.Errorf("the key of %s is not used everywhere in\n%s", c.leaf, text)
			}
			if c.role == config.RoleAgent {
				return
			}
			peers := readFile(t, filepath.Join(n.layout.Generated(), registry.Name, "peers.json"))
			if strings.Count(peers, ":5000") != len(c.peers) {
				t.Errorf("peers %s, want %v", peers, c.peers)
			}
			for _, p := range c.peers {
				if !strings.Contains(peers, `"`+p+`:5000"`) {
					t.Errorf("%s is missing in %s", p, peers)
				}
			}
		})
	}
}

func TestServersThatAreAwayComeLast(t *testing.T) {
	t.Parallel()
	a, b, c := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	synctest.Test(t, func(t *testing.T) {
		got := answeringFirst(t.Context(), []netip.Addr{a, b, c}, func(ctx context.Context, s netip.Addr) error {
			switch s {
			case a: // no answer at all
				<-ctx.Done()
				return ctx.Err()
			case b:
				return errors.New("refused")
			}
			return nil
		})
		if want := []netip.Addr{c, a, b}; !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
