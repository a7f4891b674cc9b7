package config

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite golden files")

const header = "apiVersion: islet.dev/v1alpha1\nkind: Site\n"

// badFiles are answer files that must be refused or warned about; the text after the header. The
// messages are in testdata/bad.golden, reviewed like code.
var badFiles = []struct{ name, text string }{
	{"unknown field with a near one", "network:\n  podCidr: 10.0.0.0/16\n"},
	{"unknown field with a typo", "datastore:\n  snapshot: {keep: 3}\n"},
	{"unknown field with no near one", "paths:\n  quux: 1\n"},
	{"unknown section", "networking: {}\n"},
	{"field given twice", "node:\n  name: a\n  name: b\n"},
	{"section is text", "network: fast\n"},
	{"list is text", "network:\n  dns: 192.0.2.53\n"},
	{"text is a list", "node:\n  name: [a, b]\n"},
	{"labels are a list", "node:\n  labels: [a]\n"},
	{"label value is a list", "node:\n  labels: {a: [b]}\n"},
	{"key is a list", "? [a]\n: b\n"},
	{"alias", "node:\n  name: &n a\nsite:\n  name: *n\n"},
	{"several wrong at once", "site: {name: Site One}\nnetwork:\n  mtu: 9\n  dns: [192.0.2.53, 10.0.0]\ngateway: {httpPort: 0}\n"},
	{"DNS server is not an address", "network:\n  dns:\n    - 192.0.2.53\n    - \"10.0.0\"\n"},
	{"DNS server empty", "network:\n  dns: [null]\n"},
	{"DNS server is an empty text", "network:\n  dns: [\"\"]\n"},
	{"DNS server twice", "network:\n  dns: [192.0.2.53, 192.0.2.53]\n"},
	{"DNS server on loopback", "network:\n  dns: [127.0.0.53]\n"},
	{"DNS server inside the services", "network:\n  dns: [10.43.0.10]\n"},
	{"network without bits", "network:\n  podCIDR: 10.42.0.0\n"},
	{"network with host bits", "network:\n  podCIDR: 10.42.1.0/16\n"},
	{"network of IPv6", "network:\n  serviceCIDR: fd00::/112\n"},
	{"network empty", "network:\n  podCIDR: \"\"\n"},
	{"pods and services overlap", "network:\n  podCIDR: 10.0.0.0/8\n"},
	{"pod network too large", "network:\n  podCIDR: 0.0.0.0/0\n"},
	{"pod network too small", "network:\n  podCIDR: 10.42.0.0/25\n"},
	{"pod network small", "network:\n  podCIDR: 10.42.0.0/23\n"},
	{"service network too large", "network:\n  serviceCIDR: 11.0.0.0/8\n"},
	{"service network too small", "network:\n  serviceCIDR: 10.43.0.0/29\n"},
	{"public network", "network:\n  podCIDR: 8.8.0.0/16\n"},
	{"backend unknown", "network:\n  backend: ipip\n"},
	{"MTU too small", "network:\n  mtu: 576\n"},
	{"MTU too large", "network:\n  mtu: 70000\n"},
	{"MTU is text", "network:\n  mtu: \"1500\"\n"},
	{"MTU overflows", "network:\n  mtu: 99999999999999999999\n"},
	{"node ports are not a range", "network:\n  nodePortRange: 30000\n"},
	{"node ports backwards", "network:\n  nodePortRange: 32767-30000\n"},
	{"node ports over ours", "network:\n  nodePortRange: 6000-7000\n"},
	{"cluster domain with underscore", "network:\n  clusterDomain: my_cluster\n"},
	{"site name with spaces", "site:\n  name: Site One\n"},
	{"node name upper case", "node:\n  name: Server1\n"},
	{"node address is a name", "node:\n  address: server1\n"},
	{"node address IPv6", "node:\n  address: fd00::1\n"},
	{"node address loopback", "node:\n  address: 127.0.0.1\n"},
	{"node address multicast", "node:\n  address: 224.0.0.1\n"},
	{"node address inside the pods", "node:\n  address: 10.42.3.4\n"},
	{"virtual address of IPv6", "network:\n  vip: {api: \"fd00::1\"}\n"},
	{"virtual address of this node", "node: {address: 192.0.2.2}\nnetwork:\n  vip: {applications: 192.0.2.2}\n"},
	{"virtual address inside the pods", "network:\n  vip: {api: 10.42.0.5}\n"},
	{"virtual addresses equal", "network:\n  vip: {api: 192.0.2.100, applications: 192.0.2.100}\n"},
	{"router id too large", "network:\n  vip: {api: 192.0.2.100, apiRouterID: 256}\n"},
	{"router ids equal", "network:\n  vip: {apiRouterID: 7, applicationsRouterID: 7}\n"},
	{"gateway bound beside its virtual address", "network:\n  vip: {applications: 192.0.2.100}\ngateway: {bind: 192.0.2.2}\n"},
	{"API name twice and not a name", "network:\n  vip: {apiNames: [api.site.internal, api.site.internal, \"*.site\"]}\n"},
	{"role worker", "node:\n  role: worker\n"},
	{"label of Kubernetes", "node:\n  labels:\n    node-role.kubernetes.io/master: \"true\"\n"},
	{"label zone", "node:\n  labels:\n    topology.kubernetes.io/zone: a\n"},
	{"label key", "node:\n  labels:\n    -rack: a\n"},
	{"label value", "node:\n  labels:\n    rack: a b\n"},
	{"taint without effect", "node:\n  taints: [dedicated=db]\n"},
	{"taint with unknown effect", "node:\n  taints: [dedicated=db:Never]\n"},
	{"taint twice", "node:\n  taints: [\"a:NoSchedule\", \"a:NoSchedule\"]\n"},
	{"store external, and no database", "datastore:\n  store: external\n"},
	{"store external, and half a database", "datastore:\n  store: external\n  external: {endpoint: \"db.site.internal:5432\"}\n"},
	{"store external, with its password", "datastore:\n  store: external\n  external: {endpoint: \"postgres://islet:secret@192.0.2.9/islet\", caFile: /etc/db.pem}\n"},
	{"store external, without TLS", "datastore:\n  store: external\n  external: {endpoint: \"postgres://islet@192.0.2.9/islet\"}\n"},
	{"store external, a certificate without a key", "datastore:\n  store: external\n  external: {endpoint: \"postgres://islet@192.0.2.9/islet\", caFile: /a, certFile: /b}\n"},
	{"a database for nothing", "datastore:\n  external: {endpoint: \"postgres://islet@192.0.2.9/islet\"}\n"},
	{"store unknown", "datastore:\n  store: postgres\n"},
	{"interval without unit", "datastore:\n  snapshots: {interval: 60}\n"},
	{"interval too short", "datastore:\n  snapshots: {interval: 5s}\n"},
	{"interval negative", "datastore:\n  snapshots: {interval: -5m}\n"},
	{"no snapshots", "datastore:\n  snapshots: {keep: 0}\n"},
	{"backups too often", "backup: {interval: 1m}\n"},
	{"no backups", "backup: {keep: 0}\n"},
	{"no room for a backup", "backup: {maxBytes: 1Mi}\n"},
	{"size in words", "datastore:\n  snapshots: {maxBytes: 2 gigabytes}\n"},
	{"size with a fraction", "datastore:\n  snapshots: {maxBytes: 1.5Gi}\n"},
	{"size overflows", "datastore:\n  snapshots: {maxBytes: 99999999Ti}\n"},
	{"gateway ports equal", "gateway: {httpPort: 443}\n"},
	{"gateway port is ours", "gateway: {httpsPort: 6443}\n"},
	{"gateway port is etcd's", "gateway: {httpPort: 2379}\n"},
	{"gateway port in node ports", "gateway: {httpPort: 30080}\n"},
	{"gateway enabled is a word", "gateway: {enabled: \"yes\"}\n"},
	{"gateway domain in the cluster", "gateway: {domain: apps.cluster.local}\n"},
	{"gateway domain for multicast", "gateway: {domain: apps.local}\n"},
	{"gateway domain with wildcard", "gateway: {domain: \"*.apps.internal\"}\n"},
	{"gateway bind inside the services", "gateway: {bind: 10.43.0.1}\n"},
	{"storage path relative", "storage: {path: data}\n"},
	{"storage path over ours", "storage: {path: /var/lib/appliance/datastore}\n"},
	{"storage path is the state", "storage: {path: /var/lib/appliance}\n"},
	{"storage below eviction", "storage: {minFree: 1Gi}\n"},
	{"cpu too fine", "kubelet:\n  systemReserved: {cpu: 0.0001}\n"},
	{"cpu negative", "kubelet:\n  systemReserved: {cpu: -1}\n"},
	{"too many pods", "kubelet: {maxPods: 500}\n"},
	{"inodes", "kubelet:\n  eviction: {inodesPercent: 90}\n"},
	{"pod security unknown", "security: {podSecurity: strict}\n"},
	{"pod security open", "security: {podSecurity: privileged}\n"},
	{"audit size", "security:\n  audit: {maxSizeMiB: -1}\n"},
	{"log files", "logs: {maxFiles: 1}\n"},
	{"state on a tmpfs", "paths: {stateDir: /run/state}\n"},
	{"state in tmp", "paths: {stateDir: /tmp/state}\n"},
	{"state not clean", "paths: {stateDir: /var/lib/../x/}\n"},
	{"state is the root", "paths: {stateDir: /}\n"},
	{"run inside state", "paths: {runDir: /var/lib/appliance/run}\n"},
	{"run too long", "paths: {runDir: /" + strings.Repeat("a", 90) + "}\n"},
	{"state too long", "paths: {stateDir: /" + strings.Repeat("b", 90) + "}\n"},
}

// brokenFiles are whole documents.
var brokenFiles = []struct{ name, text string }{
	{"empty file", ""},
	{"only a comment", "# nothing\n"},
	{"null document", "---\nnull\n"},
	{"not YAML", header + "network:\n  mtu: 1500\n backend: auto\n"},
	{"tab indentation", header + "network:\n\tmtu: 1500\n"},
	{"second document", header + "---\n" + header},
	{"broken second document", header + "---\na: [\n"},
	{"a list", "- a\n"},
	{"no version", "kind: Site\n"},
	{"no version and no kind", "site: {name: a}\n"},
	{"another version", "apiVersion: islet.dev/v2\nkind: Site\n"},
	{"another kind", "apiVersion: islet.dev/v1alpha1\nkind: Cluster\n"},
	{"a Kubernetes object", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"},
	{"too large", header + strings.Repeat("#", maxDocument)},
}

func TestBadFilesAreRefusedWithTheirMessages(t *testing.T) {
	t.Parallel()
	var got strings.Builder
	judged := func(name, shown, text string) {
		_, warnings, err := Decode(strings.NewReader(text))
		if err == nil && len(warnings) == 0 {
			t.Errorf("%s: accepted without a word", name)
		}
		fmt.Fprintf(&got, "== %s\n%s", name, shown)
		for _, w := range warnings {
			fmt.Fprintf(&got, "warning: %s\n", w)
		}
		var problems Problems
		if err != nil && !errors.As(err, &problems) {
			t.Errorf("%s: error is a %T, want Problems", name, err)
		}
		for _, p := range problems.In("site.yaml") {
			if p.Advice == "" {
				t.Errorf("%s: %s: no advice", name, p)
			}
			fmt.Fprintf(&got, "error: %s\n", p)
		}
		got.WriteString("\n")
	}
	for _, c := range badFiles {
		judged(c.name, c.text, header+c.text)
	}
	for _, c := range brokenFiles {
		judged(c.name, "", c.text)
	}
	golden(t, "testdata/bad.golden", got.String())
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run go test -update and review the file", err)
	}
	if got != string(want) {
		t.Errorf("differs from %s; run go test -update and review the difference\n%s", path, firstDifference(got, string(want)))
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d\n got: %s\nwant: %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}
