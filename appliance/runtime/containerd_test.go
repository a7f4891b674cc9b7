package runtime

import (
	"context"
	"crypto/ed25519"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"islet/appliance/cgroup"
	"islet/appliance/component"
	"islet/appliance/layout"
	"islet/bundle"
	"islet/bundle/bundletest"
	"islet/bundle/trust"
)

var update = flag.Bool("update", false, "write golden files")

// built is the appliance that `make bundle` made, or that $APPLIANCE names; the test is skipped
// without one.
func built(t *testing.T) *bundle.Reader {
	t.Helper()
	path := os.Getenv("APPLIANCE")
	if path == "" {
		path = "../../build/appliance"
	}
	b, err := bundle.Open(path, trust.NewSet().Lenient())
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("no appliance in %s: run `make bundle`, or set APPLIANCE", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// program puts one program of an engine into dir.
func program(t *testing.T, b *bundle.Reader, engine, path, dir string) string {
	t.Helper()
	c, err := b.Find(bundle.KindEngine, engine)
	if err != nil {
		t.Fatal(err)
	}
	files, err := bundle.EngineFiles(t.Context(), b, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Path != path {
			continue
		}
		in, err := bundle.OpenEngineFile(t.Context(), b, f)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		at := filepath.Join(dir, filepath.Base(path))
		out, err := os.OpenFile(at, os.O_WRONLY|os.O_CREATE, 0o755)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(out, in)
		if err := errors.Join(err, out.Close()); err != nil {
			t.Fatal(err)
		}
		return at
	}
	t.Fatalf("engine %s has no %s", engine, path)
	return ""
}

// machine is a containerd of its own, under a directory of the test.
type machine struct {
	Params
	supervisor *component.Supervisor
}

// start runs a real containerd until the test ends.
func start(t *testing.T) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("containerd needs root")
	}
	b := built(t)
	dir := t.TempDir()
	l := layout.Layout{StateDir: filepath.Join(dir, "state"), RunDir: filepath.Join(dir, "run"), CNIDir: filepath.Join(dir, "cni")}
	for _, d := range []string{l.RunDir, l.CNIDir, l.Tmp(), filepath.Join(l.Generated(), Name)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := cgroup.Detect(fmt.Sprintf("islet-runtime-test-%d", os.Getpid()))
	if err != nil {
		t.Skip(err)
	}
	containerd := program(t, b, "containerd", "bin/containerd", dir)
	output := &strings.Builder{} // written by containerd's own goroutine, read after it has ended
	m := &machine{Params: Params{
		Layout: l, PauseImage: "islet.internal/pause:1", RestrictOOMScoreAdj: true, Shims: tree.Group("shims"),
		Child: func(name string, args ...string) component.Spec {
			return component.Spec{Name: name, Args: append([]string{containerd}, args...), Env: []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin"}, Output: output}
		},
	}}
	if m.supervisor, err = component.NewSupervisor(slog.New(slog.DiscardHandler), Containerd(m.Params)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.supervisor.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(output.String())
		}
		if err := tree.Remove(); err != nil {
			t.Error(err)
		}
	})
	m.awaitReady(t)
	return m
}

func (m *machine) awaitReady(t *testing.T) {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for changed := m.supervisor.Changed(); m.supervisor.Snapshot()[0].State != component.Ready; changed = m.supervisor.Changed() {
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("containerd is not ready: %+v", m.supervisor.Events())
		}
	}
}

// restart ends containerd and waits for the next one.
func (m *machine) restart(t *testing.T) {
	t.Helper()
	restarts := m.supervisor.Snapshot()[0].Restarts
	if err := m.supervisor.Restart(Name); err != nil {
		t.Fatal(err)
	}
	for changed := m.supervisor.Changed(); m.supervisor.Snapshot()[0].Restarts == restarts; changed = m.supervisor.Changed() {
		<-changed
	}
	m.awaitReady(t)
}

// imageBundle is a bundle with images of the given contents, by name.
func imageBundle(t *testing.T, contents map[string]string) (*bundle.Reader, []Image) {
	t.Helper()
	l := bundletest.NewLayout(t)
	for name, content := range contents {
		l.Image("islet.internal/"+name+":1", "1", []byte(content))
	}
	return carried(t, l)
}

func carried(t *testing.T, l *bundletest.Layout) (*bundle.Reader, []Image) {
	t.Helper()
	key, private := bundletest.Key("runtime test", trust.Release)
	options := bundletest.Options(l)
	options.Signers = []ed25519.PrivateKey{private}
	b := bundletest.Open(t, bundletest.Bytes(t, options), key)
	var list []Image
	for _, c := range b.Components() {
		list = append(list, Image{Reference: c.Reference, Descriptor: c.Descriptor, Source: "test@sha256:0"})
	}
	return b, list
}

// cri asks containerd's CRI plug-in for an image the way the kubelet does; false when it has none.
func (m *machine) cri(t *testing.T, reference string) bool {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+m.Layout.ContainerdSocket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	status, err := criv1.NewImageServiceClient(conn).ImageStatus(t.Context(), &criv1.ImageStatusRequest{Image: &criv1.ImageSpec{Image: reference}})
	if err != nil {
		t.Fatal(err)
	}
	return status.Image != nil && status.Image.Pinned
}

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

func TestConfigGolden(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tree, err := cgroup.Detect("islet-runtime-golden")
	if err != nil {
		t.Skip(err)
	}
	p := Params{
		Layout:     layout.Layout{StateDir: filepath.Join(dir, "state"), RunDir: "/run/appliance", CNIDir: "/etc/cni/net.d"},
		PauseImage: "islet.internal/pause:1", RestrictOOMScoreAdj: true, Shims: tree.Group("shims"),
	}
	if err := os.MkdirAll(filepath.Dir(p.configPath()), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := p.writeConfig(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(p.configPath())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "config.toml", strings.ReplaceAll(string(data), p.Layout.StateDir, "STATE"))
}
