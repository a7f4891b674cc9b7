package cli

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"islet/appliance/config"
	"islet/appliance/join"
)

func TestJudgeReaddress(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.Datastore.Store = config.StoreEtcd
	c.Network.VIP.API = netip.MustParseAddr("192.0.2.100")
	nodes := []siteNode{{Name: "node1", Role: config.RoleServer, State: "ready"}, {Name: "node2", Role: config.RoleServer, State: "ready"}, {Name: "node3", State: "unreachable"}}
	member := func(name, address string, role config.Role) join.Member {
		return join.Member{Name: name, Address: netip.MustParseAddr(address), Role: role}
	}
	members := []join.Member{
		member("node1", "192.0.2.11", config.RoleServer), member("node2", "192.0.2.12", config.RoleServer), member("node3", "192.0.2.13", config.RoleAgent),
	}
	for name, row := range map[string]struct {
		node, to string
		moved    bool
		want     Code
	}{
		"fine":                       {"node2", "192.0.2.42", false, CodeOK},
		"fine, the other way":        {"node3", "192.0.2.42", true, CodeOK},
		"nobody":                     {"node9", "192.0.2.42", false, CodeNotMember},
		"its own":                    {"node2", "192.0.2.12", false, CodeExists},
		"another node's":             {"node2", "192.0.2.13", false, CodeAddressTaken},
		"a virtual one":              {"node2", "192.0.2.100", false, CodeAddressTaken},
		"of pods":                    {"node2", "10.42.7.7", false, CodeAddressTaken},
		"of services":                {"node2", "10.43.0.1", false, CodeAddressTaken},
		"of no machine":              {"node2", "224.0.0.1", false, CodeUsage},
		"a node that would not hear": {"node3", "192.0.2.42", false, CodeNotPossible},
	} {
		f := readdressFlags{moved: row.moved, timeout: time.Minute}
		r, err := f.judge(c, nodes, members, row.node, netip.MustParseAddr(row.to))
		if code := CodeOf(err); code != row.want || err == nil && (r.Node != row.node || len(r.Steps) < 5) {
			t.Errorf("%s: exit code %d, want %d; %+v (%v)", name, code, row.want, r, err)
		}
	}
	members[0].Move = &join.Move{From: members[0].Address, To: netip.MustParseAddr("192.0.2.41"), State: join.MoveTrying}
	f := readdressFlags{timeout: time.Minute}
	if _, err := f.judge(c, nodes, members, "node2", netip.MustParseAddr("192.0.2.42")); CodeOf(err) != CodeBusy {
		t.Errorf("two at once: %v", err)
	}
	members[0].Move.State = join.MoveFailed
	r, err := f.judge(c, nodes, members, "node2", netip.MustParseAddr("192.0.2.41"))
	if steps := strings.Join(r.Steps, "\n"); err != nil || !strings.Contains(steps, "datastore's members") || !strings.Contains(steps, "within 1m0s") {
		t.Errorf("a server: %v (%v)", steps, err)
	}
	r, err = f.judge(c, []siteNode{{Name: "node3", State: "ready"}}, members, "node3", netip.MustParseAddr("192.0.2.42"))
	if steps := strings.Join(r.Steps, "\n"); err != nil || strings.Contains(steps, "datastore") || strings.Contains(steps, "lists of servers") {
		t.Errorf("an agent: %v (%v)", steps, err)
	}
}
