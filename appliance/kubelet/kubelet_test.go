package kubelet

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	kubeletv1 "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"

	"islet/appliance/component"
	"islet/appliance/kubeconfig"
	"islet/appliance/layout"
	"islet/appliance/pki"
)

var update = flag.Bool("update", false, "write golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s has changed; if that is right, run the test with -update\n%s", path, got)
	}
}

// node is the parameters of an imaginary node whose state is in a directory of the test.
func node(t *testing.T) Params {
	t.Helper()
	l := layout.Layout{StateDir: t.TempDir(), RunDir: "/run/appliance"}
	for _, dir := range []string{l.Kubeconfigs(), filepath.Join(l.Generated(), Name)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	store, err := pki.Open(l.PKI(), time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return Params{
		Layout: l, NodeName: "node1", Address: netip.MustParseAddr("192.0.2.11"), ClusterDNS: netip.MustParseAddr("10.43.0.10"), ClusterDomain: "cluster.local",
		Labels: map[string]string{"b": "2", "a": "1"}, Taints: []string{"k=v:NoSchedule", "only:NoExecute"}, MaxPods: 110,
		SystemReserved: map[string]string{"cpu": "100m"}, KubeReserved: map[string]string{"memory": "768Mi"},
		EvictionHard: map[string]string{"memory.available": "200Mi"}, LogMaxSizeMiB: 10, LogMaxFiles: 5,
		Access: func(leaf string) kubeconfig.Access {
			return kubeconfig.Access{Server: "https://127.0.0.1:6443", CertFile: leaf}
		},
		Child: func(name string, args ...string) component.Spec {
			return component.Spec{Name: name, Args: append([]string{name}, args...)}
		},
		PKI: store, Needs: []string{"containerd", "kube-apiserver"},
	}
}

func TestArgumentsAndConfig(t *testing.T) {
	t.Parallel()
	p := node(t)
	var args []string
	child := p.Child
	p.Child = func(name string, a ...string) component.Spec {
		args = a
		return child(name, a...)
	}
	c := Unit(p).New()
	if c.Name() != Name || !slices.Equal(c.Needs(), p.Needs) {
		t.Errorf("%s needs %v", c.Name(), c.Needs())
	}
	if err := c.(component.Preparer).Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	golden(t, "arguments", strings.ReplaceAll(strings.Join(args, "\n")+"\n", p.Layout.StateDir, "STATE"))
	data, err := os.ReadFile(p.generated("config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "config.yaml", strings.ReplaceAll(string(data), p.Layout.StateDir, "STATE"))
	if err := yaml.UnmarshalStrict(data, new(kubeletv1.KubeletConfiguration)); err != nil {
		t.Errorf("the kubelet would not take it: %v", err)
	}
	if _, err := os.Stat(p.generated("resolv.conf")); err != nil {
		t.Error(err)
	}
}

func TestOptionalArguments(t *testing.T) {
	t.Parallel()
	p := node(t)
	p.Labels, p.Taints, p.LogMaxFiles = nil, nil, 1
	p.Child = func(name string, args ...string) component.Spec {
		for _, a := range args {
			if strings.HasPrefix(a, "--node-labels") || strings.HasPrefix(a, "--register-with-taints") {
				t.Errorf("%s without any", a)
			}
		}
		return component.Spec{Name: name, Args: []string{name}}
	}
	Unit(p).New()
	if files := p.config()["containerLogMaxFiles"]; files != 2 { // the kubelet refuses less
		t.Errorf("%v log files", files)
	}
}

func TestLeaves(t *testing.T) {
	t.Parallel()
	p := node(t)
	if _, err := p.PKI.Ensure(Leaves(p)); err != nil {
		t.Fatal(err)
	}
	client, err := pki.LoadCert(p.PKI.CertFile(LeafClient))
	// NodeRestriction knows the node by this user and group alone.
	if err != nil || client.Subject.CommonName != "system:node:node1" || !slices.Equal(client.Subject.Organization, []string{"system:nodes"}) {
		t.Errorf("%v (%v)", client.Subject, err)
	}
	serving, err := pki.LoadCert(p.PKI.CertFile(leafServing))
	if err != nil || serving.VerifyHostname("192.0.2.11") != nil || serving.VerifyHostname("node1") != nil {
		t.Errorf("%v %v (%v)", serving.DNSNames, serving.IPAddresses, err)
	}
}

func TestResolvConf(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, want string }{
		"empty":               {"", ""},
		"servers":             {"nameserver 192.0.2.53\nnameserver 2001:db8::53\n", "nameserver 192.0.2.53\nnameserver 2001:db8::53\n"},
		"the machine's stub":  {"nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n", ""},
		"stub and server":     {"nameserver ::1\nnameserver 192.0.2.53", "nameserver 192.0.2.53\n"},
		"comments and spaces": {"# nameserver 192.0.2.1\n;nameserver 192.0.2.2\n\tnameserver\t 192.0.2.53  \n", "nameserver 192.0.2.53\n"},
		"search domains":      {"search corp.example\ndomain corp.example\nnameserver 192.0.2.53\n", "nameserver 192.0.2.53\n"},
		"not an address":      {"nameserver dns.example\nnameserver\n", ""},
	} {
		path := filepath.Join(t.TempDir(), "resolv.conf")
		if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := string(resolvConf(path)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if got := resolvConf(filepath.Join(t.TempDir(), "none")); len(got) > 0 {
		t.Errorf("no file: %q", got)
	}
}
