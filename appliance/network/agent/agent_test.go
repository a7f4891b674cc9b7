package agent

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
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

func config(t *testing.T) (Config, Status) {
	t.Helper()
	dir := t.TempDir()
	return Config{
			NodeName: "node1", Address: netip.MustParseAddr("192.0.2.11"), PodCIDR: netip.MustParsePrefix("10.42.0.0/16"),
			ServiceCIDR: netip.MustParsePrefix("10.43.0.0/16"), Backend: "vxlan", DirectRouting: true, MTU: 1450,
			CNIDir: filepath.Join(dir, "cni"), StatusFile: filepath.Join(dir, "network.json"),
		}, Status{
			Backend: "vxlan", Interface: "eth0", PodCIDR: netip.MustParsePrefix("10.42.3.0/24"), MTU: 1450,
		}
}

func TestConflist(t *testing.T) {
	t.Parallel()
	c, s := config(t)
	if err := c.writeCNI(s); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(c.CNIDir, ConflistName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, ConflistName, strings.ReplaceAll(string(data), filepath.Dir(c.StatusFile), "RUN"))
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 {
		t.Errorf("%v (%v)", info, err)
	}
	if ConflistName > "10-" { // containerd takes the first by name
		t.Errorf("%s may lose against another network's file", ConflistName)
	}
}

func TestFlannelConfig(t *testing.T) {
	t.Parallel()
	for _, backend := range []string{"vxlan", "host-gw"} {
		c, s := config(t)
		s.Backend = backend
		path, err := c.writeFlannelConfig(s)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "flannel."+backend+".json", string(data)+"\n")
	}
}

func TestAwaitSubnet(t *testing.T) {
	t.Parallel()
	c, s := config(t)
	client := fake.NewClientset()
	registered := make(chan error, 1)
	go func() { // the kubelet registers the node, then the controller manager gives it a subnet
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: c.NodeName}}
		node.Spec.PodCIDR = "10.42.99.0/24" // of when it had another address
		node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.99"}}
		_, err := client.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{})
		if err == nil {
			node.Spec.PodCIDR, node.Status.Addresses[0].Address = s.PodCIDR.String(), c.Address.String()
			_, err = client.CoreV1().Nodes().Update(t.Context(), node, metav1.UpdateOptions{})
		}
		registered <- err
	}()
	got, err := c.awaitSubnet(t.Context(), client)
	if err != nil || got != s.PodCIDR {
		t.Errorf("%s (%v)", got, err)
	}
	if err := <-registered; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.awaitSubnet(ctx, fake.NewClientset()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestInterfaceOf(t *testing.T) {
	t.Parallel()
	if device, err := interfaceOf(netip.MustParseAddr("127.0.0.1")); err != nil || device.Name != "lo" {
		t.Errorf("%+v (%v)", device, err)
	}
	if _, err := interfaceOf(netip.MustParseAddr("192.0.2.99")); err == nil || err.Error() != "no interface has the node's address 192.0.2.99" {
		t.Errorf("%v", err)
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	broken := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(broken, bytes.Repeat([]byte("{"), 3), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{"unknown flag": {"--what"}, "no JSON": {"--config", broken}} {
		if err := Run(t.Context(), args); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if err := Run(t.Context(), []string{"--config", "/no/such/file"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
