package network

import (
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	proxyv1 "k8s.io/kube-proxy/config/v1alpha1"
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
	l := layout.Layout{StateDir: t.TempDir(), RunDir: t.TempDir(), CNIDir: "/etc/cni/net.d"}
	for _, dir := range []string{l.Kubeconfigs(), filepath.Join(l.Generated(), AgentName), filepath.Join(l.Generated(), ProxyName)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return Params{
		Layout: l, NodeName: "node1", Address: netip.MustParseAddr("192.0.2.11"),
		PodCIDR: netip.MustParsePrefix("10.42.0.0/16"), ServiceCIDR: netip.MustParsePrefix("10.43.0.0/16"),
		NodePortRange: "30000-32767", Backend: "vxlan", DirectRouting: true, MTU: 1450,
		Access: func(leaf string) kubeconfig.Access {
			return kubeconfig.Access{Server: "https://127.0.0.1:6443", CertFile: leaf}
		},
		Child: func(name string, args ...string) component.Spec {
			return component.Spec{Name: name, Args: append([]string{name}, args...)}
		},
		Needs: []string{"kube-apiserver"},
	}
}

func (p Params) plain(text string) string {
	return strings.NewReplacer(p.Layout.StateDir, "STATE", p.Layout.RunDir, "RUN").Replace(text)
}

func TestGeneratedFiles(t *testing.T) {
	t.Parallel()
	p := node(t)
	if err := os.WriteFile(p.Layout.NetworkEnv(), []byte("of the run before"), 0o600); err != nil {
		t.Fatal(err)
	}
	child := p.Child
	p.Child = func(name string, args ...string) component.Spec {
		golden(t, name+".arguments", p.plain(strings.Join(args, "\n")+"\n"))
		return child(name, args...)
	}
	for _, u := range []component.Unit{Agent(p), Proxy(p)} {
		c := u.New()
		if err := c.(component.Preparer).Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(c.Needs(), p.Needs) {
			t.Errorf("%s needs %v", c.Name(), c.Needs())
		}
		if info, err := os.Stat(p.kubeconfig(c.Name())); err != nil || info.Mode() != 0o600 {
			t.Errorf("kubeconfig of %s: %v (%v)", c.Name(), info, err)
		}
	}
	if _, err := os.Stat(p.Layout.NetworkEnv()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the agent counts as ready before it has started: %v", err)
	}
	for _, file := range []string{p.generated(AgentName, "config.json"), p.generated(ProxyName, "config.yaml")} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Base(filepath.Dir(file))+"."+filepath.Base(file), p.plain(string(data))+"\n")
		if filepath.Ext(file) == ".yaml" {
			if err := yaml.UnmarshalStrict(data, new(proxyv1.KubeProxyConfiguration)); err != nil {
				t.Errorf("kube-proxy would not take it: %v", err)
			}
		}
	}
}

func TestLeaves(t *testing.T) {
	t.Parallel()
	for _, l := range Leaves() {
		if l.Authority != pki.ClientCA || !l.Client || l.Server || len(l.Organizations) > 0 {
			t.Errorf("%+v: want a user without groups: its rights are in the platform's manifests", l)
		}
	}
}

func TestReadStatus(t *testing.T) {
	t.Parallel()
	l := layout.Layout{RunDir: t.TempDir()}
	if _, err := ReadStatus(l); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before pods can be connected: %v", err)
	}
	want := Status{Backend: "vxlan", Interface: "eth0", PodCIDR: netip.MustParsePrefix("10.42.0.0/24"), MTU: 1450}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text string
		want Status
		bad  bool
	}{{string(data), want, false}, {"{", Status{}, true}, {`{"podCIDR":"x"}`, Status{}, true}} {
		if err := os.WriteFile(l.NetworkEnv(), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadStatus(l); got != c.want && !c.bad || (err != nil) != c.bad {
			t.Errorf("%s: %+v (%v)", c.text, got, err)
		}
	}
}
