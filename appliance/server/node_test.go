package server

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	upstream "sigs.k8s.io/controller-runtime/pkg/client/fake"

	"islet/appliance/cgroup"
	"islet/appliance/component"
	"islet/appliance/config"
	"islet/appliance/health"
	"islet/appliance/kube/client"
	"islet/appliance/kube/client/fake"
	"islet/appliance/pki"
	"islet/appliance/runtime"
)

// imagined is a node under a directory of the test; nothing of it runs.
func imagined(t *testing.T) *node {
	t.Helper()
	dir := t.TempDir()
	c := config.Default()
	c.Paths.StateDir, c.Paths.RunDir = filepath.Join(dir, "state"), filepath.Join(dir, "run")
	n := &node{
		Options: Options{Config: c, EtcDir: filepath.Join(dir, "etc"), Log: slog.New(slog.DiscardHandler)},
		derived: config.Derived{
			NodeName: "node1", Address: netip.MustParseAddr("192.0.2.11"), Interface: "eth0", Backend: config.BackendVXLAN, MTU: 1450,
			APIServerAddress: netip.MustParseAddr("10.43.0.1"), ClusterDNS: netip.MustParseAddr("10.43.0.10"), Domain: "apps.site.internal",
		},
		images: &runtime.Images{}, started: time.Now(), problems: health.NewTracker(health.Catalogue()),
	}
	t.Cleanup(n.problems.Close)
	n.layout = c.Layout(n.EtcDir)
	if err := n.makeDirs(); err != nil {
		t.Fatal(err)
	}
	var err error
	if n.groups, err = cgroup.Detect("islet-server-test"); err != nil {
		t.Skip(err)
	}
	if n.pki, err = pki.Open(n.layout.PKI(), time.Time{}, nil); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEveryLeafHasItsOwnName(t *testing.T) {
	t.Parallel()
	n := imagined(t)
	seen := map[string]bool{}
	for _, l := range n.allLeaves() {
		if seen[l.Name] || n.pki.Authority(l.Name) != nil {
			t.Errorf("two certificates are named %s", l.Name)
		}
		seen[l.Name] = true
		both := l.Authority == pki.NodeCA || l.Authority == pki.EtcdCA // whose holders call each other
		if l.UsedBy == "" || !l.Server && !l.Client || l.Server && l.Client && !both {
			t.Errorf("%+v: want one usage, and what it is for", l)
		}
	}
}

func TestEnsureCertificates(t *testing.T) {
	t.Parallel()
	n := imagined(t)
	for i, want := range []bool{true, false} {
		if changed, err := n.ensureCertificates(); err != nil || changed != want {
			t.Errorf("call %d: changed %v (%v)", i, changed, err)
		}
	}
	pair, err := n.pki.Pair(leafSite)
	if err != nil {
		t.Fatal(err)
	}
	site, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"apps.site.internal", "hello.apps.site.internal", "192.0.2.11"} {
		if err := site.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	secrets, err := n.certificateSecrets()
	if err != nil || len(secrets) != 2 || secrets[0].GetName() != leafSite || secrets[0].GetNamespace() != "islet-system" {
		t.Errorf("%v (%v)", secrets, err)
	}
}

// What the supervisor is given can be run: each need is there, each engine has a control group and a
// folder of its own.
func TestUnits(t *testing.T) {
	t.Parallel()
	var run []string
	for _, store := range []config.Store{config.StoreSQLite, config.StoreEtcd} {
		run = append(run, checkUnits(t, store)...)
	}
	for _, name := range engineNames() {
		if !slices.Contains(run, name) || !slices.Contains(generatedDirs(), name) {
			t.Errorf("the engine %s is not run, or has no folder for what is generated", name)
		}
	}
}

// checkUnits returns the names of the units of a server with such a datastore.
func checkUnits(t *testing.T, store config.Store) []string {
	t.Helper()
	n := withVIPs(imagined(t))
	n.Config.Datastore.Store = store
	if err := n.openServers(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.ensureCertificates(); err != nil {
		t.Fatal(err)
	}
	units, err := n.units()
	if err != nil {
		t.Fatal(err)
	}
	s, err := component.NewSupervisor(n.Log, units...)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range s.Snapshot() {
		names = append(names, c.Name)
	}
	for _, name := range names {
		if slices.Contains(engineNames(), name) {
			continue
		}
		for i, c := range s.Snapshot() {
			if _, isProcess := units[i].New().(*component.Process); c.Name == name && isProcess {
				t.Errorf("%s is a process, but not among the engines: nobody ends it after a crash of the daemon", name)
			}
		}
	}
	if a, b := n.child("kubelet").Output, n.child("kubelet").Output; a != b {
		t.Error("each start of a component opens its log anew and never closes it")
	}
	return names
}

func TestNodeBecomesReady(t *testing.T) {
	t.Parallel()
	n := imagined(t)
	object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node1"}}
	c := upstream.NewClientBuilder().WithStatusSubresource(object).Build()
	made := n.nodeUnit(fake.Of(c)).New()
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- made.Run(ctx, func() { close(ready) }) }()
	say := func(status corev1.ConditionStatus, message string) {
		t.Helper()
		object.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status, Message: message}}
		if err := c.Status().Update(ctx, object); err != nil {
			t.Fatal(err)
		}
	}
	waits := func(text string) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); !strings.Contains(made.(component.Waiter).WaitingFor(), text); {
			if time.Now().After(deadline) {
				t.Fatalf("waits for %q, want %q", made.(component.Waiter).WaitingFor(), text)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	waits("not found")
	if err := c.Create(ctx, object); err != nil {
		t.Fatal(err)
	}
	say(corev1.ConditionFalse, "no network yet")
	waits("node is not ready: no network yet")
	say(corev1.ConditionTrue, "")
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: "node1"},
		Spec:       coordinationv1.LeaseSpec{RenewTime: &metav1.MicroTime{Time: time.Now().Add(-time.Hour)}},
	}
	if err := c.Create(ctx, lease); err != nil {
		t.Fatal(err)
	}
	waits("the kubelet has not reported since")
	lease.Spec.RenewTime.Time = time.Now().Add(time.Second)
	if err := c.Update(ctx, lease); err != nil {
		t.Fatal(err)
	}
	<-ready
	var labelled corev1.Node
	if err := c.Get(ctx, client.ObjectKey{Name: "node1"}, &labelled); err != nil || labelled.Labels[roleLabel] != "" || len(labelled.Labels) != 1 {
		t.Errorf("labels %v (%v)", labelled.Labels, err)
	}
	check := made.(component.Checker).Check
	if err := check(ctx); err != nil {
		t.Errorf("%v", err)
	}
	object = labelled.DeepCopy()
	say(corev1.ConditionUnknown, "")
	if err := check(ctx); err == nil {
		t.Error("a node that is not ready any more passes")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(path); !errors.Is(err, ErrRunning) || !strings.Contains(err.Error(), path) {
		t.Errorf("a second daemon: %v", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
	unlock, err = lock(path)
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}
