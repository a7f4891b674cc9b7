package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"islet/appliance/api"
	"islet/appliance/component"
	"islet/appliance/health"
	"islet/appliance/layout"
	"islet/appliance/metric"
	"islet/appliance/paas/survey"
	"islet/appliance/pki"
	"islet/appliance/plan"
	"islet/appliance/tail"
	"islet/appliance/vip"
	"islet/bundle/bundletest"
)

// nodeStatus is a node some time after its start, with problems where asked.
func nodeStatus(now time.Time, wrong bool) api.Status {
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	s := api.Status{
		Version: "v0.1.0", Site: "plant", Zone: "hall-2", StartedAt: ago(3*time.Hour + 5*time.Minute), Ready: true,
		Node: api.Node{Name: "node1", Address: "192.0.2.11", Interface: "eth0", Role: "server", PodCIDR: "10.42.0.0/24", ServiceCIDR: "10.43.0.0/16",
			Backend: "vxlan", MTU: 1450, Domain: "apps.plant.internal", HTTPPort: 80, HTTPSPort: 443},
		Datastore: &api.Datastore{Store: "sqlite", Bytes: 5 << 20, Snapshots: 3, NewestSnapshot: ago(20 * time.Minute)},
		VIPs: []vip.Status{
			{Purpose: vip.API, Address: netip.MustParseAddr("192.0.2.100"), State: vip.Held, Holder: "192.0.2.11", Looked: now},
			{Purpose: vip.Applications, Address: netip.MustParseAddr("192.0.2.101"), State: vip.Standby, Holder: "192.0.2.12", Looked: now},
		},
		Images: api.Images{Carried: 11, Imported: 0},
		Components: []component.Status{
			{Name: "kine", State: component.Ready, Since: ago(3 * time.Hour)},
			{Name: "kubelet", State: component.Ready, Since: ago(30 * time.Second), Restarts: 2},
		},
		Certificates: []pki.Entry{{Name: "cluster-ca", NotAfter: now.AddDate(9, 0, 0), DaysLeft: 3285}, {Name: "admin", NotAfter: now.AddDate(0, 10, 0), DaysLeft: 303}},
	}
	if !wrong {
		return s
	}
	s.Ready, s.Node.PodCIDR, s.Datastore.Snapshots = false, "", 0
	s.Datastore.Restored = "from the snapshot of 2026-06-01T11:00:00Z"
	s.Images = api.Images{Carried: 11, Imported: 4, Bytes: 300 << 20}
	s.VIPs[0].Duplicate = "02:00:00:00:00:99, which is no server of this site"
	s.VIPs[1].State, s.VIPs[1].Reason, s.VIPs[1].Holder = vip.Unfit, "the gateway does not answer", ""
	s.Components[1] = component.Status{Name: "kubelet", State: component.Waiting, Reason: "waiting for containerd", Since: ago(2500 * time.Millisecond)}
	catalogue := map[health.Code]health.Problem{}
	for _, p := range health.Catalogue() {
		catalogue[p.Code] = p
	}
	s.Problems = []health.Active{
		{Problem: catalogue[health.DiskBytesLow], Subject: "/var/lib/appliance", Detail: "512 MiB free", Since: ago(26 * time.Hour)},
		{Problem: catalogue[health.ComponentNotReady], Subject: "kubelet", Since: ago(time.Minute), HiddenBy: health.DiskBytesLow},
		{Problem: catalogue[health.ClockBehind], Subject: "the clock", Since: ago(72 * time.Hour)},
	}
	return s
}

func TestStatusGolden(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]bool{"status.good": false, "status.wrong": true} {
		var out bytes.Buffer
		synctest.Test(t, func(t *testing.T) { // time stands still
			if err := printStatus(&out, nodeStatus(time.Now(), wrong)); err != nil {
				t.Error(err)
			}
		})
		golden(t, name, out.String())
	}
}

func TestAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for d, want := range map[time.Duration]string{
			0: "0s", 250 * time.Millisecond: "300ms", 59 * time.Second: "59s", time.Minute: "1m0s", 59*time.Minute + 59*time.Second: "59m59s",
			time.Hour: "1h0m", 47 * time.Hour: "47h0m", 48 * time.Hour: "2d", 1000 * time.Hour: "41d",
		} {
			if got := age(time.Now().Add(-d)); got != want {
				t.Errorf("%s: %q, want %q", d, got, want)
			}
		}
	})
}

// node answers like a daemon that gets ready after some questions.
type fakeNode struct {
	asked      atomic.Int64
	readyAfter int64
}

func (n *fakeNode) Site() []api.Report { return []api.Report{{Status: n.Status()}} }

func (n *fakeNode) Status() api.Status {
	s := nodeStatus(time.Now(), true)
	s.Ready = n.asked.Add(1) > n.readyAfter
	return s
}

func (*fakeNode) History() metric.History                 { return metric.History{} }
func (*fakeNode) Pods(context.Context) ([]api.Pod, error) { return nil, nil }
func (*fakeNode) Platform(context.Context) (survey.Survey, error) {
	return survey.Survey{}, nil
}
func (*fakeNode) ReadLog(name string, lines int, mark string) (tail.Part, error) {
	if name != "kubelet" {
		return tail.Part{}, api.ErrNoLog
	}
	return tail.Part{Lines: []string{fmt.Sprintf("%d lines of %s after %q", lines, name, mark)}, Mark: "1:2"}, nil
}

func (*fakeNode) Events() []component.Event                       { return nil }
func (*fakeNode) Plans() ([]plan.Journal, error)                  { return nil, nil }
func (*fakeNode) Other(string) (api.Other, error)                 { return nil, api.ErrAgent }
func (*fakeNode) StartAnew()                                      {}
func (*fakeNode) Rotate(context.Context, api.RotationOrder) error { return nil }

func (*fakeNode) Restart(name string) error { return fmt.Errorf("%w: %q", component.ErrUnknown, name) }
func (*fakeNode) Snapshot(context.Context) (string, error) {
	return "", errors.New("no")
}

func serveNode(t *testing.T, n api.Daemon) *api.Client {
	t.Helper()
	return serveNodeAt(t, n, filepath.Join(t.TempDir(), "api.sock"))
}

func serveNodeAt(t *testing.T, n api.Daemon, socket string) *api.Client {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- api.Serve(ctx, socket, n, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return api.NewClient(socket)
}

func TestWaitReady(t *testing.T) {
	t.Parallel()
	ready := &fakeNode{readyAfter: 3}
	// The daemon may not even listen when the wait begins.
	if s, err := waitReady(t.Context(), serveNode(t, ready), time.Minute); err != nil || !s.Ready {
		t.Errorf("%v (%v)", s.Ready, err)
	}
	never := serveNode(t, &fakeNode{readyAfter: 1 << 40})
	_, err := waitReady(t.Context(), never, 300*time.Millisecond)
	if CodeOf(err) != CodeTimeout || err.Error() != "not ready after 300ms: kubelet is waiting (waiting for containerd)" {
		t.Errorf("%d: %v", CodeOf(err), err)
	}
	if s, err := waitReady(t.Context(), never, 0); err != nil || s.Ready {
		t.Errorf("without a wait: %v (%v)", s.Ready, err)
	}
	var out bytes.Buffer
	if _, err := watchReady(t.Context(), never, 200*time.Millisecond, &out); CodeOf(err) != CodeTimeout || !strings.Contains(out.String(), "kine is ready") {
		t.Errorf("%v, printed %q", err, out.String())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := waitReady(ctx, never, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestSilentDaemonIsExplained(t *testing.T) {
	t.Parallel()
	silent := api.NewClient("/no/such/api.sock")
	for _, wait := range []time.Duration{0, 200 * time.Millisecond} {
		_, err := waitReady(t.Context(), silent, wait)
		err = explainDaemon(err)
		if CodeOf(err) != CodeNoDaemon || len(collectAdvice(err, nil)) != 1 || strings.Contains(err.Error(), "\n") {
			t.Errorf("after %s: %d: %v, %q", wait, CodeOf(err), err, collectAdvice(err, nil))
		}
	}
	if err := explainDaemon(fmt.Errorf("%w: %w", api.ErrUnreachable, fs.ErrPermission)); CodeOf(err) != CodeNotRoot {
		t.Errorf("without rights: %d: %v", CodeOf(err), err)
	}
	if err := explainDaemon(serveNode(t, &fakeNode{}).Restart(t.Context(), "x")); err == nil {
		t.Error("no error at all")
	}
	plain := errors.New("x")
	if got := explainDaemon(plain); !errors.Is(got, plain) || CodeOf(got) != CodeUnexpected {
		t.Errorf("%v", got)
	}
}

func TestEngineProgramBeforeTheFirstStart(t *testing.T) {
	t.Parallel()
	l := layout.Layout{StateDir: t.TempDir()}
	if _, err := engineProgram(l, "kubectl"); CodeOf(err) != CodeNotInstalled || len(collectAdvice(err, nil)) != 1 {
		t.Errorf("%d: %v", CodeOf(err), err)
	}
	if err := os.MkdirAll(l.Bin(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(l.Bin(), "kubectl"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if path, err := engineProgram(l, "kubectl"); err != nil || path != filepath.Join(l.Bin(), "kubectl") {
		t.Errorf("%s (%v)", path, err)
	}
}

func TestNotANode(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(layout.Default().Config()); err == nil {
		t.Skip("this machine is a node")
	}
	for _, args := range [][]string{{"status"}, {"kubectl", "get", "nodes"}, {"component", "events"}, {"component", "restart", "kubelet"}} {
		got := call(t, "/proc/self/exe", args...)
		if got.code != CodeNotInstalled || !strings.Contains(got.err, "next: set it up with `appliance install`") || got.out != "" {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

func TestPassGivesOnStreamsAndExitCode(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]Code{"exit 0": CodeOK, "exit 7": 7, "kill -TERM $$": 128 + Code(syscall.SIGTERM)} {
		var out, errs bytes.Buffer
		e := NewEnv(Stdio{In: strings.NewReader("in"), Out: &out, Err: &errs})
		err := e.pass(t.Context(), []string{"X=1"}, "/bin/sh", []string{"-c", "cat; echo $X$HOME; echo err >&2; " + script})
		if CodeOf(err) != want || out.String() != "in1\n" || errs.String() != "err\n" {
			t.Errorf("%s: code %d (%v), out %q, err %q", script, CodeOf(err), err, out.String(), errs.String())
		}
		if err != nil { // the program has told its reason itself
			if printError(&out, err); out.String() != "in1\n" {
				t.Errorf("%s: %q is said on top", script, out.String())
			}
		}
	}
	e := NewEnv(Stdio{In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: &bytes.Buffer{}})
	if err := e.pass(t.Context(), nil, "/no/such/program", nil); CodeOf(err) != CodeNoFile {
		t.Errorf("%v", err)
	}
}

func TestPassGivesOnAnInterrupt(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	started, out := filepath.Join(t.TempDir(), "started"), &bytes.Buffer{}
	done := make(chan error, 1)
	go func() {
		e := NewEnv(Stdio{In: strings.NewReader(""), Out: out, Err: out})
		done <- e.pass(ctx, nil, "/bin/sh", []string{"-c", "trap 'echo bye; exit 0' TERM; : >" + started + "; while :; do /bin/sleep 0.01; done"})
	}()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(started); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the program does not start")
		}
	}
	cancel()
	if err := <-done; CodeOf(err) != CodeInterrupted || out.String() != "bye\n" {
		t.Errorf("code %d (%v), printed %q", CodeOf(err), err, out.String())
	}
}

func TestPrintImages(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	sum := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	var out bytes.Buffer
	if err := printImages(&out, []imageRow{
		{Reference: "islet.internal/dns:1.15.0", Digest: sum, Bytes: 12 << 20, From: "bundle", Present: &yes, Pinned: &yes},
		{Reference: "islet.internal/gateway:3.5.3", Digest: sum, Bytes: 37 << 20, From: "bundle", Present: &no, Pinned: &no},
		{Reference: "islet.internal/volume:0.1.0", Digest: sum, Bytes: 1 << 10, From: "registry"},
		{Reference: "site.example/own:2", Digest: sum, From: "node", Present: &yes, Pinned: &no},
	}); err != nil {
		t.Fatal(err)
	}
	golden(t, "images", out.String())
}

// A platform's bundle that is whole, but whose manifests cannot be applied, does not pass.
func TestVerifyLooksIntoManifests(t *testing.T) {
	t.Parallel()
	s := newSite(t, "dev")
	mustCall(t, "bundle", "verify", s.file, "--trust-dir", s.keys)
	l := bundletest.Sample(t)
	s.layout = l.Dir
	l.Manifests("broken", "1", []byte("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{image: 'islet.internal/none:1'}]}\n"))
	for kind, want := range map[string]Code{"platform": CodeInvalidBundle, "application": CodeOK} {
		file := filepath.Join(t.TempDir(), "b.bundle")
		mustCall(t, s.create(file, "--kind", kind)...)
		got := call(t, "/proc/self/exe", "bundle", "verify", file, "--trust-dir", s.keys)
		if got.code != want || want != CodeOK && !strings.Contains(got.err, `Pod p: the bundle cannot provide the image: "islet.internal/none:1" has no digest`) {
			t.Errorf("%s: %+v", kind, got)
		}
	}
}
