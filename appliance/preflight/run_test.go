package preflight

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"islet/appliance/config"
	"islet/appliance/host"
)

func failingProbe(context.Context) (int, error) { return 0, errProbe }

// The real probes on this machine: every check answers, with a value and within the deadline, and
// leaves nothing behind.
func TestChecksOnThisMachine(t *testing.T) {
	t.Parallel()
	facts, err := host.Gather(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	dir := t.TempDir()
	cfg.Paths.StateDir = filepath.Join(dir, "state")
	in := Input{Config: cfg, Layout: cfg.Layout(dir), Facts: facts}
	checks := Checks(in)
	report := Run(t.Context(), checks, time.Minute)
	ids := map[string]bool{}
	for i, r := range report.Results {
		if r.ID != checks[i].ID() || ids[r.ID] {
			t.Errorf("result %d is %s, want %s, each once", i, r.ID, checks[i].ID())
		}
		ids[r.ID] = true
		if r.Title == "" || r.Found == "" || strings.HasPrefix(r.Found, "could not be measured") || strings.HasPrefix(r.Found, "no answer") {
			t.Errorf("%s: %+v", r.ID, r)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind %v (%v)", left, err)
	}
	t.Logf("%d checks in %v, worst is %s", len(checks), report.Took, report.Status)
	installed := Installed(in)
	if len(installed) > len(checks) || len(installed) < len(checks)-3 {
		t.Errorf("%d checks of an installed node, %d of a bare machine", len(installed), len(checks))
	}
	for _, c := range installed {
		if !ids[c.ID()] {
			t.Errorf("%s is no check of a bare machine", c.ID())
		}
	}
}

func TestAnInstalledNodeNeedsNoRoomForItself(t *testing.T) {
	t.Parallel()
	s := space{dir: "/", freeBytes: PlatformBytes}
	if got := judgeBytes(gibibyte, gibibyte)(s).status; got != Failed {
		t.Errorf("a bare machine: %s", got)
	}
	if got := judgeFree(gibibyte, 2*gibibyte)(s).status; got != Passed {
		t.Errorf("an installed node: %s", got)
	}
}

func TestRunKeepsTheOrderAndTheWorst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context) (int, error) {
			select {
			case <-ctx.Done():
				return 0, ctx.Err()
			case <-time.After(time.Second):
				return 0, nil
			}
		}
		stuck := func(ctx context.Context) (int, error) {
			time.Sleep(time.Hour) // as in an uninterruptible read: it does not look at ctx
			return 0, nil
		}
		report := Run(t.Context(), []Check{
			check[int]{id: "slow", probe: slow, judge: judgeUID},
			check[int]{id: "stuck", probe: stuck, judge: judgeUID},
			check[int]{id: "quick", probe: known(1), judge: judgeUID},
		}, 10*time.Second)
		time.Sleep(time.Hour) // the stuck probe ends; its late answer must change nothing
		if report.Took != 10*time.Second || report.Status != Failed {
			t.Errorf("took %v with status %s", report.Took, report.Status)
		}
		for i, want := range []struct {
			id     string
			status Status
		}{{"slow", Passed}, {"stuck", Warned}, {"quick", Failed}} {
			if r := report.Results[i]; r.ID != want.id || r.Status != want.status {
				t.Errorf("result %d is %s %s, want %s %s", i, r.ID, r.Status, want.id, want.status)
			}
		}
	})
}

func TestOverlayTrialFailsOnAnOverlay(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	base := t.TempDir()
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(base, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var verdict verdict
	err := host.InNewNamespaces(unix.CLONE_NEWNS, func() error {
		options := "lowerdir=" + base + "/lower,upperdir=" + base + "/upper,workdir=" + base + "/work"
		if err := unix.Mount("overlay", base+"/merged", "overlay", 0, options); err != nil {
			return err
		}
		// The trial makes a namespace of its own from a thread that does not see this mount, so
		// the mount itself is tried here.
		inner := base + "/merged"
		for _, name := range []string{"l", "u", "w", "m"} {
			if err := os.Mkdir(filepath.Join(inner, name), 0o755); err != nil {
				return err
			}
		}
		err := unix.Mount("overlay", inner+"/m", "overlay", 0, "lowerdir="+inner+"/l,upperdir="+inner+"/u,workdir="+inner+"/w")
		verdict = judgeOverlay(trial{inner, err})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if verdict.status != Failed || !strings.Contains(verdict.advice, "itself be on an overlay") {
		t.Errorf("got %+v", verdict)
	}
}

func TestExecTrialFailsOnNoexec(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOEXEC, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	got, err := tryExec(dir)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if v := judgeExec(got); v.status != Failed || !strings.Contains(v.found, "permission denied") {
		t.Errorf("got %+v", v)
	}
	m, err := mountOf(dir)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !m.Has("noexec") || judgeMount(m).status != Failed {
		t.Errorf("mount is %+v", m)
	}
}

func TestFindTakenSparesOurOwn(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	cfg := config.Default()
	cfg.Gateway.HTTPPort = listener.Addr().(*net.TCPAddr).Port
	taken, err := findTaken(Input{Config: cfg, Layout: cfg.Layout("")})(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range taken {
		if int(p.port.Number) == cfg.Gateway.HTTPPort {
			t.Errorf("this process's own port is reported: %+v", p)
		}
	}
}

func TestLookFindsStrangers(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "var/lib/k0s/pki"), 0o755); err != nil {
		t.Fatal(err)
	}
	processes := []host.Process{
		{PID: 1, Name: "init", Exe: "/sbin/init"},
		{PID: 10, Parent: 1, Name: "containerd-shim", Exe: "/var/lib/appliance/engines/abc/containerd-shim-runc-v2"},
		{PID: 11, Parent: 10, Name: "kubelet", Exe: "/kubelet"},
		{PID: 12, Parent: 1, Name: "k3s-server", Exe: "/usr/local/bin/k3s"},
		{PID: 13, Parent: 1, Name: "python3", Exe: "/usr/bin/python3"},
	}
	got := look(root, processes, []stranger{
		{"k3s", []string{"k3s", "k3s-server"}, nil},
		{"a kubelet", []string{"kubelet"}, nil},
		{"k0s", []string{"k0s"}, []string{"/var/lib/k0s/pki"}},
	}, "/var/lib/appliance")
	want := []sighting{{"k3s", "pid 12"}, {"k0s", "/var/lib/k0s/pki"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCollides(t *testing.T) {
	t.Parallel()
	listen := func(address, protocol string) host.Listener {
		return host.Listener{Protocol: protocol, Address: netip.MustParseAddrPort(address)}
	}
	for _, c := range []struct {
		name string
		port config.Port
		l    host.Listener
		want bool
	}{
		{"all addresses", config.Port{Number: 80, Protocol: "tcp"}, listen("0.0.0.0:80", "tcp"), true},
		{"one address", config.Port{Number: 80, Protocol: "tcp"}, listen("192.0.2.2:80", "tcp"), true},
		{"another port", config.Port{Number: 80, Protocol: "tcp"}, listen("0.0.0.0:8080", "tcp"), false},
		{"another protocol", config.Port{Number: 8472, Protocol: "udp"}, listen("0.0.0.0:8472", "tcp"), false},
		{"loopback against a site address", config.Port{Number: 10248, Protocol: "tcp", Loopback: true}, listen("192.0.2.2:10248", "tcp"), false},
		{"loopback against loopback", config.Port{Number: 10248, Protocol: "tcp", Loopback: true}, listen("127.0.0.1:10248", "tcp"), true},
		{"loopback against all", config.Port{Number: 10248, Protocol: "tcp", Loopback: true}, listen("[::]:10248", "tcp"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := collides(c.port, c.l); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i))
	}
	for _, c := range []struct {
		values []time.Duration
		want   time.Duration
	}{{nil, 0}, {[]time.Duration{7}, 7}, {[]time.Duration{1, 9}, 9}, {hundred, 99}} {
		if got := percentile(c.values, 99); got != c.want {
			t.Errorf("percentile of %d values is %d, want %d", len(c.values), got, c.want)
		}
	}
}
