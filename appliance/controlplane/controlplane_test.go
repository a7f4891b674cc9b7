package controlplane

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"sigs.k8s.io/yaml"

	"islet/appliance/component"
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

// node is the parameters of an imaginary node whose state is in a directory of the test. started
// gets the spec of each process that a unit makes.
func node(t *testing.T, started map[string]component.Spec) Params {
	t.Helper()
	l := layout.Layout{StateDir: t.TempDir()}
	for _, dir := range []string{l.Kubeconfigs(), filepath.Join(l.Generated(), APIServerName)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	store, err := pki.Open(l.PKI(), time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return Params{
		Layout: l, NodeName: "node1", Address: netip.MustParseAddr("192.0.2.11"),
		PodCIDR: netip.MustParsePrefix("10.42.0.0/16"), ServiceCIDR: netip.MustParsePrefix("10.43.0.0/16"), ServiceIP: netip.MustParseAddr("10.43.0.1"),
		ClusterDomain: "cluster.local", NodePortRange: "30000-32767", DatastoreURL: "unix:///run/appliance/kine.sock", Datastore: "kine",
		Reschedule: time.Minute, PodSecurity: "baseline", Audit: Audit{MaxSizeMiB: 50, MaxBackups: 10, MaxAgeDays: 90}, PKI: store,
		Child: func(name string, args ...string) component.Spec {
			started[name] = component.Spec{Name: name, Args: append([]string{name}, args...)}
			return started[name]
		},
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	started := map[string]component.Spec{}
	p := node(t, started)
	for _, u := range []component.Unit{APIServer(p, nil), ControllerManager(p, nil), Scheduler(p, nil)} {
		c := u.New()
		if err := c.(component.Preparer).Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []string{APIServerName}
		if c.Name() == APIServerName {
			want = []string{"kine"}
		}
		if !slices.Equal(c.Needs(), want) {
			t.Errorf("%s needs %v, want %v", c.Name(), c.Needs(), want)
		}
		golden(t, c.Name(), strings.ReplaceAll(strings.Join(started[c.Name()].Args, "\n")+"\n", p.Layout.StateDir, "STATE"))
	}
	for _, leaf := range []string{leafControllerManager, leafScheduler} {
		if info, err := os.Stat(p.kubeconfigPath(leaf)); err != nil || info.Mode() != 0o600 {
			t.Errorf("kubeconfig of %s: %v (%v)", leaf, info, err)
		}
	}
}

// Every file that an argument names must be there once the node has its certificates.
func TestArgumentsNameFilesThatExist(t *testing.T) {
	t.Parallel()
	started := map[string]component.Spec{}
	p := node(t, started)
	if _, err := p.PKI.Ensure(Leaves(p)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.PKI.ServiceAccountKey(); err != nil {
		t.Fatal(err)
	}
	for _, u := range []component.Unit{APIServer(p, nil), ControllerManager(p, nil), Scheduler(p, nil)} {
		if err := u.New().(component.Preparer).Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	made := []string{"--audit-log-path", "--flex-volume-plugin-dir"} // by the program itself
	for name, spec := range started {
		for _, arg := range spec.Args {
			flag, path, _ := strings.Cut(arg, "=")
			if !strings.HasPrefix(path, p.Layout.StateDir) || slices.Contains(made, flag) {
				continue
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s %s: %v", name, flag, err)
			}
		}
	}
}

func TestGeneratedFiles(t *testing.T) {
	t.Parallel()
	p := node(t, map[string]component.Spec{})
	for range 2 { // the second start has the same key
		if err := p.writeAPIServerFiles(); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"admission.yaml", "audit.yaml"} {
		data, err := os.ReadFile(p.generated(name))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, string(data))
	}
	var policy auditv1.Policy
	if err := yaml.UnmarshalStrict([]byte(auditPolicy), &policy); err != nil {
		t.Errorf("the audit policy is not one: %v", err)
	}
	for i, rule := range policy.Rules {
		for _, r := range rule.Resources {
			if rule.Level != auditv1.LevelNone && rule.Level != auditv1.LevelMetadata && slices.Contains(r.Resources, "secrets") {
				t.Errorf("rule %d writes the content of secrets into the audit log", i)
			}
		}
	}
	secret, err := p.PKI.Secret("encryption", 32)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(p.generated("encryption.yaml"))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("encryption.yaml: %v (%v)", info, err)
	}
	var encryption struct {
		Resources []struct {
			Resources []string
			Providers []struct {
				Secretbox *struct{ Keys []struct{ Secret []byte } }
			}
		}
	}
	data, err := os.ReadFile(p.generated("encryption.yaml"))
	if err == nil {
		err = yaml.Unmarshal(data, &encryption)
	}
	if err != nil || string(encryption.Resources[0].Providers[0].Secretbox.Keys[0].Secret) != string(secret) {
		t.Errorf("the first provider, which writes, does not have the key (%v)", err)
	}
	p.Layout.StateDir = filepath.Join(p.Layout.StateDir, "no/such/dir")
	if err := p.writeAPIServerFiles(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestAPIServerNames(t *testing.T) {
	t.Parallel()
	p := node(t, nil)
	p.ExtraSANs = []string{"api.site.example", "203.0.113.7"}
	if _, err := p.PKI.Ensure(Leaves(p)); err != nil {
		t.Fatal(err)
	}
	cert, err := pki.LoadCert(p.PKI.CertFile(leafAPIServer))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"localhost", "node1", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		"127.0.0.1", "192.0.2.11", "10.43.0.1", "api.site.example", "203.0.113.7",
	} {
		if err := cert.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if n := len(cert.DNSNames) + len(cert.IPAddresses); n != 11 {
		t.Errorf("%d names: %v %v", n, cert.DNSNames, cert.IPAddresses)
	}
}

// Who is whom to the API, and who is an administrator.
func TestLeaves(t *testing.T) {
	t.Parallel()
	var lines []string
	for _, l := range Leaves(node(t, nil)) {
		usage := strings.Trim(strings.Repeat("server ", b(l.Server))+strings.Repeat("client", b(l.Client)), " ")
		lines = append(lines, strings.Join([]string{l.Name, l.Authority, usage, l.CommonName, strings.Join(l.Organizations, ",")}, " | "))
		if l.UsedBy == "" {
			t.Errorf("%s: nobody knows what it is for", l.Name)
		}
	}
	golden(t, "leaves", strings.Join(lines, "\n")+"\n")
}

func b(set bool) int {
	if set {
		return 1
	}
	return 0
}
